"""Snapshots with a change that did not happen, and whose forecast the change would move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from rq_broker.domain.jobs import Shape
from rq_broker.domain.planning import Head, Snapshot, WaitingShape
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner.forecasting.arrivals import Hold, priority_behind_all
from rq_broker.planner.forecasting.forecasts import (
    FUTURES,
    Clock,
    Forecast,
    forecast,
    standing_clock,
)

IMAGINED = "?"
"""Digest and request_id of a job that is not submitted; no real digest is so short."""


@dataclass(frozen=True, slots=True)
class ForecastChange:
    """How a change moves one job's forecast."""

    request_id: str
    before: Forecast
    after: Forecast
    seconds: float | None
    """p50 after minus p50 before; None where either is unknown."""


def with_imagined_job(snapshot: Snapshot, shape: Shape, priority: int | None = None) -> Snapshot:
    """Add a job nobody submitted, its digest `IMAGINED`; without a priority, behind all shown."""
    if priority is None:
        priority = priority_behind_all(snapshot)
    waiting = WaitingShape(IMAGINED, shape, (Head(MAX_WHOLE, IMAGINED, priority),), 1)
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


def with_priority(snapshot: Snapshot, request_id: str, priority: int) -> Snapshot:
    """Give one of the shown jobs another priority. Raises KeyError when it is not shown."""
    shown = {head.request_id for shape in snapshot.waiting for head in shape.heads}
    if request_id not in shown:
        raise KeyError(request_id)

    def changed(head: Head) -> Head:
        return replace(head, priority=priority) if head.request_id == request_id else head

    def in_order(shape: WaitingShape) -> WaitingShape:
        heads = sorted(map(changed, shape.heads), key=lambda head: (head.priority, head.id))
        return replace(shape, heads=tuple(heads))

    return replace(snapshot, waiting=tuple(in_order(shape) for shape in snapshot.waiting))


def forecast_changes(
    before: Snapshot,
    after: Snapshot,
    holds: Sequence[Hold],
    holding_times: Sequence[float],
    rng: Random,
    *,
    futures: int = FUTURES,
    clock: Clock = standing_clock,
) -> tuple[ForecastChange, ...]:
    """Forecast how a change moves every shape's first job, and every job moved; most first.

    Both sides see the same random futures: a difference comes from the change, not from chance.
    """
    targets = _targets(before, after)
    state = rng.getstate()
    forecasts_before = forecast(
        before, holds, holding_times, targets, rng, futures=futures, clock=clock
    )
    rng.setstate(state)
    forecasts_after = forecast(
        after, holds, holding_times, targets, rng, futures=futures, clock=clock
    )
    changes = [_change(name, forecasts_before[name], forecasts_after[name]) for name in targets]
    return tuple(sorted(changes, key=lambda change: -abs(change.seconds or 0.0)))


def _targets(before: Snapshot, after: Snapshot) -> list[str]:
    """List the jobs whose priority differs, then the first job of each shape."""
    priorities = {
        head.request_id: head.priority for shape in before.waiting for head in shape.heads
    }
    moved = [
        head.request_id
        for shape in after.waiting
        for head in shape.heads
        if head.request_id in priorities and priorities[head.request_id] != head.priority
    ]
    firsts = [shape.heads[0].request_id for shape in before.waiting if shape.heads]
    return list(dict.fromkeys([*moved, *firsts]))


def _change(request_id: str, before: Forecast, after: Forecast) -> ForecastChange:
    seconds = None
    if before.p50 is not None and after.p50 is not None:
        seconds = after.p50 - before.p50
    return ForecastChange(request_id, before, after, seconds)
