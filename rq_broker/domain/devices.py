"""Devices: a resource that a host has in pieces, such as four GPUs of 1,000 milli-GPUs each.

An instance has its amount from one device; more than the largest of its host in whole ones of one
size only. Where amounts are held or free, a device is a resource named `<resource>/<number>`, from
0 on. No other resource has a slash in its name, so these names collide with none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from rq_broker.domain.traits import Amount, Instance
from rq_broker.domain.validation import Count

MOST_DEVICES = 256
"""Devices of one resource on one host. Each is a field of the host in Redis, and a number that each
pass of the planner compares; real hosts have 16 at most."""
DeviceAmounts = Annotated[
    Sequence[Count], Meta(min_length=1, max_length=MOST_DEVICES, extra={"items": "numbers"})
]
"""An amount of each device of a resource, in the order of their numbers."""
DeviceChoice = Mapping[str, tuple[int, ...]]
"""Resource → the numbers of the devices that an instance is given. It has an equal part of each."""

NO_DEVICES: DeviceChoice = {}
"""What an instance is given on a host without devices, or where it needs none."""


def device_name(resource: str, number: int) -> str:
    """Return the name of a device: `device_name("GPU", 2)` → `GPU/2`."""
    return f"{resource}/{number}"


def resource_of(name: str) -> str:
    """Return the resource of a device; any other resource is its own."""
    return name.partition("/")[0]


def is_device(name: str) -> bool:
    """Return whether this names a device, not a resource."""
    return "/" in name


def whole_sizes(sizes: Iterable[int], amount: int) -> list[int]:
    """Return the sizes of devices that give an amount in whole ones, the smallest first.

    >>> whole_sizes([1000, 600, 1000, 400, 0], 2000)
    [400, 1000]
    """
    return sorted({size for size in sizes if size and amount % size == 0})


def by_device(amounts: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Name the amount of each device: `{"GPU": [7, 9]}` → `{"GPU/0": 7, "GPU/1": 9}`."""
    return {
        device_name(resource, number): amount
        for resource, several in amounts.items()
        for number, amount in enumerate(several)
    }


def parts_of(instance: Iterable[Amount], choice: DeviceChoice) -> dict[str, int]:
    """Return what an instance has of each device that it is given."""
    amounts = dict(instance)
    return {
        device_name(resource, number): amounts[resource] // len(numbers)
        for resource, numbers in choice.items()
        for number in numbers
    }


def held_amounts(instance: Iterable[Amount], choice: DeviceChoice) -> dict[str, int]:
    """Return what Redis holds for an instance: its devices in the place of their resource."""
    pairs = tuple(instance)
    others = {resource: amount for resource, amount in pairs if resource not in choice}
    return others | parts_of(pairs, choice)


def sums_of(amounts: Mapping[str, int]) -> dict[str, int]:
    """Add up devices: what there is of each resource."""
    sums: dict[str, int] = {}
    for name, amount in amounts.items():
        resource = resource_of(name)
        sums[resource] = sums.get(resource, 0) + amount
    return sums


def without_sums(amounts: Mapping[str, int]) -> dict[str, int]:
    """Return amounts without the resources whose devices are among them."""
    sums = {resource_of(name) for name in filter(is_device, amounts)}
    return {name: amount for name, amount in amounts.items() if name not in sums}


def amounts_by_host(
    hosts: Sequence[str], instances: Sequence[Instance], choices: Sequence[DeviceChoice] = ()
) -> dict[str, dict[str, int]]:
    """Add up what instances have of each host, and of each device there.

    Args:
        hosts: the host of each instance.
        instances: what each needs.
        choices: the devices of each; empty if none has any.
    """
    by_host: dict[str, dict[str, int]] = {}
    for host, instance in zip(hosts, instances, strict=True):
        amounts = by_host.setdefault(host, {})
        for resource, amount in instance:
            amounts[resource] = amounts.get(resource, 0) + amount
    if choices:
        for host, instance, choice in zip(hosts, instances, choices, strict=True):
            for device, amount in parts_of(instance, choice).items():
                by_host[host][device] = by_host[host].get(device, 0) + amount
    return by_host
