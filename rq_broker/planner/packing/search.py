"""A bounded search for jobs of few, different instances that best fit cannot place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

from rq_broker.domain.devices import NO_DEVICES, DeviceChoice, parts_of
from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.device_assignment import assign
from rq_broker.planner.packing.devices import DeviceRow, take, take_fullest
from rq_broker.planner.packing.host_rows import Row
from rq_broker.planner.packing.host_table import HostTable, Needs, count_fitting, indexes_of

Kinds = list[tuple[Instance, int]]
"""Each kind of instance and how many of it a demand has."""
Placement = dict[Instance, list[int]]
"""Kind of instance → the host of each of its instances."""


@dataclass(slots=True)
class StepBudget:
    """How many more hosts searches may try, all together; a search counts it down."""

    steps: int


class Search:
    """Depth-first over the instances, fullest host first, until all are placed or steps run out."""

    def __init__(
        self, table: HostTable, kinds: Kinds, hosts: int, spread: bool, budget: StepBudget
    ) -> None:
        self._table = table
        self._instances = [instance for instance, count in kinds for _ in range(count)]
        self._spread = spread
        self._budget = budget
        self._rows = {index: table.rows[index] for index in indexes_of(hosts)}
        self._allowing = [table.allowing(instance) for instance, _ in kinds]
        self._placed: list[int] = []
        """The host of each instance placed so far."""

    def run(self) -> Placement | None:
        """Return a placement, or None when there is none or the budget is used up."""
        if not self._place_next():
            return None
        placement: Placement = {}
        for instance, index in zip(self._instances, self._placed, strict=True):
            placement.setdefault(instance, []).append(index)
        return placement

    def _place_next(self) -> bool:
        if len(self._placed) == len(self._instances):
            return True
        instance = self._instances[len(self._placed)]
        for index in self._choices(instance):
            if self._budget.steps <= 0:
                return False
            self._budget.steps -= 1
            row = self._rows[index]
            self._rows[index] = self._reduced(index, row, instance)
            self._placed.append(index)
            if self._place_next():
                return True
            self._placed.pop()
            self._rows[index] = row
        return False

    def _reduced(self, index: int, row: Row, instance: Instance) -> Row:
        if not isinstance(row, DeviceRow):
            return reduced(row, instance, 1)
        left, choices = self._assign(index, row, instance)
        for other, choice in zip(self._on(index, instance), choices or (), strict=True):
            take(left, other, choice)
        return left

    def _on(self, index: int, instance: Instance) -> list[Instance]:
        """List the instances on a host, with one more."""
        placed = zip(self._instances, self._placed, strict=False)
        return [*(other for other, host in placed if host == index), instance]

    def _assign(
        self, index: int, row: DeviceRow, instance: Instance
    ) -> tuple[DeviceRow, list[DeviceChoice] | None]:
        """Return a host as it was, and the devices of its instances if it takes one more."""
        at_start = row.like(self._table.rows[index])
        return at_start, assign(at_start, self._on(index, instance))

    def _has_room(self, index: int, row: Row, instance: Instance) -> bool:
        """Return whether a host takes one more instance, the others on other devices if need be."""
        if count_fitting(row, instance, 1):
            return True
        if not isinstance(row, DeviceRow) or index not in self._placed:
            return False
        return self._assign(index, row, instance)[1] is not None

    def _state(self, index: int, row: Row) -> tuple[object, ...]:
        """Return what tells a host from others: where equal, the first speaks for all."""
        if isinstance(row, DeviceRow) and index in self._placed:
            return (index,)
        return tuple(sorted(row.items()))

    def _choices(self, instance: Instance) -> list[int]:
        """List the hosts with room, fullest first; of hosts in the same state only the first."""
        by_state: dict[tuple[object, ...], int] = {}
        table, allowing = self._table, self._table.allowing(instance)
        for index, row in self._rows.items():
            takes_one = table.takes_one(index, self._spread)
            if not allowing >> index & 1 or (takes_one and index in self._placed):
                continue
            if self._has_room(index, row, instance):
                allowed = tuple([mask >> index & 1 for mask in self._allowing])
                by_state.setdefault((self._state(index, row), allowed, takes_one), index)
        weigh = table.weigh
        return sorted(by_state.values(), key=lambda index: (weigh(self._rows[index]), index))


def reduced(row: Row, instance: Instance, times: int) -> Row:
    """Return what is left of a row after `times` × `instance`."""
    left = row.copy()
    if isinstance(left, DeviceRow):
        for _ in range(times):
            take_fullest(left, instance)
        return left
    for resource, amount in instance:
        left[resource] -= amount * times
    return left


def instances_by_host(placement: Placement) -> dict[int, list[Instance]]:
    """Return the instances placed on each host, in the order in which they were placed."""
    by_host: dict[int, list[Instance]] = {}
    for instance, indexes in placement.items():
        for index in indexes:
            by_host.setdefault(index, []).append(instance)
    return by_host


def needs_of_placement(table: HostTable, placement: Placement) -> Needs:
    """Return what placed instances need of each host, of its devices as well."""
    needs: Needs = {}
    for index, instances in instances_by_host(placement).items():
        row, needed = table.rows[index], needs.setdefault(index, {})
        choices = assign(row, instances) if isinstance(row, DeviceRow) else None
        for instance, choice in zip(instances, choices or repeat(NO_DEVICES), strict=False):
            for name, amount in (*instance, *parts_of(instance, choice).items()):
                needed[name] = needed.get(name, 0) + amount
    return needs
