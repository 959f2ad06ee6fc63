"""The hosts of a type as simulated futures see them: groups of alike hosts, and their amounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.devices import device_name, is_device
from rq_broker.domain.holding_times import size_class, size_in_hosts
from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import Instance, traits_of
from rq_broker.planner.forecasting.device_room import could_hold
from rq_broker.planner.forecasting.room import Need, Room, Vector, add
from rq_broker.planner.reservations import is_wide


class _Group(NamedTuple):
    """What the hosts of a group have in common: they are Labelled as far as it matters."""

    aggregates: frozenset[str]
    traits: frozenset[str]
    anywhere: bool
    most: Vector
    """The largest instance that a host could hold."""
    least: Vector
    """The smallest instance that a host gives."""
    step: Vector
    """Each amount of an instance is a multiple of it."""
    devices: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = ()
    """Column of a resource in devices, and the column and size of each of these."""

    def gives(self, index: int, amount: int) -> bool:
        """Return whether an instance may have this amount of the resource in column `index`."""
        return self.least[index] <= amount <= self.most[index] and amount % self.step[index] == 0


UNLIMITED = 1 << 62
"""An amount that no host has."""
MIDDLE_OF_CLASS = 0.4
"""Base-2 logarithm of a size class's middle over its least size."""


class SimulatedHosts:
    """Hosts in groups: those of a group are open to the same demands and hold the same instances.

    The hosts of a group are merged into one, if asked, or if all demands consist of one and the
    same instance: then it makes no difference which of the hosts has room. One with devices never
    is: sums of devices hold more than the devices do.
    """

    def __init__(
        self,
        hosts: Collection[Host],
        demands: Collection[Demand],
        *,
        merged: bool,
        kept_for: Mapping[str, int] | None = None,
    ) -> None:
        """Group the hosts by what some demand asks for.

        `kept_for`: name of a host → ID of the job for which it is kept; these are merged apart.
        """
        in_service = [host for host in hosts if not host.dropped]
        instances = {instance for demand in demands for instance in demand.instances if instance}
        named = {resource for instance in instances for resource, _ in instance}
        devices = {
            device_name(resource, number)
            for host in in_service
            for resource in named & host.devices.keys()
            for number in range(len(host.devices[resource]))
        }
        self.resources = [*sorted(named), *sorted(devices)]
        """What a vector has amounts of: resources, then devices."""
        self._has_devices = bool(devices)
        self._index = {resource: index for index, resource in enumerate(self.resources)}
        self._largest: Counter[str] = Counter()
        for host in in_service:
            self._largest |= Counter(host.capacity)
        self._groups: dict[_Group, int] = {}
        """Group → its number."""
        self._capacities: dict[int, Counter[str]] = {}
        """Group → what its hosts have together."""
        self._number_of: dict[str, int] = {}
        """Name of a host → its number in the room."""
        self._aggregates, self._traits = _labels_that_matter(demands)
        self._only_instance = next(iter(instances)) if len(instances) == 1 else None
        merged = merged or self._only_instance is not None
        self.room = self._build_room(in_service, kept_for or {}, merged=merged)
        self.capacity = self.vector(sum(self._capacities.values(), Counter()))
        """What all hosts have together."""

    def _build_room(
        self, hosts: Collection[Host], kept_for: Mapping[str, int], *, merged: bool
    ) -> Room:
        rows: list[Vector] = []
        groups: list[int] = []
        sizes: list[int] = []
        number_of: dict[tuple[int, int | None], int] = {}
        for host in hosts:
            most = tuple(
                min(host.capacity.get(name, 0), host.max_unit.get(name, UNLIMITED))
                for name in self.resources
            )
            step = tuple([host.step_size.get(name) or 1 for name in self.resources])
            key = _Group(
                host.aggregates & self._aggregates,
                host.traits & self._traits,
                host.anywhere,
                most,
                self.vector(host.min_unit),
                step,
                self._columns_of(host),
            )
            group = self._groups.setdefault(key, len(self._groups))
            self._capacities.setdefault(group, Counter()).update(host.capacity)
            row = self.vector(host.free | host.device_free if self._has_devices else host.free)
            alike = group, kept_for.get(host.name)
            if merged and not key.devices and alike in number_of:
                number = number_of[alike]
                free = [max(amount, 0) for amount in row]
                rows[number] = tuple(map(sum, zip(rows[number], free, strict=True)))
                sizes[number] += 1
            else:
                number = number_of[alike] = len(rows)
                rows.append(row)
                groups.append(group)
                sizes.append(1)
            self._number_of[host.name] = number
        weights = [
            1 / self._largest[name] if self._largest[name] else 0.0 for name in self.resources
        ]
        anywhere = frozenset(number for key, number in self._groups.items() if key.anywhere)
        layouts = {n: dict(key.devices) for key, n in self._groups.items() if key.devices}
        return Room(rows, groups, sizes, weights, anywhere=anywhere, layouts=layouts)

    def _columns_of(self, host: Host) -> tuple[tuple[int, tuple[tuple[int, int], ...]], ...]:
        if not self._has_devices:
            return ()
        return tuple(
            (
                self._index[resource],
                tuple((self._index[device_name(resource, n)], s) for n, s in enumerate(sizes)),
            )
            for resource, sizes in sorted(host.devices.items())
            if resource in self._index
        )

    def vector(self, amounts: Amounts) -> Vector:
        """Return amounts of the resources that matter."""
        return tuple([amounts.get(resource, 0) for resource in self.resources])

    def placement(self, amounts_by_host: Mapping[str, Amounts]) -> list[tuple[int, Vector]]:
        """Return what is held on each host that is in service."""
        held: dict[int, Vector] = {}
        for name, amounts in amounts_by_host.items():
            number = self._number_of.get(name)
            if number is not None:
                vector = self.vector(amounts)
                known = held.get(number)
                held[number] = vector if known is None else add(known, vector)
        return list(held.items())

    def needs(self, demand: Demand) -> tuple[Need, ...]:
        """Return the instances of a demand, the largest first."""
        needs, elastic = [], demand.elastic
        for instance, count in Counter(demand.instances).items():
            parts = tuple((self._index[resource], amount) for resource, amount in instance)
            if not parts:  # it needs nothing, so it fits anywhere
                continue
            traits = traits_of(instance)
            groups = frozenset(
                number
                for group, number in self._groups.items()
                if demand.admits(group)
                and traits.admit(group.traits)
                and all(group.gives(index, amount) for index, amount in parts)
                and could_hold(parts, dict(group.devices))
            )
            vector = self.vector(dict(instance))
            is_elastic = elastic and demand.instances[elastic.index] == instance
            more = elastic.more if elastic and is_elastic else 0
            needs.append(Need(parts, vector, count, groups, demand.spread, more))
        return tuple(sorted(needs, key=lambda need: -self._part_of_host(need)))

    def are_half_taken_by(self, total: Vector, groups: Iterable[int]) -> bool:
        """Return whether a job that may use these groups is wide, by what it needs in all."""
        amounts = dict(zip(self.resources, total, strict=True))
        return is_wide(amounts, [self._capacities[group] for group in groups])

    def _part_of_host(self, need: Need) -> float:
        return max(
            amount / (self._largest[self.resources[index]] or 1) for index, amount in need.parts
        )

    def size_class(self, amounts_of_hosts: Collection[Amounts]) -> int:
        """Return the size class of a hold or a demand, as the admission pass computes it.

        Args:
            amounts_of_hosts: what is held on each host, or the instances of a demand.
        """
        return size_class(self._size(amounts_of_hosts))

    def _size(self, amounts_of_hosts: Collection[Amounts]) -> float:
        return size_in_hosts((amounts.items() for amounts in amounts_of_hosts), self._largest)

    def demand_of_size(self, size: int) -> Demand:
        """Return a demand of a size class: the usual instance, or a part of a host, or whole hosts.

        The usual instance is that of all demands, where they have the same.
        """
        hosts = 2.0 ** (size + MIDDLE_OF_CLASS)
        instance = self._only_instance or self._part_instance(min(hosts, 1.0))
        of_one = self._size([dict(instance)])
        return Demand((instance,) * (max(round(hosts / of_one), 1) if of_one else 1))

    def _part_instance(self, part: float) -> Instance:
        return tuple(
            (resource, max(round(self._largest[resource] * part), 1))
            for resource in self.resources
            if not is_device(resource)
        )


def _labels_that_matter(demands: Collection[Demand]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the aggregates, and the traits, that some demand names."""
    aggregates, traits = set[str](), set[str]()
    for demand in demands:
        aggregates.update(demand.any_aggregate)
        if demand.aggregate is not None:
            aggregates.add(demand.aggregate)
        for named in (demand.traits, *map(traits_of, set(demand.instances))):
            traits.update(named.require, named.forbid)
    return frozenset(aggregates), frozenset(traits)
