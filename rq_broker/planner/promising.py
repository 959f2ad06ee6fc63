"""What a job was promised when its start time was first found, and when that was missed by far."""

from __future__ import annotations

from rq_broker.domain.planning import Head, Promise, Snapshot

LATE_FACTOR, LATE_MEANS = 8.0, 30.0
"""A promise is missed by far once the job is late by more than so many times the wait promised,
and by so many mean holding times. Only predictions that are wrong on purpose get there: this bounds
what they can delay. With less, ordinary jobs get there, and a fixed set of hosts serves them
worse."""


def promise_for(head: Head, start: float, snapshot: Snapshot) -> tuple[Promise, bool]:
    """Return the first promise made to a job, and whether it was missed by far.

    Args:
        head: The job.
        start: The start time found in this pass, seconds since 1970.
        snapshot: What the pass began with.
    """
    promise = next((promise for promise in snapshot.promises if promise.is_for(head)), None)
    if promise is None:
        promise = Promise(head.id, head.request_id, start, snapshot.now)
    tolerance = LATE_FACTOR * (promise.start - promise.made) + LATE_MEANS * snapshot.history.mean
    return promise, snapshot.now > promise.start + tolerance
