"""Snapshots of what is not so: a job not submitted, a job put elsewhere; and whom that moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from rq_broker.domain.jobs import Shape
from rq_broker.domain.planning import Head, Snapshot, Waiting
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner.crowd import Running
from rq_broker.planner.eta import ETA, RUNS, Clock, forecast, unlimited

IMAGINED = "?"
"""Digest and request_id of a job that is not submitted; no real digest is so short."""


@dataclass(frozen=True, slots=True)
class Move:
    """How a change moves one job."""

    request_id: str
    before: ETA
    after: ETA
    seconds: float | None
    """p50 after minus p50 before; None where either is unknown."""


def with_job(snapshot: Snapshot, shape: Shape, priority: int | None = None) -> Snapshot:
    """Add a job nobody submitted, its digest `IMAGINED`; without a priority, behind all shown."""
    if priority is None:
        last = max((h.priority for entry in snapshot.waiting for h in entry.heads), default=0)
        priority = min(last + 1, MAX_WHOLE)
    entry = Waiting(IMAGINED, shape, (Head(MAX_WHOLE, IMAGINED, priority),), 1)
    return replace(snapshot, waiting=(*snapshot.waiting, entry))


def make_room(snapshot: Snapshot, key: tuple[int, int]) -> tuple[Snapshot, int]:
    """Move all behind the job of this priority and ID on; also returns the priority now free."""

    def moved(head: Head) -> Head:
        behind = (head.priority, head.id) > key
        return replace(head, priority=head.priority + 2) if behind else head

    line = tuple(
        replace(entry, heads=tuple(moved(head) for head in entry.heads))
        for entry in snapshot.waiting
    )
    return replace(snapshot, waiting=line), key[0] + 1


def reordered(snapshot: Snapshot, request_id: str, priority: int) -> Snapshot:
    """Give one of the shown jobs another priority. Raises KeyError when it is not shown."""
    shown = {head.request_id for entry in snapshot.waiting for head in entry.heads}
    if request_id not in shown:
        raise KeyError(request_id)
    line = tuple(
        replace(entry, heads=_moved(entry.heads, request_id, priority))
        for entry in snapshot.waiting
    )
    return replace(snapshot, waiting=line)


def _moved(heads: tuple[Head, ...], request_id: str, priority: int) -> tuple[Head, ...]:
    changed = (
        replace(head, priority=priority) if head.request_id == request_id else head
        for head in heads
    )
    return tuple(sorted(changed, key=lambda head: (head.priority, head.id)))


def moves(
    before: Snapshot,
    after: Snapshot,
    running: Sequence[Running],
    holding_times: Sequence[float],
    rng: Random,
    *,
    runs: int = RUNS,
    clock: Clock = unlimited,
) -> tuple[Move, ...]:
    """Say whose forecast a change moves, most first: every shape's first job, and every job moved.

    Both sides see the same random futures, so that a difference is the change's and not chance's.
    """
    targets = _targets(before, after)
    state = rng.getstate()
    was = forecast(before, running, holding_times, targets, rng, runs=runs, clock=clock)
    rng.setstate(state)
    will = forecast(after, running, holding_times, targets, rng, runs=runs, clock=clock)
    found = [Move(name, was[name], will[name], _gap(was[name], will[name])) for name in targets]
    return tuple(sorted(found, key=lambda move: -abs(move.seconds or 0.0)))


def _targets(before: Snapshot, after: Snapshot) -> list[str]:
    firsts = [entry.heads[0].request_id for entry in before.waiting if entry.heads]
    priorities = {head.request_id: head.priority for e in before.waiting for head in e.heads}
    changed = [
        head.request_id
        for entry in after.waiting
        for head in entry.heads
        if head.request_id in priorities and priorities[head.request_id] != head.priority
    ]
    return list(dict.fromkeys([*changed, *firsts]))


def _gap(before: ETA, after: ETA) -> float | None:
    if before.p50 is None or after.p50 is None:
        return None
    return after.p50 - before.p50
