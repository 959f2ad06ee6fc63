"""Changes that did not happen: a job in a snapshot, and whose forecasts a move would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from msgspec import structs

from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Head, Snapshot, WaitingShape
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner.forecasting.forecasts import (
    FUTURES,
    Clock,
    Forecast,
    compared_steps,
    standing_clock,
)
from rq_broker.planner.steps import Steps

MOST_SECONDS = 0.06
"""Seconds by its clock that the futures of a move may take, of both lines together: somebody waits
for it with a job in hand. Those of 1,000 jobs for 1,000 hosts are then three or so."""
EXACT_WORK = 20_000
"""Waiting jobs times holds up to which a move is simulated event by event. Beyond, one future would
take longer than MOST_SECONDS."""
LEAST_CHANGE = 1.0
"""Seconds by which a start changes at least to count as sooner or later."""
LEAST_PART = 0.05
"""The same as a part of the wait: less is within the error of the simulation, whose steps are that
long."""
IMAGINED = "?"
"""Digest and request_id of a job that is not submitted; no real digest is so short."""


@dataclass(frozen=True, slots=True)
class ForecastChange:
    """How a change moves one job's forecast."""

    request_id: str
    owner_id: str
    before: Forecast
    after: Forecast
    seconds: float | None
    """p50 after minus p50 before; None where either is unknown."""
    weight: int = 1
    """How many jobs like it this one stands for, in a line that is shown as a sample."""

    @property
    def is_known(self) -> bool:
        """Whether both forecasts say a time."""
        return self.seconds is not None

    @property
    def direction(self) -> int:
        """1 if it starts later, -1 if sooner, 0 if neither, or if that is not known."""
        seconds = self.seconds or 0.0
        least = max(LEAST_CHANGE, LEAST_PART * (self.before.p50 or 0.0))
        return 0 if abs(seconds) < least else 1 if seconds > 0 else -1


def with_imagined_job(snapshot: Snapshot, shape: Shape, priority: int | None = None) -> Snapshot:
    """Add a job nobody submitted, its digest `IMAGINED`; without a priority, behind all shown."""
    if priority is None:
        priorities = (head.priority for waiting in snapshot.waiting for head in waiting.heads)
        priority = min(max(priorities, default=0) + 1, MAX_WHOLE)
    until = snapshot.now + shape.demand.prefer_for / 1000
    head = Head(MAX_WHOLE, IMAGINED, priority, prefers_until=until)
    waiting = WaitingShape(IMAGINED, shape, (head,), 1)
    return replace(snapshot, waiting=(*snapshot.waiting, waiting))


def make_room(snapshot: Snapshot, key: tuple[int, int]) -> tuple[Snapshot, int]:
    """Shift all jobs behind the job of this (priority, ID), so that one fits right behind it.

    Returns: the snapshot with the jobs shifted, and the priority of the free place.
    """

    def shifted(head: Head) -> Head:
        behind = (head.priority, head.id) > key
        return structs.replace(head, priority=head.priority + 2) if behind else head

    waiting = tuple(
        replace(shape, heads=tuple(shifted(head) for head in shape.heads))
        for shape in snapshot.waiting
    )
    return replace(snapshot, waiting=waiting), key[0] + 1


def change_steps(
    snapshot: Snapshot,
    before: Line,
    after: Line,
    moved: WaitingJob,
    to_rank: int,
    *,
    is_exchange: bool = False,
    demands: Mapping[str, Demand] | None = None,
    futures: int = FUTURES,
    clock: Clock = standing_clock,
) -> Steps[tuple[ForecastChange, ...]]:
    """Forecast how a move changes the moved job and those that stand between its two places.

    Jobs before both places and behind both keep their turns. The moved job is the first of the
    result, the others follow with the largest change first.

    Args:
        snapshot: of the type; its waiting shapes are not used.
        before: the line as it is.
        after: the same jobs after the move.
        moved: the job that moves.
        to_rank: how many jobs are to go before it.
        is_exchange: whether other jobs change their places too.
        demands: as of `forecast_steps`, like those that follow.
        futures: how many to simulate of each line, if time allows.
        clock: bounds the time spent, see MOST_SECONDS.
    """
    first, last = sorted((moved.rank, to_rank))
    between = [job for job in before.jobs if first <= job.rank <= last and job.id != moved.id]
    forecasts = yield from compared_steps(
        [(snapshot, before), (snapshot, after)],
        demands,
        targets={job.id for job in (moved, *between)},
        futures=futures,
        clock=clock,
        most_seconds=MOST_SECONDS,
        is_coarse=len(before.jobs) * len(snapshot.holds) > EXACT_WORK,
    )
    # Who is passed starts later, or when it would; what else the few futures show is chance.
    sign = 0 if is_exchange else 1 if to_rank < moved.rank else -1

    def change(job: WaitingJob) -> ForecastChange:
        then, now = (line.of(job.id, job.rank, job.digest) for line in forecasts)
        owner = before.shapes[job.digest].owner
        return _change(job, owner, then, now, -sign if job is moved else sign)

    changes = sorted(map(change, between), key=lambda change: -abs(change.seconds or 0.0))
    return (change(moved), *changes)


def _change(
    job: WaitingJob, owner: str, before: Forecast, after: Forecast, sign: int
) -> ForecastChange:
    """Return how a forecast moves; `sign`: 1 if it can only become later, -1 if sooner."""
    seconds = None
    if before.p50 is not None and after.p50 is not None:
        seconds = after.p50 - before.p50
        if seconds * sign < 0:
            after, seconds = before, 0.0
    return ForecastChange(job.request_id, owner, before, after, seconds, job.weight)
