"""What clients see of hosts: the sums of each aggregate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.representation import Count, JsonObject


class TotalsView(JsonObject, frozen=True):
    """The hosts of one aggregate together."""

    aggregate: Annotated[
        str | None, Meta(description="null: all hosts of the type, those of no aggregate too.")
    ]
    hosts: Count
    capacity: Amounts
    used: Annotated[Amounts, Meta(description="In use, as the sources of the hosts report it.")]
    held: Annotated[Amounts, Meta(description="Held by grants.")]
    free: Annotated[
        Amounts, Meta(description="What can be granted; a host that lacks something adds nothing.")
    ]


Totals = Annotated[list[TotalsView], Meta(min_length=1)]
"""The sums of all hosts, which are there even if no host is, and those of each aggregate."""


def total_of(hosts: Iterable[Host]) -> TotalsView:
    """Return the sums of all hosts in service."""
    return _totals(None, [host for host in hosts if not host.dropped])


def kept_of(hosts: Mapping[str, Host], kept: Mapping[str, Amounts]) -> Amounts:
    """Return what is free now of what reservations keep, by resource.

    A reservation begins later: part of it may be in use until then.
    """
    sums: Counter[str] = Counter()
    for name, amounts in kept.items():
        host = hosts.get(name)
        if host is None or host.dropped:
            continue
        free = host.free
        for resource, amount in amounts.items():
            sums[resource] += max(0, min(amount, free.get(resource, 0)))
    return {resource: amount for resource, amount in sums.items() if amount}


def totals_of(hosts: Iterable[Host]) -> list[TotalsView]:
    """Return the sums of all hosts in service, and those of each aggregate by name."""
    in_service = [host for host in hosts if not host.dropped]
    members: dict[str, list[Host]] = {}
    for host in in_service:
        for name in host.aggregates:
            members.setdefault(name, []).append(host)
    return [_totals(None, in_service), *(_totals(name, members[name]) for name in sorted(members))]


def _totals(aggregate: str | None, hosts: list[Host]) -> TotalsView:
    return TotalsView(
        aggregate,
        len(hosts),
        _sum(host.capacity for host in hosts),
        _sum(host.used for host in hosts),
        _sum(host.held for host in hosts),
        _sum(
            {resource: max(amount, 0) for resource, amount in host.unpromised.items()}
            for host in hosts
        ),
    )


def _sum(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for of_host in amounts:
        total.update(of_host)
    return dict(sorted(total.items()))
