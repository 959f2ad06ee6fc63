"""A bounded search for jobs of few, different instances that best fit cannot place."""

from __future__ import annotations

from dataclasses import dataclass

from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.host_table import (
    HostTable,
    Row,
    count_fitting,
    indexes_of,
)

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
            self._rows[index] = reduced(row, instance, 1)
            self._placed.append(index)
            if self._place_next():
                return True
            self._placed.pop()
            self._rows[index] = row
        return False

    def _choices(self, instance: Instance) -> list[int]:
        """List the hosts with room, fullest first; of hosts in the same state only the first."""
        by_state: dict[tuple[object, ...], int] = {}
        table, allowing = self._table, self._table.allowing(instance)
        for index, row in self._rows.items():
            takes_one = table.takes_one(index, self._spread)
            if not allowing >> index & 1 or (takes_one and index in self._placed):
                continue
            if count_fitting(row, instance, 1):
                allowed = tuple([mask >> index & 1 for mask in self._allowing])
                by_state.setdefault((tuple(sorted(row.items())), allowed, takes_one), index)
        weigh = table.weigh
        return sorted(by_state.values(), key=lambda index: (weigh(self._rows[index]), index))


def reduced(row: Row, instance: Instance, times: int) -> Row:
    """Return what is left of a row after `times` × `instance`."""
    left = dict(row)
    for resource, amount in instance:
        left[resource] -= amount * times
    return left
