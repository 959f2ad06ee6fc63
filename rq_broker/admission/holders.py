"""Lists what keeps a waiting job from its capacity: what other jobs hold, and what others use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from rq_broker.admission.held_capacity import Held
from rq_broker.domain.capacity import Host
from rq_broker.domain.job_holds import is_overdue
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
    overdue: bool
    """Whether that is several times what it said it would hold."""
    ends: float | None
    """When that is expected to end, seconds since 1970; None where that is not known yet."""
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
    indexes = {index for host in hosts for index in held.rows_by_host.get(host, ())}
    amounts = (
        HeldAmount(
            row.request_id,
            row.owner,
            (seconds := max(now - row.granted, 0.0)),
            is_overdue(seconds, row.expected),
            held.ends.get(row.request_id),
            host,
            resource,
            amount,
        )
        for row in map(held.rows.__getitem__, sorted(indexes))
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
        rows = map(held.rows.__getitem__, held.rows_by_host.get(lack.host, ()))
        granted = sum(row.amounts[lack.host].get(resource, 0) for row in rows)
        seen = max(granted - host.held_of(resource), 0)
        amount = host.used_of(resource) - seen
        if amount > 0:
            used.append(UsedAmount(lack.host, resource, amount))
    return used
