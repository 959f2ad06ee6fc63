"""What is free on each host during one admission pass.

Hosts are numbered, and a set of hosts is a *mask*: a whole number whose bit n stands for host n.
"Which hosts could hold this" is then a few ANDs, however many hosts there are.

During a pass free capacity only shrinks. Three things follow: a host that cannot hold an instance
need not be tried again for that kind of instance; masks computed at the start of the pass stay
supersets of the truth; and a demand that failed once fails for the rest of the pass.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from copy import copy
from typing import NamedTuple

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import Instance, Traits, traits_of
from rq_broker.planner.packing import devices as in_devices
from rq_broker.planner.packing.devices import DeviceRow
from rq_broker.planner.packing.fragmentation import Fragmentation
from rq_broker.planner.packing.host_rows import HostRow, Row, fullest_first, weights_of

Needs = dict[int, Row]
"""Host → what a job needs of it."""


def free_now(host: Host) -> Row:
    """Return what a host has left: capacity − used − held."""
    free = host.free
    return in_devices.device_row(host, free, host.device_free) if host.devices else free


def free_without_holds(host: Host) -> Row:
    """Return what a host would have left if every grant on it ended."""
    if host.devices:
        return in_devices.free_without_holds(host)
    return {r: amount - host.used.get(r, 0) for r, amount in host.capacity.items()}


def free_when_empty(host: Host) -> Row:
    """Return what a host would have if nobody used it at all."""
    return in_devices.free_when_empty(host) if host.devices else dict(host.capacity)


def count_fitting(row: Mapping[str, int], instance: Instance, limit: int) -> int:
    """Count how often `instance` fits in `row`, up to `limit`."""
    if isinstance(row, DeviceRow):
        return in_devices.count_fitting(row, instance, limit)
    for resource, amount in instance:
        times = row.get(resource, 0) // amount
        if times < limit:
            if times <= 0:
                return 0
            limit = times
    return limit


def indexes_of(mask: int) -> list[int]:
    """List the hosts of a mask, ascending."""
    return [index for index, digit in enumerate(bin(mask)[:1:-1]) if digit == "1"]


class HostState(NamedTuple):
    """A host as it was right after something was taken from it; the fullest comes first."""

    weighted_free: float
    host: int
    change: int
    """The number of the change, counted over all hosts."""


class Units(NamedTuple):
    """What a host lets one instance have of a resource."""

    most: Amounts
    least: Amounts
    step: Amounts

    def allow(self, instance: Instance) -> bool:
        """Return whether each amount of an instance is one that the host gives."""
        return all(
            self.least.get(resource, 0) <= amount <= self.most.get(resource, amount)
            and amount % (self.step.get(resource) or 1) == 0
            for resource, amount in instance
        )

    def largest(self, resource: str, free: int) -> int:
        """Return the most that one instance could have of what is free; 0 if that is too little."""
        amount = min(free, self.most.get(resource, free))
        amount -= amount % (self.step.get(resource) or 1)
        return amount if amount >= self.least.get(resource, 0) else 0


class HostTable:
    """The hosts in service, numbered from the fullest to the emptiest, with what is free on each.

    Best fit takes the host where least is left over. Left over is what was free minus what the
    instance takes, and the latter is the same on every host: so the fullest host that fits is best.
    """

    __slots__ = (
        "_allowing",
        "_at_start",
        "_certain",
        "_rows_at_start",
        "_thresholds",
        "_traits",
        "_with_trait",
        "aggregates",
        "all_hosts",
        "anywhere",
        "changed",
        "changes",
        "device_states",
        "devices",
        "fragmentation",
        "names",
        "rows",
        "states",
        "units",
        "weighted_free",
        "weights",
    )

    def __init__(
        self,
        hosts: Collection[Host],
        row_of: Callable[[Host], Row] = free_now,
        earlier: HostTable | None = None,
    ) -> None:
        """Number the hosts that are not dropped; `row_of` returns what counts as free on a host.

        `earlier`: a table by the same `row_of` that no pass changed. Where a host is the very same
        object there, nothing is computed anew.
        """
        self.weights = weights_of(hosts)
        """Resource → 1 / its amount on the largest host: makes resources comparable."""
        known = earlier._at_start if earlier and earlier.weights == self.weights else {}
        self._at_start: dict[str, HostRow] = fullest_first(hosts, row_of, self.weigh, known)
        """Name → what is free on the host, in order; of the table before any pass changed it."""
        in_order = self._at_start.values()
        self.rows = [each.row for each in in_order]
        self.weighted_free = [each.weighted_free for each in in_order]
        """Per host: its row as one number, see `weigh`."""
        self.names = list(self._at_start)
        self.all_hosts = (1 << len(self.names)) - 1
        self.aggregates: dict[str, int] = {}
        """Aggregate → mask of its hosts."""
        self.anywhere = 0
        """Mask of the hosts that are no places, see Host.anywhere."""
        self.devices = 0
        """Mask of the hosts that have a resource in devices."""
        self._certain: dict[str, int] = {}
        """Resource → up to which amount the largest free part of a device says whether it fits, on
        every host with devices: the size of the smallest, 0 where one has devices of two sizes."""
        self.device_states: dict[int, int] = {}
        """Host with devices → the number of its state, once asked for."""
        self.fragmentation: Fragmentation | None = None
        """Judges hosts with devices; without it the fullest that fits is taken."""
        self._traits = [each.host.traits for each in in_order]
        self._with_trait: dict[str, int] = {}
        """Trait → mask of its hosts, once asked for."""
        self.units: dict[int, Units] = {}
        """Host → the most one instance may have of a resource, where that is limited."""
        for index, each in enumerate(in_order):
            self._index_host(index, each.host)
        self._begin()

    def _begin(self) -> None:
        """Begin a pass in which nothing is taken yet."""
        self.changed = 0
        """Mask of the hosts something was taken from."""
        self.changes: list[int] = []
        """The host of each change, in order."""
        self.states: dict[int, HostState] = {}
        """Changed host → its state after its last change."""
        self._allowing: dict[Instance, int] = {}
        self._thresholds: dict[str, tuple[list[int], list[int]]] = {}
        self._rows_at_start = self.rows
        """What was free when the pass began, or the same list as `rows`."""

    def _index_host(self, index: int, host: Host) -> None:
        """Note what a host is like, beside what is free on it."""
        if host.max_unit or host.min_unit or host.step_size:
            self.units[index] = Units(host.max_unit, host.min_unit, host.step_size)
        if host.devices:
            self.devices |= 1 << index
            for resource, sizes in host.devices.items():
                certain = sizes[0] if len(set(sizes)) == 1 else 0
                self._certain[resource] = min(self._certain.get(resource, certain), certain)
        if host.anywhere:
            self.anywhere |= 1 << index
        for aggregate in host.aggregates:
            self.aggregates[aggregate] = self.aggregates.get(aggregate, 0) | 1 << index

    def with_rows(self, rows: list[Row]) -> HostTable:
        """Return a table, to read only, of the same hosts with other amounts free."""
        other = copy(self)
        other.rows = rows
        other.weighted_free = [self.weigh(row) for row in rows]
        other._thresholds, other.device_states = {}, {}
        other._rows_at_start = rows
        return other

    def renewed(self) -> HostTable:
        """Return a table for a pass of its own over the same hosts; this one stays as it is."""
        other = self.fork()
        other.rows = [row.copy() for row in self.rows]
        return other

    def fork(self) -> HostTable:
        """Return a table that goes its own way from here; rows are shared until one is replaced."""
        other = copy(self)
        other.rows, other.weighted_free = list(self.rows), list(self.weighted_free)
        other.changes, other.states = list(self.changes), dict(self.states)
        other.device_states = dict(self.device_states)
        return other

    def without_hosts(self, mask: int) -> HostTable:
        """Return a table, to read only, in which no demand may use the hosts of `mask`."""
        if not mask:
            return self
        other = self.with_rows(self.rows)
        other.all_hosts &= ~mask
        other.anywhere &= ~mask
        other.aggregates = {name: hosts & ~mask for name, hosts in self.aggregates.items()}
        return other

    def weigh(self, row: Mapping[str, int]) -> float:
        """Add up a row's resources, each as a part of the largest host's amount of it."""
        weights = self.weights
        return sum(weights[resource] * amount for resource, amount in row.items())

    def missing_weight(self, instance: Instance, row: Mapping[str, int]) -> float:
        """Add up what a row lacks for an instance, each resource as in `weigh`; 0 if it fits."""
        total = 0.0
        for resource, amount in instance:
            lacking = amount - row.get(resource, 0)
            if lacking > 0:
                total += lacking * (self.weights.get(resource) or 1.0)
        return total

    def hosts_for(self, demand: Demand) -> int:
        """Return the mask of the hosts that a demand as a whole lets its instances use."""
        mask = self.all_hosts
        if demand.aggregate is not None:
            mask = self.aggregates.get(demand.aggregate, 0)
        if demand.any_aggregate:
            of_any = 0
            for aggregate in demand.any_aggregate:
                of_any |= self.aggregates.get(aggregate, 0)
            mask &= of_any
        if demand.traits:
            mask &= self.admitted_by(demand.traits)
        return mask | self._beside(demand) if self.anywhere else mask

    def rows_of(self, hosts: int) -> list[Row]:
        """List what is free on each host of a mask."""
        return [self.rows[index] for index in indexes_of(hosts)]

    def _beside(self, demand: Demand) -> int:
        """Return the mask of the hosts that are anywhere and have all that some instance needs."""
        kinds = set(demand.instances)
        mask = 0
        for index in indexes_of(self.anywhere):
            row = self.rows[index]
            if any(all(resource in row for resource, _ in kind) for kind in kinds):
                mask |= 1 << index
        return mask

    def known_traits(self) -> frozenset[str]:
        """Return the traits that some host has."""
        return frozenset().union(*self._traits)

    def admitted_by(self, traits: Traits) -> int:
        """Return the mask of the hosts that have all traits required, and none forbidden."""
        mask = self.all_hosts
        for trait in traits.require:
            mask &= self._having(trait)
        for trait in traits.forbid:
            mask &= ~self._having(trait)
        return mask

    def _having(self, trait: str) -> int:
        mask = self._with_trait.get(trait)
        if mask is None:
            bits = ("1" if trait in traits else "0" for traits in reversed(self._traits))
            mask = self._with_trait[trait] = int("".join(bits) or "0", 2)
        return mask

    def takes_one(self, index: int, spread: bool) -> bool:
        """Return whether `spread` lets a host have one instance only."""
        return spread and not self.anywhere >> index & 1

    def allowing(self, instance: Instance) -> int:
        """Return the mask of the hosts whose units and traits let one instance be there."""
        traits = traits_of(instance)
        if not self.units and not traits:
            return self.all_hosts
        mask = self._allowing.get(instance)
        if mask is None:
            mask = self.admitted_by(traits)
            for index, units in self.units.items():
                if not units.allow(instance):
                    mask &= ~(1 << index)
            self._allowing[instance] = mask
        return mask

    def free_for_one(self, index: int, instance: Instance) -> Row:
        """Return the largest instance that a host could hold now, its units considered.

        Of a resource in devices that is the most of what `instance` asks for.
        """
        row, units = self.rows[index], self.units.get(index)
        if isinstance(row, DeviceRow):
            row = in_devices.free_for_one(row, instance)
        if units is None:
            return row
        return {resource: units.largest(resource, free) for resource, free in row.items()}

    def fitting_at_start(self, instance: Instance, hosts: int) -> int:
        """Return those of the hosts that could hold one `instance` when the pass began."""
        hosts &= self.allowing(instance)
        for resource, amount in instance:
            if not hosts:  # it indexes no further one of many resources that no host has
                return 0
            amounts, masks = self._thresholds.get(resource) or self._index_resource(resource)
            position = bisect_left(amounts, amount)
            hosts &= masks[position] if position < len(masks) else 0
        if any(amount > self._certain.get(resource, amount) for resource, amount in instance):
            hosts &= ~self._lacking_devices(instance, hosts)
        return hosts

    def _lacking_devices(self, instance: Instance, hosts: int) -> int:
        """Return those of the hosts whose devices do not hold an instance, though sums do."""
        mask = 0
        for index in indexes_of(self.devices & hosts):
            row = self.rows[index]
            if isinstance(row, DeviceRow) and not in_devices.devices_hold(row, instance):
                mask |= 1 << index
        return mask

    def _index_resource(self, resource: str) -> tuple[list[int], list[int]]:
        """List the free amounts that occur, ascending, and the hosts with at least each."""
        by_amount: dict[int, int] = {}
        for index, row in enumerate(self._rows_at_start):
            amount = row.get(resource, 0)
            if isinstance(row, DeviceRow):
                amount = in_devices.most_at_once(row, resource)
            by_amount[amount] = by_amount.get(amount, 0) | 1 << index
        amounts = sorted(by_amount)
        masks, mask = [], 0
        for amount in reversed(amounts):
            mask |= by_amount[amount]
            masks.append(mask)
        self._thresholds[resource] = thresholds = (amounts, masks[::-1])
        return thresholds

    def device_state(self, index: int) -> int:
        """Return the number of the state of a host with devices, see Fragmentation."""
        state = self.device_states.get(index)
        if state is None:
            row = self.rows[index]
            assert isinstance(row, DeviceRow)
            assert self.fragmentation is not None
            state = self.device_states[index] = self.fragmentation.number_of(row)
        return state

    def take(self, index: int, amounts: Iterable[tuple[str, int]], times: int = 1) -> None:
        """Use up `times` × `amounts` on one host."""
        row, weighted_free, weights = self.rows[index], self.weighted_free[index], self.weights
        for resource, amount in amounts:
            row[resource] = row.get(resource, 0) - amount * times
            weighted_free -= weights.get(resource, 0.0) * amount * times
        self._note_change(index, weighted_free)

    def note_change(self, index: int) -> None:
        """Note that a host's row, which others share or replace, has less free."""
        self._note_change(index, self.weigh(self.rows[index]))

    def _note_change(self, index: int, weighted_free: float) -> None:
        self.weighted_free[index] = weighted_free
        self.changed |= 1 << index
        if self.devices:
            self.device_states.pop(index, None)
        self.states[index] = HostState(weighted_free, index, len(self.changes))
        self.changes.append(index)
