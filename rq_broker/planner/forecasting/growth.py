"""What more hosts would change: which jobs start at once, and how the forecasts of others move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Grant, Snapshot
from rq_broker.planner.forecasting.forecasts import (
    FUTURES,
    MAX_SECONDS,
    Clock,
    Forecast,
    compared_steps,
    standing_clock,
)
from rq_broker.planner.forecasting.what_if import ForecastChange
from rq_broker.planner.plans import plan_steps
from rq_broker.planner.steps import Steps


@dataclass(frozen=True, slots=True)
class GrownPlan:
    """The grants of one pass with more hosts than there are."""

    grants: tuple[Grant, ...]
    """Those that the same pass without them does not make."""
    anyway: int
    """How many it makes without them."""
    is_complete: bool
    """Whether that is all; otherwise more jobs of some shape are behind those that were shown."""


def with_hosts(snapshot: Snapshot, hosts: Mapping[str, Host]) -> Snapshot:
    """Return a snapshot with more hosts."""
    return replace(snapshot, hosts={**snapshot.hosts, **hosts})


def grown_plan_steps(snapshot: Snapshot, hosts: Mapping[str, Host]) -> Steps[GrownPlan]:
    """Plan a pass with and without more hosts."""
    without = yield from plan_steps(snapshot)
    grown = yield from plan_steps(with_hosts(snapshot, hosts))
    known = {grant.head.id for grant in without.grants}
    return GrownPlan(
        tuple(grant for grant in grown.grants if grant.head.id not in known),
        len(without.grants),
        not (without.ended_early or grown.ended_early),
    )


def growth_steps(
    snapshot: Snapshot,
    hosts: Mapping[str, Host],
    line: Line,
    demands: Mapping[str, Demand] | None = None,
    *,
    futures: int = FUTURES,
    clock: Clock = standing_clock,
) -> Steps[tuple[ForecastChange, ...]]:
    """Forecast how more hosts move every shape's first job; most first.

    Both sides see the same futures, each in turn, and as many of them: a difference comes from the
    hosts, not from chance.

    Args:
        snapshot: of the type; its waiting shapes are not used.
        hosts: those that are added.
        line: the jobs that wait.
        demands: as of `forecast_steps`, like those that follow.
        futures: how many to simulate of each side.
        clock: bounds the time spent on both sides together.
    """
    firsts = {job.digest: job for job in reversed(line.jobs)}
    targets = {job.id: job for job in reversed(firsts.values())}
    before, after = yield from compared_steps(
        [(snapshot, line), (with_hosts(snapshot, hosts), line)],
        demands,
        targets=targets,
        futures=futures,
        clock=clock,
        most_seconds=2 * MAX_SECONDS,
    )
    changes = [
        _change(
            job,
            line.shapes[job.digest].owner,
            before.of(job.id, job.rank, job.digest),
            after.of(job.id, job.rank, job.digest),
        )
        for job in targets.values()
    ]
    return tuple(sorted(changes, key=lambda change: -abs(change.seconds or 0.0)))


def _change(job: WaitingJob, owner: str, before: Forecast, after: Forecast) -> ForecastChange:
    seconds = None
    if before.p50 is not None and after.p50 is not None:
        seconds = after.p50 - before.p50
    return ForecastChange(job.request_id, owner, before, after, seconds, job.weight)
