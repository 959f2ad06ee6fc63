"""The hosts that can hold one kind of instance, computed without a trial of every host."""

from __future__ import annotations

from heapq import heappop, heappush

from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.host_table import (
    HostState,
    HostTable,
    count_fitting,
)

UNLIMITED = 1 << 62
"""More instances than any job has: how often an instance that needs nothing fits."""


class CandidateHosts:
    """The hosts of one mask that can hold one kind of instance, fullest first.

    Unchanged hosts wait in a mask, lowest bit first, which is fullest first. Changed hosts wait in
    a heap that is fed from the table's list of changes. So a request costs what changed since the
    last one, not the number of hosts, and no host is returned twice in the same state.
    """

    __slots__ = ("_hosts", "_instance", "_read_changes", "_reordered", "_table", "_unchanged")

    def __init__(self, table: HostTable, instance: Instance, hosts: int) -> None:
        self._table = table
        self._instance = instance
        self._hosts = table.fitting_at_start(instance, hosts)
        self._unchanged = self._hosts
        self._reordered: list[HostState] = []
        self._read_changes = 0

    def pop(self, closed_hosts: int) -> tuple[int, int] | None:
        """Take the fullest host outside the mask `closed_hosts`.

        Returns: its index and how often the instance fits there; None when no host is left. The
        host comes back once the table's list of changes names it again.
        """
        table, heap = self._table, self._reordered
        if self._read_changes < len(table.changes):
            self._read_new_changes()
        # 1. Find the fullest host that is as it was when the pass began.
        self._unchanged &= ~(table.changed | closed_hosts)
        lowest_bit = self._unchanged & -self._unchanged
        unchanged_host = lowest_bit.bit_length() - 1
        bound = table.weighted_free[unchanged_host] if lowest_bit else float("inf")
        # 2. Prefer a changed host that is fuller. Drop those that are full or in another state now.
        while heap and heap[0].weighted_free < bound:
            state = heappop(heap)
            index = state.host
            if state is table.states[index] and not closed_hosts >> index & 1:
                times = count_fitting(table.rows[index], self._instance, UNLIMITED)
                if times:
                    return index, times
        # 3. Otherwise take the unchanged one.
        if not lowest_bit:
            return None
        self._unchanged ^= lowest_bit
        return unchanged_host, count_fitting(table.rows[unchanged_host], self._instance, UNLIMITED)

    def _read_new_changes(self) -> None:
        heap, hosts, states = self._reordered, self._hosts, self._table.states
        for index in set(self._table.changes[self._read_changes :]):
            if hosts >> index & 1:
                heappush(heap, states[index])
        self._read_changes = len(self._table.changes)
