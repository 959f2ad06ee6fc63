"""When capacity is expected to come back: the ends of all holds, as one pass sees them."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge

from rq_broker.domain.devices import amounts_by_host
from rq_broker.domain.planning import Grant, Hold, Snapshot


def holds_in_order(snapshot: Snapshot, grants: Iterable[Grant]) -> Iterable[Hold]:
    """Return the holds of a snapshot, and of what is granted on it, the earliest end first."""
    granted = sorted((_hold(grant, snapshot.now) for grant in grants), key=_end_of)
    return merge(snapshot.holds, granted, key=_end_of) if granted else snapshot.holds


def _hold(grant: Grant, now: float) -> Hold:
    amounts = amounts_by_host(grant.hosts, grant.demand.instances, grant.devices)
    ends = now + grant.prediction.hold
    return Hold(grant.head.request_id, grant.shape.owner, now, ends, amounts)


def _end_of(hold: Hold) -> float:
    return hold.ends
