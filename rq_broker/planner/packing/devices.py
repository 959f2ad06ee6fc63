"""What is free of the devices of one host, and which of them an instance is given.

A row of a host with devices has each device as a resource of its own (see domain/devices.py), and
of their resource the sum, which no instance can have at once: it only bounds what fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from rq_broker.domain.capacity import Host
from rq_broker.domain.devices import (
    NO_DEVICES,
    DeviceChoice,
    by_device,
    device_name,
    parts_of,
    whole_sizes,
)
from rq_broker.domain.traits import Amount, Instance

NamedDevices = tuple[tuple[str, int], ...]
"""The name and the size of each device of a resource."""


class DeviceRow(dict[str, int]):
    """What is free on a host with devices."""

    __slots__ = ("devices",)

    devices: Mapping[str, NamedDevices]
    """Resource → its devices."""

    def copy(self) -> DeviceRow:
        """Return a row that changes on its own."""
        return self.like(self)

    def like(self, amounts: Mapping[str, int]) -> DeviceRow:
        """Return a row of the same devices with other amounts free."""
        other = DeviceRow(amounts)
        other.devices = self.devices
        return other


def device_row(host: Host, free: Mapping[str, int], device_free: Mapping[str, int]) -> DeviceRow:
    """Build the row of a host with devices, of what is free of its resources and devices."""
    row = DeviceRow(free)
    row.update(device_free)
    row.devices = {
        resource: tuple((device_name(resource, n), size) for n, size in enumerate(sizes))
        for resource, sizes in host.devices.items()
    }
    for resource, devices in row.devices.items():
        row[resource] = sum(max(row[name], 0) for name, _ in devices)
    return row


def free_when_empty(host: Host) -> DeviceRow:
    """Return what a host with devices would have if nobody used it at all."""
    return device_row(host, host.capacity, by_device(host.devices))


def free_without_holds(host: Host) -> DeviceRow:
    """Return what a host with devices would have if every grant on it ended."""
    free = {r: amount - host.used.get(r, 0) for r, amount in host.capacity.items()}
    unused = {r: [device.size - device.used for device in host.devices_of(r)] for r in host.devices}
    return device_row(host, free, by_device(unused))


def count_fitting(row: DeviceRow, instance: Instance, limit: int) -> int:
    """Count how often `instance` fits in `row`, up to `limit`."""
    for resource, amount in instance:
        devices = row.devices.get(resource)
        if devices is None:
            times = row.get(resource, 0) // amount
        else:
            times = _count_on(row, devices, amount)
        if times < limit:
            if times <= 0:
                return 0
            limit = times
    return limit


def _count_on(row: Mapping[str, int], devices: NamedDevices, amount: int) -> int:
    """Count how many instances with so much of a resource its devices hold."""
    if amount <= max(size for _, size in devices):
        return sum(max(row[name], 0) // amount for name, _ in devices)
    return sum(
        sum(row[name] >= size for name, size in devices if size == whole) // (amount // whole)
        for whole in whole_sizes([size for _, size in devices], amount)
    )


def choose(row: DeviceRow, instance: Instance) -> DeviceChoice | None:
    """Choose the devices for an instance: the fullest that hold it; None where none do.

    An instance that `count_fitting` counts finds its devices, and so do all that it counts, one
    after the other.
    """
    return choose_by(row, instance, None)


def choose_by(
    row: DeviceRow, instance: Instance, prefer: Mapping[str, int] | None
) -> DeviceChoice | None:
    """Choose the devices for an instance: those for which `prefer` has most, else the fullest."""
    choice: dict[str, tuple[int, ...]] = {}
    for resource, amount in instance:
        devices = row.devices.get(resource)
        if devices is not None:
            numbers = _choose_of(row, devices, amount, prefer)
            if numbers is None:
                return None
            choice[resource] = numbers
    return choice


def _choose_of(
    row: Mapping[str, int], devices: NamedDevices, amount: int, prefer: Mapping[str, int] | None
) -> tuple[int, ...] | None:
    def rank(number: int) -> tuple[int, int, int]:
        name, _ = devices[number]
        return -prefer.get(name, 0) if prefer else 0, row[name], number

    if amount <= max(size for _, size in devices):
        fitting = [n for n, (name, _) in enumerate(devices) if row[name] >= amount]
        return (min(fitting, key=rank),) if fitting else None
    for free, count in _whole_devices(row, devices, amount):
        return tuple(sorted(sorted(free, key=rank)[:count]))
    return None


def _whole_devices(
    row: Mapping[str, int], devices: NamedDevices, amount: int
) -> Iterator[tuple[list[int], int]]:
    """Yield the free devices of each size of which there are enough, and how many give the amount.

    The smallest size comes first.
    """
    for whole in whole_sizes([size for _, size in devices], amount):
        free = [n for n, (name, size) in enumerate(devices) if size == whole <= row[name]]
        if len(free) >= amount // whole:
            yield free, amount // whole


def all_choices(row: DeviceRow, instance: Instance) -> Iterator[DeviceChoice]:
    """Yield every choice of devices for an instance, the fullest first.

    Of devices in the same state only the first is chosen.
    """
    resources = [(name, amount) for name, amount in instance if name in row.devices]
    if not resources:
        yield NO_DEVICES
        return
    names = [name for name, _ in resources]
    options = [_options(row, row.devices[name], amount) for name, amount in resources]
    for numbers in product(*options):
        yield dict(zip(names, numbers, strict=True))


def _options(row: Mapping[str, int], devices: NamedDevices, amount: int) -> list[tuple[int, ...]]:
    if amount <= max(size for _, size in devices):
        by_state = {
            (row[name], size): (number,)
            for number, (name, size) in reversed([*enumerate(devices)])
            if row[name] >= amount
        }
        return [by_state[state] for state in sorted(by_state)]
    return [tuple(free[:count]) for free, count in _whole_devices(row, devices, amount)]


def largest(row: DeviceRow, resource: str, amount: int) -> int:
    """Return the most up to `amount` that one instance could have; 0 if nothing is free."""
    devices = row.devices[resource]
    best = min(max(0, *(row[name] for name, _ in devices)), amount)
    for whole in {size for _, size in devices if size}:
        free = sum(row[name] >= whole == size for name, size in devices)
        best = max(best, min(free, amount // whole) * whole)
    return best


def free_for_one(row: DeviceRow, instance: Instance) -> dict[str, int]:
    """Return what is free, and of the devices of a resource the most that one instance gets."""
    return row | {
        resource: largest(row, resource, amount)
        for resource, amount in instance
        if resource in row.devices
    }


def needs_of(row: dict[str, int], instance: Instance, times: int) -> dict[str, int]:
    """Return what so many instances that fit need of a host, of its devices as well."""
    needs = {resource: amount * times for resource, amount in instance}
    if isinstance(row, DeviceRow):
        left = row.copy()
        for _ in range(times):
            for name, amount in parts_of(instance, take_fullest(left, instance)).items():
                needs[name] = needs.get(name, 0) + amount
    return needs


def take(row: dict[str, int], instance: Iterable[Amount], choice: DeviceChoice) -> None:
    """Take what an instance needs, its devices included, from a row."""
    pairs = tuple(instance)
    for name, amount in (*pairs, *parts_of(pairs, choice).items()):
        row[name] = row.get(name, 0) - amount


def most_at_once(row: DeviceRow, resource: str) -> int:
    """Return the most that any instance could have of a resource."""
    devices = row.devices.get(resource)
    if devices is None:
        return row.get(resource, 0)
    sizes = {size for _, size in devices if size}
    whole = (size * sum(row[name] >= size == own for name, own in devices) for size in sizes)
    return max(*(row[name] for name, _ in devices), *whole)


def devices_hold(row: DeviceRow, instance: Instance) -> bool:
    """Return whether the devices of a host hold what an instance needs of their resources."""
    return all(
        _count_on(row, row.devices[resource], amount) > 0
        for resource, amount in instance
        if resource in row.devices
    )


def take_fullest(row: DeviceRow, instance: Instance) -> DeviceChoice:
    """Choose the devices for an instance that fits, and take what it needs."""
    choice = choose(row, instance)
    assert choice is not None  # it was counted
    take(row, instance, choice)
    return choice
