"""How the devices of hosts and of grants stand in Redis, see domain/devices.py.

A host has no `capacity:<resource>` for a resource in devices but `capacity:<resource>/<number>` for
each, so that a notifier of an earlier contract sees none of it and grants none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from rq_broker.domain.capacity import Host
from rq_broker.domain.devices import DeviceChoice, by_device, is_device, resource_of, sums_of


def host_fields(amounts: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Return amounts of a host's hash as fields of Host; those without devices stay as they are.

    Args:
        amounts: kind, such as `capacity`, → resource or device → amount.
    """
    capacity, used, held = amounts["capacity"], amounts["used"], amounts["held"]
    if not any(map(is_device, (*capacity, *held))):
        return dict(amounts)
    devices = _lists(capacity)
    sizes = {resource: len(several) for resource, several in devices.items()}
    used_lists = _lists(
        {name: amount for name, amount in used.items() if resource_of(name) not in used}
    )
    sums = {name: amount for name, amount in used.items() if not is_device(name)}
    device_used = {
        resource: (*several, *[0] * sizes[resource])[: sizes[resource]]
        for resource, several in used_lists.items()
        if resource in sizes
    }
    return {
        **amounts,
        "capacity": sums_of(capacity),
        "used": sums | {resource: sum(several) for resource, several in device_used.items()},
        "held": sums_of(held),
        "devices": devices,
        "device_used": device_used,
        "device_held": {name: amount for name, amount in held.items() if is_device(name)},
    }


def _lists(amounts: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """List the amounts of the devices of each resource; what a gap in the numbers lacks is 0."""
    counts: dict[str, int] = {}
    for name in filter(is_device, amounts):
        resource, _, number = name.partition("/")
        counts[resource] = max(counts.get(resource, 0), int(number) + 1)
    return {
        resource: tuple(amounts.get(f"{resource}/{number}", 0) for number in range(count))
        for resource, count in counts.items()
    }


def stored_capacity(host: Host) -> Mapping[str, int]:
    """Return a host's capacity as its hash has it."""
    return _stored(host.capacity, host.devices) if host.devices else host.capacity


def stored_used(host: Host) -> Mapping[str, int]:
    """Return what is used of a host as its hash has it: of devices also what counts of each."""
    if not host.devices:
        return host.used
    used = _stored(host.used, host.device_used)
    for resource in host.devices.keys() & host.used.keys() - host.device_used.keys():
        used |= by_device({resource: [device.used for device in host.devices_of(resource)]})
    return used


def stored_held(host: Host) -> Mapping[str, int]:
    """Return what is held of a host as its hash has it."""
    in_devices = sums_of(host.device_held)
    others = {name: amount - in_devices.get(name, 0) for name, amount in host.held.items()}
    return {name: amount for name, amount in others.items() if amount} | dict(host.device_held)


def _stored(sums: Mapping[str, int], lists: Mapping[str, Sequence[int]]) -> dict[str, int]:
    others = {resource: amount for resource, amount in sums.items() if resource not in lists}
    return others | by_device(lists)


def choices_text(choices: Iterable[DeviceChoice]) -> str | None:
    """Render the devices of each instance of a grant as its job's hash has them, None for none."""
    listed = list(choices)
    return orjson.dumps(listed).decode() if any(listed) else None


def choices(text: str) -> tuple[DeviceChoice, ...]:
    """Read what `choices_text` rendered; '' for none. Raises ValueError."""
    listed = orjson.loads(text) if text else ()
    return tuple(
        {resource: tuple(map(int, numbers)) for resource, numbers in choice.items()}
        for choice in listed
    )
