"""What is free on each host in service, in the order of a table; most of it is kept from before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from rq_broker.domain.capacity import Host

Row = dict[str, int]
"""Resource → amount on one host; a free amount may be below 0."""


class HostRow(NamedTuple):
    """What was free on a host when a table of it was built; ordered by its first two fields."""

    weighted_free: float
    """The row as one number, see HostTable.weigh."""
    name: str
    host: Host
    row: Row


def fullest_first(
    hosts: Iterable[Host],
    row_of: Callable[[Host], Row],
    weigh: Callable[[Row], float],
    known: Mapping[str, HostRow],
) -> dict[str, HostRow]:
    """Return what is free on each host in service, by name, the fullest first.

    Args:
        hosts: All hosts.
        row_of: Returns what counts as free on a host.
        weigh: Makes that one number.
        known: The same of an earlier time, in its order: taken as it is where a host is the very
            same object. So most are in order already.
    """
    in_service = {host.name: host for host in hosts if not host.dropped}
    rows = [each for name, each in known.items() if in_service.get(name) is each.host]
    for each in rows:
        del in_service[each.name]
    for name, host in in_service.items():
        row = row_of(host)
        rows.append(HostRow(weigh(row), name, host, row))
    rows.sort()
    return {each.name: each for each in rows}


def weights_of(hosts: Iterable[Host]) -> dict[str, float]:
    """Return 1 / the amount of each resource on the largest host in service."""
    largest: dict[str, int] = {}
    for host in hosts:
        if host.dropped:
            continue
        for resource, amount in host.capacity.items():
            if amount > largest.setdefault(resource, 0):
                largest[resource] = amount
        if host.devices:  # what is free of a device is free of its resource as well
            largest |= dict.fromkeys(host.device_free, 0)
    return {resource: 1 / amount if amount else 0.0 for resource, amount in largest.items()}
