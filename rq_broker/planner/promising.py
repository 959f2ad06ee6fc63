"""What a job was promised when its start time was first found, and when that was missed by far."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from math import floor, log2

from rq_broker.domain.planning import Head, Hold, Promise, Snapshot

LATE_FACTOR, LATE_MEANS = 8.0, 30.0
"""A promise is missed by far once the job is late by more than so many times the wait promised,
and by so many mean holding times. Only predictions that are wrong on purpose get there: this bounds
what they can delay. With less, ordinary jobs get there, and a fixed set of hosts serves them
worse."""


class Binding(IntEnum):
    """How firmly hosts are kept for a job."""

    MOVING = 0
    """Each pass chooses them anew."""
    FIXED = 1
    """They stay, as the promise was missed by far. While a hold from before that lasts there, jobs
    of which history shows that they end in time by far go ahead."""
    CLOSED = 2
    """They stay, and nobody goes ahead: only what went ahead since then is still there. When the
    promise is missed by twice as much, what is there counts as from before: else hosts are idle
    for as long as one job that went ahead lasts, on the openb trace for ten days. As the times
    double, one of them is twice the longest hold: by the next, what was there and what went ahead
    has ended, and the job starts. So it is late by six times the longest hold at most, or by two
    and the tolerance of `promise_for` where that is more."""


def promise_for(head: Head, start: float, snapshot: Snapshot) -> tuple[Promise, float | None]:
    """Return the first promise made to a job, and when that was missed by far, if it was.

    Args:
        head: The job.
        start: The start time found in this pass, seconds since 1970.
        snapshot: What the pass began with.
    """
    promise = next((promise for promise in snapshot.promises if promise.is_for(head)), None)
    if promise is None:
        promise = Promise(head.id, head.request_id, start, snapshot.now)
    return promise, missed_since(promise, snapshot.now, snapshot.history.mean)


def missed_since(promise: Promise, now: float, mean_hold: float) -> float | None:
    """Return the last moment at which a promise was missed by far, or by 2, 4, 8, … times as much.

    None: it was not. All times are counted from one moment, whichever.
    """
    tolerance = LATE_FACTOR * (promise.start - promise.made) + LATE_MEANS * mean_hold
    late = now - promise.start
    if late <= tolerance:
        return None
    times = 2.0 ** floor(log2(late / tolerance)) if tolerance > 0 else 1.0
    return promise.start + times * tolerance


def binding_since(missed: float, hosts: frozenset[str], holds: Iterable[Hold]) -> Binding:
    """Return how hosts are kept for a job whose promise was missed by far at a time."""
    awaits_earlier = any(
        hold.granted < missed and not hosts.isdisjoint(hold.amounts) for hold in holds
    )
    return Binding.FIXED if awaits_earlier else Binding.CLOSED
