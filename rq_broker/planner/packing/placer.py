"""Places the jobs of one demand during one admission pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

from rq_broker.domain.devices import NO_DEVICES, DeviceChoice, parts_of
from rq_broker.domain.holding_times import size_class
from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import Amount, Instance
from rq_broker.planner.packing.best_fit import hosts_needed, kinds_of, pack, total_of
from rq_broker.planner.packing.candidates import CandidateHosts
from rq_broker.planner.packing.device_assignment import assign
from rq_broker.planner.packing.devices import DeviceRow, take, take_fullest
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.packing.least_fragmented import LeastFragmented
from rq_broker.planner.packing.search import Placement, StepBudget, instances_by_host


class Placer:
    """Finds hosts for one demand, again for each job; all shapes with that demand share it."""

    __slots__ = (
        "_candidates",
        "_size",
        "demand",
        "devices",
        "failed",
        "kinds",
        "table",
        "total",
        "usable_hosts",
    )

    def __init__(self, table: HostTable, demand: Demand) -> None:
        self.table = table
        self.demand = demand
        self.usable_hosts = table.hosts_for(demand)
        """Mask of the hosts the demand may use at all."""
        self.kinds = kinds_of(table, demand)
        self.total = total_of(self.kinds)
        self._size: int | None = None
        self.failed = False
        """True once the demand did not fit: then it does not fit for the rest of the pass."""
        self.devices: Sequence[DeviceChoice] = ()
        """The devices of each instance of the last job placed; empty if it has none."""
        self._candidates: tuple[CandidateHosts | LeastFragmented, ...] = ()
        """Of the only kind of instance, in the order in which they are used up."""
        self._use_hosts(self.usable_hosts)

    @property
    def size(self) -> int:
        """The demand's size class."""
        if self._size is None:
            self._size = size_class(hosts_needed(self.table, self.demand))
        return self._size

    @property
    def taken(self) -> Sequence[Iterable[Amount]]:
        """What each instance of the last job placed has: amounts of resources, and of devices."""
        if not self.devices:
            return self.demand.instances
        return [
            (*instance, *parts_of(instance, choice).items())
            for instance, choice in zip(self.demand.instances, self.devices, strict=True)
        ]

    def add_devices(self, index: int, choices: Sequence[DeviceChoice]) -> None:
        """Note the devices of more instances of the last job, which stand from `index` on."""
        self.devices = [*self.devices[:index], *choices, *self.devices[index:]]

    def beside(self, table: HostTable, preferred_hosts: int) -> Placer:
        """Return a placer of the same demand on another table of the same hosts.

        It gives alike instances hosts of the mask `preferred_hosts` first.
        """
        other = copy(self)
        other.table = table
        preferred = self.usable_hosts & preferred_hosts
        other._use_hosts(*filter(None, (preferred, self.usable_hosts & ~preferred)))
        return other

    def _use_hosts(self, *masks: int) -> None:
        """Give alike instances hosts of these masks, the first ones first."""
        if len(self.kinds) == 1:
            instance = self.kinds[0][0]
            self._candidates = tuple(_candidates(self.table, instance, mask) for mask in masks)

    def place(self, closed_hosts: int, budget: StepBudget) -> list[int] | None:
        """Find a host for each instance and take what it needs there, or change nothing.

        Args:
            closed_hosts: mask of hosts the job may not use.
            budget: bounds the search for demands whose instances differ.

        Returns: one host an instance, in the order of the demand's instances; or None.
        """
        if self.failed:
            return None
        if self._candidates:
            hosts = self._place_alike(closed_hosts)
        else:
            hosts = self._place_mixed(closed_hosts, budget)
        self.failed = hosts is None
        return hosts

    def _place_alike(self, closed_hosts: int) -> list[int] | None:
        instance, unplaced = self.kinds[0]
        spread = self.demand.spread
        picks: list[tuple[int, int]] = []
        while unplaced:
            candidate = self._next_candidate(closed_hosts)
            if candidate is None:
                return None
            index, times = candidate
            times = 1 if self.table.takes_one(index, spread) else min(times, unplaced)
            picks.append((index, times))
            unplaced -= times
        hosts = [index for index, times in picks for _ in range(times)]
        if self.table.devices:
            self.devices = [take_on(self.table, index, instance) for index in hosts]
            return hosts
        for index, times in picks:
            self.table.take(index, instance, times)
        return hosts

    def _next_candidate(self, closed_hosts: int) -> tuple[int, int] | None:
        for candidates in self._candidates:
            candidate = candidates.pop(closed_hosts)
            if candidate is not None:
                return candidate
        return None

    def _place_mixed(self, closed_hosts: int, budget: StepBudget) -> list[int] | None:
        open_hosts = self.usable_hosts & ~closed_hosts
        placement = pack(self.table, self.kinds, open_hosts, self.demand.spread, budget)
        if placement is None:
            return None
        if self.table.devices:
            return self._take_mixed_devices(placement)
        hosts = [placement[instance].pop() for instance in self.demand.instances]
        for index, instance in zip(hosts, self.demand.instances, strict=True):
            self.table.take(index, instance)
        return hosts

    def _take_mixed_devices(self, placement: Placement) -> list[int]:
        """Take what placed instances need, and choose devices for all of a host together."""
        found: dict[Instance, list[tuple[int, DeviceChoice]]] = {}
        for index, instances in instances_by_host(placement).items():
            choices = take_all_on(self.table, index, instances)
            for instance, choice in zip(instances, choices, strict=True):
                found.setdefault(instance, []).append((index, choice))
        placed = [found[instance].pop() for instance in self.demand.instances]
        self.devices = [choice for _, choice in placed]
        return [index for index, _ in placed]


def take_all_on(
    table: HostTable, index: int, instances: Sequence[Instance]
) -> Sequence[DeviceChoice]:
    """Take what instances need that `pack` placed on a host; returns the devices of each."""
    row = table.rows[index]
    if not isinstance(row, DeviceRow):
        for instance in instances:
            table.take(index, instance)
        return [NO_DEVICES] * len(instances)
    choices = assign(row, instances)
    assert choices is not None  # `pack` found them in the same way
    for instance, choice in zip(instances, choices, strict=True):
        take(row, instance, choice)
    table.note_change(index)
    return choices


def _candidates(
    table: HostTable, instance: Instance, hosts: int
) -> CandidateHosts | LeastFragmented:
    if table.fragmentation is None:
        return CandidateHosts(table, instance, hosts)
    return LeastFragmented(table, instance, hosts, table.fragmentation)


def take_on(table: HostTable, index: int, instance: Instance) -> DeviceChoice:
    """Take what an instance needs on a host; returns the devices that were chosen for it."""
    row = table.rows[index]
    if not isinstance(row, DeviceRow):
        table.take(index, instance)
        return NO_DEVICES
    if table.fragmentation is None:
        choice = take_fullest(row, instance)
    else:
        choice = table.fragmentation.best(row, instance)[1]
        take(row, instance, choice)
    table.note_change(index)
    return choice
