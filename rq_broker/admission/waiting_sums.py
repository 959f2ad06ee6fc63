"""Sums up the line of a type: how many jobs wait, of whom, how large, and what they ask for.

Jobs of one shape have one owner and one demand, so the cost grows with the shapes that wait and not
with the jobs. Only resources that hosts have are summed up: any other name is its owner's own
words, which nobody else shall read, and there may be any number of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from rq_broker.domain.capacity import Host
from rq_broker.domain.devices import resource_of
from rq_broker.domain.figures import LEAST_SIZE, MOST_SIZE
from rq_broker.domain.holding_times import size_class, size_in_hosts
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Head, WaitingShape
from rq_broker.store.broker import Broker

PAGE_SHAPES = 500
"""Shapes read with one call, which takes Redis some milliseconds."""
MOST_SHAPES = 2000
"""Shapes summed up at most, those of the first jobs in the line: bounds the time of an answer."""


@dataclass(slots=True)
class WaitingGroup:
    """Waiting jobs that are summed up."""

    jobs: int = 0
    amounts: Counter[str] = field(default_factory=Counter)
    """Resource that hosts have → what they ask for, all together; of a choice the first, of a range
    the least."""
    earliest: Head | None = None
    """The one that was submitted first, of the first jobs of their shapes."""

    def add(self, waiting: WaitingShape, resources: Collection[str]) -> None:
        """Add the jobs of a shape, with what they ask for of these resources."""
        self.jobs += waiting.count
        for instance in waiting.shape.demand.instances:
            for resource, amount in instance:
                if resource in resources:
                    self.amounts[resource] += waiting.count * amount
        for head in waiting.heads[:1]:
            if self.earliest is None or head.id < self.earliest.id:
                self.earliest = head


@dataclass(slots=True)
class WaitingSums:
    """The line of a type, summed up."""

    total: WaitingGroup
    by_owner: dict[str, WaitingGroup]
    by_size: dict[int, WaitingGroup]
    """By size class, see `sizer`."""
    is_complete: bool
    """Whether all shapes are in; the sums are of those in front otherwise."""


async def waiting_sums(broker: Broker, type_: str, hosts: Mapping[str, Host]) -> WaitingSums:
    """Read the line of a type, and sum it up."""
    size_of, resources = sizer(hosts.values()), resources_of(hosts.values())
    sums = WaitingSums(WaitingGroup(), {}, {}, is_complete=True)
    rank, total = 0, 1
    while rank < min(total, MOST_SHAPES):
        page = await broker.heads(type_, rank, PAGE_SHAPES, 1)
        for waiting in page.waiting:
            owner, size = waiting.shape.owner, size_of(waiting.shape.demand)
            sums.total.add(waiting, resources)
            sums.by_owner.setdefault(owner, WaitingGroup()).add(waiting, resources)
            sums.by_size.setdefault(size, WaitingGroup()).add(waiting, resources)
        rank, total = rank + PAGE_SHAPES, page.total
    sums.is_complete = total <= MOST_SHAPES
    return sums


def resources_of(hosts: Iterable[Host]) -> frozenset[str]:
    """Return the resources that hosts have. Any other name is its owner's own words."""
    return frozenset(resource_of(name) for host in hosts for name in host.capacity)


def sizer(hosts: Collection[Host]) -> Callable[[Demand], int]:
    """Return what tells the size class of a demand, as the admission pass computes it.

    The smallest and the largest class take in the others, as in domain/figures.
    """
    largest: dict[str, int] = {}
    for host in hosts:
        if not host.dropped:
            for resource, amount in host.capacity.items():
                largest[resource] = max(amount, largest.get(resource, 0))

    def size_of(demand: Demand) -> int:
        size = size_class(size_in_hosts(demand.instances, largest))
        return max(LEAST_SIZE, min(MOST_SIZE, size))

    return size_of
