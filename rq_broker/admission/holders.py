"""Who has what a waiting job lacks: jobs that hold it, and whoever else uses it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from rq_broker.admission.held_capacity import Held
from rq_broker.domain.capacity import Host
from rq_broker.planner import Explanation

MAX_HOLDERS = 50
"""Holders and passers that one explanation names: bounds its size, and the reads it costs."""


@dataclass(frozen=True, slots=True)
class HeldAmount:
    """What another job holds of something the explained job lacks."""

    request_id: str
    owner_id: str
    seconds: float
    """Since its grant."""
    host: str
    resource: str
    amount: int


@dataclass(frozen=True, slots=True)
class UsedAmount:
    """What nobody known to the broker uses of something the explained job lacks."""

    host: str
    resource: str
    amount: int


def holders_of(explanation: Explanation, held: Held, now: float) -> list[HeldAmount]:
    """List what other jobs hold of the resources the job lacks."""
    missing = {(lack.host, lack.resource) for lack in explanation.shortfalls}
    hosts = {host for host, _ in missing}
    amounts = (
        HeldAmount(row.request_id, row.owner, max(now - row.granted, 0.0), host, resource, amount)
        for row in held.rows
        for host in row.amounts.keys() & hosts
        for resource, amount in row.amounts[host].items()
        if (host, resource) in missing
    )
    return list(islice(amounts, MAX_HOLDERS))


def others_of(explanation: Explanation, held: Held, hosts: Mapping[str, Host]) -> list[UsedAmount]:
    """List what is used of the resources the job lacks, but by no job of the type.

    What the type's jobs were granted there is held, or it is seen in `used`.
    """
    used = []
    for lack in explanation.shortfalls:
        host, resource = hosts[lack.host], lack.resource
        granted = sum(row.amounts.get(lack.host, {}).get(resource, 0) for row in held.rows)
        seen = max(granted - host.held.get(resource, 0), 0)
        amount = host.used.get(resource, 0) - seen
        if amount > 0:
            used.append(UsedAmount(lack.host, resource, amount))
    return used
