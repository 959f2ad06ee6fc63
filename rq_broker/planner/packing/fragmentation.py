"""How much of the free devices of a host would be of no use to the jobs that are to be expected.

What is free of a device is a fragment for an instance that it cannot hold; all that is free on a
host is, for an instance that does not fit there at all. The fragmentation of a host is the average
of that over the instances that wait and run now. Each placement takes the host and the device where
that grows least (Fragmentation Gradient Descent: Weng et al., ATC 2023). So the last free part of a
device is filled, and hosts with free devices keep the processors that these need.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate, count
from typing import NamedTuple

from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.devices import DeviceRow, NamedDevices, all_choices, take

RAREST = 512
"""An instance that is rarer than one in so many does not count. With more, each host takes longer
to judge."""
REMEMBERED = 50_000
"""States of hosts whose fragmentation is remembered: some 20 MB. With fewer, a pass over thousands
of hosts computes them anew."""


class Typical(NamedTuple):
    """An instance that is to be expected, and its part of all."""

    amounts: Instance
    weight: float


State = tuple[object, object]
"""What is free on a host: of its devices, in any order, and of its other resources."""
Workload = tuple[Typical, ...]
"""The instances that are to be expected; the weights add up to 1 at most."""


def workload_of(counts: Mapping[Instance, int]) -> Workload:
    """Return the workload of which so many instances of each kind were seen.

    How common one is, is rounded down to a power of two: so a workload stays the same for many
    passes, and with it what is known of hosts.
    """
    total = sum(counts.values())
    shares = ((tuple(instance), count * RAREST // total) for instance, count in counts.items())
    return tuple(
        Typical(instance, (1 << share.bit_length() - 1) / RAREST)
        for instance, share in sorted(shares)
        if share
    )


class Fragmentation:
    """Judges hosts by one workload, and remembers what it computed of them."""

    __slots__ = ("_growths", "_known", "_numbers", "_parts", "_unused", "_weights", "workload")

    def __init__(self, workload: Workload, weights: Mapping[str, float]) -> None:
        """Judge by a workload; `weights` make the amounts of resources comparable."""
        self.workload = workload
        self._weights = weights
        self._parts: dict[frozenset[str], list[_Part]] = {}
        """Resources in devices → the workload, with what of it is in devices apart."""
        self._numbers: dict[State, int] = {}
        self._unused = count()
        self._known: dict[int, float] = {}
        """Number of a state → its fragmentation."""
        self._growths: dict[Instance, dict[int, float]] = {}
        """Instance → number of a state → by how much it grows with the instance."""

    def number_of(self, row: DeviceRow) -> int:
        """Return a number that hosts have in common if they are equally fragmented.

        No other state ever has it: placers may still hold growths that were forgotten here.
        """
        state = _state_of(row)
        number = self._numbers.get(state)
        if number is None:
            if len(self._numbers) >= REMEMBERED:
                self._numbers, self._known, self._growths = {}, {}, {}
            number = self._numbers[state] = next(self._unused)
        return number

    def growths(self, instance: Instance) -> dict[int, float]:
        """Return what is known of an instance: number of a state → growth; `growth` adds to it."""
        return self._growths.setdefault(instance, {})

    def growth(self, row: DeviceRow, instance: Instance) -> float:
        """Return by how much the fragmentation of a host grows with an instance that fits."""
        return self.best(row, instance)[0] - self._of(row)

    def best(self, row: DeviceRow, instance: Instance) -> tuple[float, DeviceChoice]:
        """Return the least fragmentation of a host with an instance, and the devices for that."""
        best: tuple[float, DeviceChoice] | None = None
        for choice in all_choices(row, instance):
            after = row.copy()
            take(after, instance, choice)
            fragmentation = self._of(after)
            if best is None or fragmentation < best[0]:
                best = fragmentation, choice
        assert best is not None  # it fits
        return best

    def _of(self, row: DeviceRow) -> float:
        number = self.number_of(row)
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = self._compute(row)
        return known

    def _compute(self, row: DeviceRow) -> float:
        devices = {name: _FreeDevices(row, several) for name, several in row.devices.items()}
        weights, get = self._weights, row.get
        total = sum(weights.get(name, 0.0) * several.total for name, several in devices.items())
        if not total:
            return 0.0
        fragments = 0.0
        for others, in_devices, weight in self._parts_for(row):
            usable = 0.0
            if all(get(resource, 0) >= amount for resource, amount in others):
                for resource, amount in in_devices:
                    here = devices[resource].usable(amount)
                    if not here:
                        usable = 0.0
                        break
                    usable += weights.get(resource, 0.0) * here
            fragments += weight * (total - usable)
        return fragments

    def _parts_for(self, row: DeviceRow) -> list[_Part]:
        names = frozenset(row.devices)
        parts = self._parts.get(names)
        if parts is None:
            parts = self._parts[names] = [
                _Part(
                    tuple(pair for pair in amounts if pair[0] not in names),
                    tuple(pair for pair in amounts if pair[0] in names),
                    weight,
                )
                for amounts, weight in self.workload
            ]
        return parts


class _Part(NamedTuple):
    """An instance that is to be expected, as hosts with some devices see it."""

    others: Instance
    in_devices: Instance
    weight: float


class _FreeDevices:
    """What is free of the devices of one resource on a host."""

    __slots__ = ("_free", "_from", "_largest", "_row", "_several", "total")

    def __init__(self, row: Mapping[str, int], several: NamedDevices) -> None:
        self._row, self._several = row, several
        self._largest = max([size for _, size in several])
        self._free = sorted([max(row[name], 0) for name, _ in several])
        self._from = [*accumulate(reversed(self._free), initial=0)][::-1]
        """Place → what is free from there on, added up."""
        self.total = self._from[0]

    def usable(self, amount: int) -> int:
        """Return what is no fragment for so much of the resource."""
        if amount <= self._largest:
            return self._from[bisect_left(self._free, amount)]
        row = self._row
        whole = sum(
            size
            for name, size in self._several
            if row[name] >= size and size and amount % size == 0
        )
        return whole if whole >= amount else 0


def _state_of(row: DeviceRow) -> State:
    """Return what tells a host from others of the same fragmentation."""
    devices, others = [], dict(row)
    for resource, several in row.devices.items():
        sizes = [(others.pop(name), size) for name, size in several]
        devices.append((resource, tuple(sorted(sizes))))
        del others[resource]
    return tuple(devices), tuple(sorted(others.items()))


@lru_cache(16)
def judge(workload: Workload, weights: tuple[tuple[str, float], ...]) -> Fragmentation:
    """Return the judge by a workload, which remembers the hosts that earlier passes saw."""
    return Fragmentation(workload, dict(weights))
