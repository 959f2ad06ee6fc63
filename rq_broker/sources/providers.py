"""Placement's resource providers as hosts: figures only, no requests.

A host is a root provider; the resources of its child providers are added to its own. A resource
that several children have, and the root has not, is in devices: each child is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import lcm
from typing import Any

from rq_broker.domain.capacity import Host
from rq_broker.domain.devices import device_name

RESOURCES: Mapping[str, str] = {"MEMORY_MB": "Memory", "DISK_GB": "Disk"}
"""Resource class → the broker's name (MB and GB, as in Placement); others keep their name."""


def amounts_of(classes: Mapping[str, int]) -> dict[str, int]:
    """Return amounts by resource class as amounts by the broker's resource names."""
    return {RESOURCES.get(class_, class_): amount for class_, amount in classes.items()}


@dataclass(slots=True)
class Provider:
    """What the source remembers of one provider from snapshot to snapshot."""

    uuid: str
    name: str = ""
    root: str = ""
    """UUID of the provider at the top of its tree; its own where it has no parent."""
    generation: int | None = None
    """The generation in which capacity, max_unit and aggregates were read; None before that.
    Placement raises it with every change of a provider and every new allocation."""
    capacity: dict[str, int] = field(default_factory=dict)
    max_unit: dict[str, int] = field(default_factory=dict)
    min_unit: dict[str, int] = field(default_factory=dict)
    step_size: dict[str, int] = field(default_factory=dict)
    aggregates: tuple[str, ...] = ()
    traits: frozenset[str] = frozenset()
    traits_generation: int | None = None
    """The generation whose `traits` these are, if that is known."""
    used: dict[str, int] = field(default_factory=dict)
    used_round: int = 0
    """Number of the snapshot that last read `used`; 0: not read since the generation moved."""
    consumers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Consumer → resource → amount, when allocations were last read."""
    consumers_state: tuple[int, Mapping[str, int]] | None = None
    """The generation and the `used` that `consumers` belongs to."""

    def set_inventories(self, inventories: Mapping[str, Mapping[str, Any]]) -> None:
        """Set the units, and capacity: (total − reserved) × allocation_ratio, rounded down."""
        capacity = {
            class_: max(0, int((stock["total"] - stock["reserved"]) * stock["allocation_ratio"]))
            for class_, stock in inventories.items()
        }
        max_unit = {class_: stock["max_unit"] for class_, stock in inventories.items()}
        self.capacity = amounts_of(capacity)
        self.max_unit = amounts_of(max_unit)
        least = {class_: stock.get("min_unit", 1) for class_, stock in inventories.items()}
        steps = {class_: stock.get("step_size", 1) for class_, stock in inventories.items()}
        self.min_unit, self.step_size = amounts_of(least), amounts_of(steps)

    def set_used(self, classes: Mapping[str, int], round_: int) -> None:
        """Set `used` to the usages that the snapshot of this number read."""
        self.used = dict.fromkeys(self.capacity, 0) | amounts_of(classes)
        self.used_round = round_

    def set_allocations(self, allocations: Mapping[str, Any], generation: int, round_: int) -> None:
        """Set consumers, and `used` as their sum, to the allocations that this snapshot read."""
        self.consumers = {
            consumer: amounts_of(allocation["resources"])
            for consumer, allocation in allocations.items()
        }
        self.set_used(_sum(allocation["resources"] for allocation in allocations.values()), round_)
        self.consumers_state = generation, self.used

    def consumers_are_current(self) -> bool:
        """Tell whether `consumers` are those that make up `used`.

        A new allocation always moves the generation. A deletion may leave it as it is, but lowers
        `used`. So while both are as they were, no consumer has come or gone.
        """
        return not any(self.used.values()) or self.consumers_state == (self.generation, self.used)


@dataclass(frozen=True, slots=True)
class Tree:
    """A root provider and all providers below it, itself included."""

    root: Provider
    providers: tuple[Provider, ...]

    def host(self) -> Host:
        """Return the tree as a host, with its aggregates by their UUIDs."""
        devices = self.devices()
        return Host(
            self.root.name,
            capacity=self._capacity(),
            used=_sum(provider.used for provider in self.providers),
            devices={
                resource: tuple(provider.capacity[resource] for provider in providers)
                for resource, providers in devices.items()
            },
            device_used={
                resource: tuple(provider.used.get(resource, 0) for provider in providers)
                for resource, providers in devices.items()
            },
            aggregates=frozenset(self.root.aggregates),
            max_unit=self._max_unit(),
            min_unit=self._combined(lambda provider: provider.min_unit, max),
            step_size=self._combined(lambda provider: provider.step_size, lcm),
            traits=frozenset().union(*(provider.traits for provider in self.providers)),
        )

    def devices(self) -> dict[str, list[Provider]]:
        """Return the resources that the host has in devices: the providers of each, by name.

        Placement gives an instance all it asks for of a resource from one provider, as a device
        does; where the root has some as well it is counted in sums, as its children come and go.
        """
        found: dict[str, list[Provider]] = {}
        if len(self.providers) < 3:  # a root and one child at most
            return {}
        for provider in sorted(self.providers, key=lambda provider: provider.name):
            for resource in provider.capacity:
                found.setdefault(resource, []).append(provider)
        return {
            resource: providers
            for resource, providers in found.items()
            if len(providers) > 1 and self.root not in providers
        }

    def device_of(self, provider: Provider, resource: str) -> str:
        """Return the name of the device that a provider is, or the resource where it is none."""
        providers = self.devices().get(resource, [])
        if provider not in providers:
            return resource
        return device_name(resource, providers.index(provider))

    def _combined(
        self,
        units_of: Callable[[Provider], Mapping[str, int]],
        combine: Callable[[int, int], int],
    ) -> dict[str, int]:
        """Return what every provider of a resource accepts, where that is more than 1.

        An instance that fits it fits each provider; one that only some accept is not granted.
        """
        combined: dict[str, int] = {}
        for provider in self.providers:
            for resource, unit in units_of(provider).items():
                if provider.capacity.get(resource):
                    combined[resource] = combine(combined.get(resource, 1), unit)
        return {resource: unit for resource, unit in combined.items() if unit > 1}

    def _capacity(self) -> dict[str, int]:
        return _sum(provider.capacity for provider in self.providers)

    def _max_unit(self) -> dict[str, int]:
        """Return the most one instance can have of a resource, where that is below the capacity.

        One provider must give all of it: two cards of 4 make a capacity of 8 and a max_unit of 4.
        """
        largest: dict[str, int] = {}
        for provider in self.providers:
            for resource, amount in provider.capacity.items():
                unit = min(amount, provider.max_unit[resource])
                largest[resource] = max(unit, largest.get(resource, 0))
        capacity = self._capacity()
        return {
            resource: amount for resource, amount in largest.items() if amount < capacity[resource]
        }

    def is_full(self, resources: Iterable[str]) -> bool:
        """Tell whether the tree has some of these resources, and nothing of them is free."""
        free = [
            provider.capacity[resource] - provider.used.get(resource, 0)
            for resource in resources
            for provider in self.providers
            if resource in provider.capacity
        ]
        return bool(free) and max(free) <= 0


def trees(providers: Mapping[str, Provider]) -> Iterator[Tree]:
    """Group providers by their root.

    Where the root is not among the providers, because its host is disabled, its children are left
    out with it.
    """
    groups: dict[str, list[Provider]] = {}
    for provider in providers.values():
        groups.setdefault(provider.root, []).append(provider)
    for root, group in groups.items():
        if root in providers:
            yield Tree(providers[root], tuple(group))


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total
