"""Placement's resource providers in our words: pure figures, no requests.

A host is a root provider; what its children offer is added to it, resource by resource.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rq_broker.domain.capacity import Host

RESOURCES: Mapping[str, str] = {"MEMORY_MB": "Memory", "DISK_GB": "Disk"}
"""Resource class → our word (MB and GB, as Placement counts them); others keep their name."""


def amounts_of(classes: Mapping[str, int]) -> dict[str, int]:
    """Call resource classes by our words."""
    return {RESOURCES.get(each, each): amount for each, amount in classes.items()}


@dataclass(slots=True)
class Provider:
    """What is remembered of one provider between snapshots."""

    uuid: str
    name: str = ""
    root: str = ""
    """UUID of the provider at the top of its tree; its own where it has no parent."""
    generation: int | None = None
    """Placement's, as of which capacity, max_unit and aggregates were read; None: never."""
    capacity: dict[str, int] = field(default_factory=dict)
    max_unit: dict[str, int] = field(default_factory=dict)
    aggregates: tuple[str, ...] = ()
    used: dict[str, int] = field(default_factory=dict)
    read: int = 0
    """Number of the snapshot in which `used` was last read; 0: not since the last change."""
    consumers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Who has how much, when it was last asked."""
    counted: tuple[int, Mapping[str, int]] | None = None
    """Generation and `used` as of which `consumers` is right."""

    def stock(self, inventories: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over its inventories: capacity = (total − reserved) × allocation_ratio, floored."""
        capacity = {
            each: max(0, int((one["total"] - one["reserved"]) * one["allocation_ratio"]))
            for each, one in inventories.items()
        }
        self.capacity = amounts_of(capacity)
        self.max_unit = amounts_of({each: one["max_unit"] for each, one in inventories.items()})

    def use(self, classes: Mapping[str, int], round_: int) -> None:
        """Take over its usages, as read in that snapshot."""
        self.used, self.read = dict.fromkeys(self.capacity, 0) | amounts_of(classes), round_

    def count(self, allocations: Mapping[str, Any], generation: int, round_: int) -> None:
        """Take over who has what, and by that its usages, as read in that snapshot."""
        self.consumers = {who: amounts_of(one["resources"]) for who, one in allocations.items()}
        self.use(_sum(one["resources"] for one in allocations.values()), round_)
        self.counted = generation, self.used

    def is_counted(self) -> bool:
        """Tell whether `consumers` are who has `used`.

        Nobody comes without moving the generation; who goes may, and takes something of `used`.
        """
        return not any(self.used.values()) or self.counted == (self.generation, self.used)


@dataclass(frozen=True, slots=True)
class Tree:
    """A root provider and its children."""

    root: Provider
    providers: tuple[Provider, ...]

    def host(self, names: Mapping[str, str]) -> Host:
        """Make it a host; `names` are Nova's for aggregate UUIDs."""
        return Host(
            self.root.name,
            capacity=_sum(one.capacity for one in self.providers),
            used=_sum(one.used for one in self.providers),
            aggregates=frozenset(names.get(uuid, uuid) for uuid in self.root.aggregates),
            max_unit=self._max_unit(),
        )

    def _max_unit(self) -> dict[str, int]:
        """Say the most one instance may have, of the resources where that is not all of them."""
        most: dict[str, int] = {}
        for one in self.providers:
            for resource, amount in one.capacity.items():
                largest = min(amount, one.max_unit[resource])
                most[resource] = max(largest, most.get(resource, 0))
        capacity = _sum(one.capacity for one in self.providers)
        return {resource: one for resource, one in most.items() if one < capacity[resource]}

    def full(self, resources: Iterable[str]) -> bool:
        """Tell whether it has some of these resources, and none of them left."""
        free = [
            one.capacity[resource] - one.used.get(resource, 0)
            for resource in resources
            for one in self.providers
            if resource in one.capacity
        ]
        return bool(free) and max(free) <= 0


def trees(providers: Mapping[str, Provider]) -> Iterator[Tree]:
    """Group providers by root; children of one that is not listed (disabled) fall away with it."""
    groups: dict[str, list[Provider]] = {}
    for one in providers.values():
        groups.setdefault(one.root, []).append(one)
    for root, group in groups.items():
        if root in providers:
            yield Tree(providers[root], tuple(group))


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total
