"""The hosts that can hold one kind of instance, where it fragments devices least first."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import NamedTuple

from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.candidates import UNLIMITED
from rq_broker.planner.packing.devices import DeviceRow
from rq_broker.planner.packing.fragmentation import Fragmentation
from rq_broker.planner.packing.host_table import HostTable, count_fitting, indexes_of


class _Candidate(NamedTuple):
    """A host; the smallest is tried first."""

    growth: float
    """By how much its fragmentation grows; 0 on a host without devices."""
    weighted_free: float
    """Of hosts where it grows equally the fullest is tried first."""
    host: int
    change: int
    """How many changes of the table it takes into account."""


class LeastFragmented:
    """The candidates on the hosts of one mask, as CandidateHosts where no host has devices.

    A host comes back, judged anew, once the table's list of changes names it.
    """

    __slots__ = (
        "_fragmentation",
        "_growths",
        "_heap",
        "_hosts",
        "_instance",
        "_latest",
        "_read",
        "_table",
    )

    def __init__(
        self, table: HostTable, instance: Instance, hosts: int, fragmentation: Fragmentation
    ) -> None:
        self._table = table
        self._instance = instance
        self._hosts = table.fitting_at_start(instance, hosts)
        self._fragmentation = fragmentation
        self._growths = fragmentation.growths(instance)
        self._heap: list[_Candidate] | None = None
        """Built when the first host is asked for: many demands are never tried."""
        self._latest: dict[int, int] = {}
        """Host → the change that its candidate takes into account, where it changed."""
        self._read = 0

    def pop(self, closed_hosts: int) -> tuple[int, int] | None:
        """Take the best host outside the mask `closed_hosts`; see CandidateHosts.pop."""
        heap = self._up_to_date()
        while heap:
            candidate = heappop(heap)
            index = candidate.host
            is_latest = candidate.change == self._latest.get(index, candidate.change)
            if is_latest and not closed_hosts >> index & 1:
                times = count_fitting(self._table.rows[index], self._instance, UNLIMITED)
                if times:
                    return index, times
        return None

    def _up_to_date(self) -> list[_Candidate]:
        changes = self._table.changes
        if self._heap is None:
            self._read = len(changes)
            self._heap = [
                self._judge(index)
                for index in indexes_of(self._hosts)
                if not self._table.changed >> index & 1 or self._fits(index)
            ]
            heapify(self._heap)
        elif self._read < len(changes):
            changed, self._read = set(changes[self._read :]), len(changes)
            for index in changed:
                if self._hosts >> index & 1 and self._fits(index):
                    self._latest[index] = self._read
                    heappush(self._heap, self._judge(index))
        return self._heap

    def _fits(self, index: int) -> bool:
        return count_fitting(self._table.rows[index], self._instance, 1) > 0

    def _judge(self, index: int) -> _Candidate:
        table, row, growth = self._table, self._table.rows[index], 0.0
        if isinstance(row, DeviceRow):
            state = table.device_state(index)
            known = self._growths.get(state)
            if known is None:
                known = round(self._fragmentation.growth(row, self._instance), 9)
                self._growths[state] = known
            growth = known
        return _Candidate(growth, table.weighted_free[index], index, self._read)
