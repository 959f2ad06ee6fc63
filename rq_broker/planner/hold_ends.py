"""When capacity is expected to come back: the ends of all holds, as one pass sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Snapshot
from rq_broker.planner.owner_usage import add_amounts
from rq_broker.planner.packing.host_table import HostTable, Row


class HoldEnd(NamedTuple):
    """What becomes free at one moment."""

    seconds: float
    """Since 1970."""
    amounts: Mapping[int, Amounts]
    """Host → what is released there."""


def end_of(end: HoldEnd) -> float:
    """Return when a hold ends."""
    return end.seconds


class HoldEnds:
    """The holds of a snapshot, and of what is granted on it."""

    def __init__(self, snapshot: Snapshot, table: HostTable) -> None:
        self._snapshot = snapshot
        self._table = table
        self._granted: list[HoldEnd] = []

    def add_grant(self, demand: Demand, hosts: Sequence[int], seconds: float) -> None:
        """Add a job that is granted in this pass, one host an instance, for so many seconds."""
        amounts: dict[int, Row] = {}
        for index, instance in zip(hosts, demand.instances, strict=True):
            add_amounts(amounts.setdefault(index, {}), dict(instance))
        self._granted.append(HoldEnd(self._snapshot.now + seconds, amounts))

    def in_order(self) -> Iterator[HoldEnd]:
        """Iterate over the ends, the earliest first."""
        index_of = {name: index for index, name in enumerate(self._table.names)}
        now = self._snapshot.now
        ends = (
            HoldEnd(
                max(hold.ends, now),
                {index_of[name]: row for name, row in hold.amounts.items() if name in index_of},
            )
            for hold in self._snapshot.holds
        )
        return merge(ends, sorted(self._granted, key=end_of), key=end_of)
