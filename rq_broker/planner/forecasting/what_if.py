"""Changes that did not happen: a job in a snapshot, and whose forecasts a move would change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Head, Snapshot, WaitingShape
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner.forecasting.forecasts import (
    FUTURES,
    Clock,
    Forecast,
    forecast_steps,
    standing_clock,
)
from rq_broker.planner.steps import Steps

IMAGINED = "?"
"""Digest and request_id of a job that is not submitted; no real digest is so short."""


@dataclass(frozen=True, slots=True)
class ForecastChange:
    """How a change moves one job's forecast."""

    request_id: str
    owner: str
    before: Forecast
    after: Forecast
    seconds: float | None
    """p50 after minus p50 before; None where either is unknown."""


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
        return replace(head, priority=head.priority + 2) if behind else head

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
    demands: Mapping[str, Demand] | None = None,
    *,
    futures: int = FUTURES,
    clock: Clock = standing_clock,
) -> Steps[tuple[ForecastChange, ...]]:
    """Forecast how a move changes the moved job and every shape's first job; most first.

    Both sides see the same random futures: a difference comes from the change, not from chance.

    Args:
        snapshot: of the type; its waiting shapes are not used.
        before: the line as it is.
        after: the same jobs after the move.
        moved: the job that moves.
        demands: as of `forecast_steps`, like those that follow.
        futures: how many to simulate of each line.
        clock: bounds the time spent on each line.
    """
    firsts = {job.digest: job for job in reversed(before.jobs)}
    targets = {job.id: job for job in (moved, *reversed(firsts.values()))}
    forecasts = []
    for line in (before, after):
        forecasts.append(
            (
                yield from forecast_steps(
                    snapshot, line, demands, targets=targets, futures=futures, clock=clock
                )
            )
        )
    forecasts_before, forecasts_after = forecasts
    changes = [
        _change(
            job.request_id,
            before.shapes[job.digest].owner,
            forecasts_before.of(job.id, job.rank, job.digest),
            forecasts_after.of(job.id, job.rank, job.digest),
        )
        for job in targets.values()
    ]
    return tuple(sorted(changes, key=lambda change: -abs(change.seconds or 0.0)))


def _change(request_id: str, owner: str, before: Forecast, after: Forecast) -> ForecastChange:
    seconds = None
    if before.p50 is not None and after.p50 is not None:
        seconds = after.p50 - before.p50
    return ForecastChange(request_id, owner, before, after, seconds)
