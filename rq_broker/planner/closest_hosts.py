"""The hosts on which a job comes closest to fitting, and how much of each it needs.

Closest are those where the least capacity is still missing, on the fewest hosts. An explanation
names them, and they are kept for a job whose reservation was missed by far.

What a job needs on a fixed set of hosts, and later jobs do not get there, is free beside it even if
no other hold ever ends. So what is missing there never grows, and the job starts at the latest when
the holds that were there at the beginning have ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from rq_broker.domain.devices import held_amounts, is_device, resource_of
from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.best_fit import pack
from rq_broker.planner.packing.devices import DeviceRow, choose_by
from rq_broker.planner.packing.host_rows import Row
from rq_broker.planner.packing.host_table import HostTable, Needs, count_fitting, indexes_of
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget, needs_of_placement

FALLBACK_STEPS = 1000
"""Search steps for a set of hosts where the greedy choice finds none. With fewer a job of different
instances might get no fixed set."""


def choose_hosts(placer: Placer, without_holds: HostTable, kept: frozenset[str]) -> Needs | None:
    """Choose the hosts to keep: those kept before, if they can still hold the job.

    Args:
        placer: the job's demand, on the table of what is free now.
        without_holds: the same hosts with what each has free if all our grants ended.
        kept: names of the hosts kept for this job by the last pass.

    Returns: what the job needs of each host, or None if no set of hosts could hold it.
    """
    choice = _Choice(placer, without_holds)
    allowed = indexes_of(placer.usable_hosts)
    still_there = [index for index in allowed if placer.table.names[index] in kept]
    if len(still_there) == len(kept):
        needs = choice.least_missing(still_there)
        if needs is not None:
            return needs
    return choice.least_missing(allowed) or choice.any_packing()


class _Preference(NamedTuple):
    """How well a host suits one more instance; the smallest is chosen."""

    missing: float
    """First: what the host lacks now, in parts of the largest host."""
    unused: bool
    """Second: the job needs nothing else of this host; fewer hosts are better."""
    negative_room: int
    """Third: prefer hosts with room for more instances (negated, since the smallest wins)."""
    host: int


@dataclass(frozen=True, slots=True)
class _Choice:
    """The choice of hosts for one job."""

    placer: Placer
    without_holds: HostTable

    def least_missing(self, allowed: list[int]) -> Needs | None:
        """Give each instance, largest kind first, the host where it adds least to what is missing.

        None: the greedy choice has no host for some instance.
        """
        needs: Needs = {}
        for instance, count in self.placer.kinds:
            allowing = self.without_holds.allowing(instance)
            heap = [
                preference
                for index in allowed
                if allowing >> index & 1
                and (preference := self._preference(instance, needs, index)) is not None
            ]
            heapify(heap)
            for _ in range(count):
                if not heap:
                    return None
                index = heap[0].host
                self._add_instance(needs, index, instance)
                preference = self._preference(instance, needs, index)
                if preference is None:
                    heappop(heap)
                else:
                    heapreplace(heap, preference)
        return needs

    def any_packing(self) -> Needs | None:
        """Fall back on any placement on the hosts without our holds."""
        demand, hosts = self.placer.demand, self.placer.usable_hosts
        budget = StepBudget(FALLBACK_STEPS)
        placement = pack(self.without_holds, self.placer.kinds, hosts, demand.spread, budget)
        if placement is None:
            return None
        return needs_of_placement(self.without_holds, placement)

    def _preference(self, instance: Instance, needs: Needs, index: int) -> _Preference | None:
        """Return how well a host suits the instance; None if it cannot hold this beside `needs`.

        "Can hold" ignores our holds: only `without_holds` counts.
        """
        table, demand, needed = self.placer.table, self.placer.demand, needs.get(index)
        row, row_without_holds = table.rows[index], self.without_holds.rows[index]
        if isinstance(row_without_holds, DeviceRow):
            return self._preference_of_devices(instance, needed, index)
        if needed is None:
            room = count_fitting(row_without_holds, instance, len(demand.instances))
            if not room:
                return None
            return _Preference(table.missing_weight(instance, row), True, -room, index)
        if table.takes_one(index, demand.spread) or any(
            row_without_holds.get(resource, 0) - needed.get(resource, 0) < amount
            for resource, amount in instance
        ):
            return None
        left = {
            resource: row.get(resource, 0) - needed.get(resource, 0) for resource, _ in instance
        }
        missing_already = sum(
            -min(free, 0) * table.weights.get(resource, 0.0) for resource, free in left.items()
        )
        missing = table.missing_weight(instance, left) - missing_already
        return _Preference(missing, False, 0, index)

    def _preference_of_devices(
        self, instance: Instance, needed: Row | None, index: int
    ) -> _Preference | None:
        """Return the same for a host with devices: what they lack is what counts."""
        if needed and self.placer.table.takes_one(index, self.placer.demand.spread):
            return None
        parts = self._parts(instance, needed or {}, index)
        if parts is None:
            return None
        row, weights = self.placer.table.rows[index], self.placer.table.weights
        missing = 0.0
        for name, amount in parts.items():
            left = row.get(name, 0) - (needed or {}).get(name, 0)
            missing += (max(amount - left, 0) + min(left, 0)) * weights.get(resource_of(name), 0.0)
        return _Preference(missing, needed is None, 0, index)

    def _parts(self, instance: Instance, needed: Row, index: int) -> Row | None:
        """Choose the devices that lack least for one more instance on a host beside `needed`.

        Returns: what it needs of devices, and of resources without devices; None if it does not
        fit even without our holds.
        """
        row = self.without_holds.rows[index]
        assert isinstance(row, DeviceRow)
        left = row.like({name: free - needed.get(name, 0) for name, free in row.items()})
        now = self.placer.table.rows[index]
        free_now = {name: free - needed.get(name, 0) for name, free in now.items()}
        choice = choose_by(left, instance, free_now) if count_fitting(left, instance, 1) else None
        return None if choice is None else held_amounts(instance, choice)

    def _add_instance(self, needs: Needs, index: int, instance: Instance) -> None:
        needed = needs.setdefault(index, {})
        parts: Row = {}
        if isinstance(self.without_holds.rows[index], DeviceRow):
            parts = self._parts(instance, needed, index) or {}
        for name, amount in (*instance, *filter(_is_of_device, parts.items())):
            needed[name] = needed.get(name, 0) + amount


def _is_of_device(amount: tuple[str, int]) -> bool:
    return is_device(amount[0])
