"""What a demand lacks: on the host that comes closest, or on all hosts together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.planner.owner_usage import OwnerUsage
from rq_broker.planner.packing.best_fit import exceeds_free, kinds_of, total
from rq_broker.planner.packing.host_table import (
    HostTable,
    Instance,
    count_fitting,
    free_when_empty,
    indexes_of,
)
from rq_broker.planner.reasons import Reason, ReasonCode, Shortfall, over_limit


def could_ever_fit(hosts: Mapping[str, Host], demand: Demand) -> Reason | None:
    """Return why no hosts of the type could ever hold the demand, or None if they perhaps could.

    Only the capacity of hosts in service counts, as if nobody used them. None does not mean
    that the demand fits: instances that differ may still be impossible to pack.
    """
    return impossible(HostTable(hosts.values(), free_when_empty), demand)


def beyond_limits(limits: Mapping[str, Amounts], owner: str, demand: Demand) -> Reason | None:
    """Return why a policy's limits never allow an owner this demand; None if they do."""
    usage = OwnerUsage(Snapshot({}, (), Policy(limits=limits), 0.0))
    exceeded = usage.exceeded_limit(owner, total(demand))
    return over_limit(owner, exceeded) if exceeded else None


def impossible(empty_hosts: HostTable, demand: Demand) -> Reason | None:
    """Return the same as `could_ever_fit`, from a table of the hosts as if nobody used them."""
    kinds, hosts = kinds_of(empty_hosts, demand), empty_hosts.hosts_in(demand.aggregate)
    if not exceeds_free(empty_hosts, kinds, hosts, demand.spread):
        return None
    where, indexes = _where(demand), indexes_of(hosts)
    if not hosts:
        # An aggregate's name may be unknown, while its source cannot read names.
        text = f"no known host is{where}" if where else "there is no host"
        return Reason(ReasonCode.IMPOSSIBLE, text)
    for instance, _ in kinds:
        closest = _closest_host(empty_hosts, instance, indexes)
        if closest is not None:
            shortfall = _unknown_resource(empty_hosts, instance, indexes, where)
            shortfall = shortfall or _describe_shortfall(closest, "the largest is")
            text = f"no host{where} could ever hold this: needs {shortfall}"
            return Reason(ReasonCode.IMPOSSIBLE, text, closest.shortfalls)
    needed = _describe_all_instances(empty_hosts, demand, kinds[0], indexes)
    return Reason(ReasonCode.IMPOSSIBLE, f"the hosts{where} could never hold this: needs {needed}")


def no_fit(table: HostTable, demand: Demand) -> Reason:
    """Return what is missing on the host that comes closest, or how many instances would fit."""
    kinds, indexes = kinds_of(table, demand), indexes_of(table.hosts_in(demand.aggregate))
    where = _where(demand)
    for instance, _ in kinds:
        closest = _closest_host(table, instance, indexes)
        if closest is not None:
            text = f"needs {_describe_shortfall(closest, 'the most free is', where)}"
            return Reason(ReasonCode.NO_FIT, text, closest.shortfalls)
    scarcest = min(kinds, key=lambda kind: _count(table, kind, indexes, demand.spread) / kind[1])
    needed = _describe_all_instances(table, demand, scarcest, indexes, where)
    return Reason(ReasonCode.NO_FIT, f"needs {needed}")


def _where(demand: Demand) -> str:
    return "" if demand.aggregate is None else f" of aggregate {demand.aggregate}"


@dataclass(frozen=True, slots=True)
class _ClosestHost:
    """The host that lacks least for an instance."""

    shortfalls: tuple[Shortfall, ...]
    has_most: bool
    """It lacks one resource only, and no host has more of it."""


def _closest_host(
    table: HostTable, instance: Instance, indexes: Sequence[int]
) -> _ClosestHost | None:
    """Find the host that lacks least for an instance; None when some host holds it."""
    least, closest = None, -1
    for index in indexes:
        missing = table.missing_weight(instance, table.free_for_one(index))
        if not missing:
            return None
        if least is None or missing < least:
            least, closest = missing, index
    row = table.free_for_one(closest)
    shortfalls = tuple(
        Shortfall(table.names[closest], resource, amount, row.get(resource, 0))
        for resource, amount in instance
        if row.get(resource, 0) < amount
    )
    shortfall = shortfalls[0]
    has_most = len(shortfalls) == 1 and all(
        table.free_for_one(index).get(shortfall.resource, 0) <= shortfall.free for index in indexes
    )
    return _ClosestHost(shortfalls, has_most)


def _unknown_resource(
    empty_hosts: HostTable, instance: Instance, indexes: Sequence[int], where: str
) -> str | None:
    """Say which resource of an instance no host has, and which one differs by case only."""
    rows = (empty_hosts.rows[index] for index in indexes)
    names = {name for row in rows for name, amount in row.items() if amount}
    for resource, amount in instance:
        if resource not in names:
            similar = sorted(name for name in names if name.casefold() == resource.casefold())
            hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
            return f"{resource} {amount}, but no host{where} has {resource}{hint}"
    return None


def _describe_shortfall(closest: _ClosestHost, best: str, where: str = "") -> str:
    """Say what an instance needs, and what the closest host has of it."""
    shortfalls, host = closest.shortfalls, closest.shortfalls[0].host
    needed = " and ".join(f"{shortfall.resource} {shortfall.needed}" for shortfall in shortfalls)
    if closest.has_most:
        return f"{needed} on one host{where}; {best} {shortfalls[0].free} on {host}"
    free = " and ".join(f"{shortfall.resource} {shortfall.free}" for shortfall in shortfalls)
    return f"{needed} on one host{where}; the closest is {host} with {free}"


def _count(
    table: HostTable, kind: tuple[Instance, int], indexes: Iterable[int], spread: bool
) -> int:
    """Count how many instances of a kind fit, if only they are placed."""
    instance, count = kind
    allowing, limit = table.allowing(instance), 1 if spread else count
    return sum(
        count_fitting(table.rows[index], instance, limit)
        for index in indexes
        if allowing >> index & 1
    )


def _describe_all_instances(
    table: HostTable,
    demand: Demand,
    kind: tuple[Instance, int],
    indexes: Sequence[int],
    where: str = "",
) -> str:
    """Say how many instances are needed at once and, where that is known, how many would fit."""
    instance, count = kind
    needed = " and ".join(f"{resource} {amount}" for resource, amount in instance) or "nothing"
    fitting = _count(table, kind, indexes, demand.spread)
    spread = ", each on a host of its own," if demand.spread else ""
    instances = f"{count} instance{'s' * (count > 1)} of {needed}"
    if fitting < count:
        return f"{instances}{spread} at once{where}; {fitting} would fit"
    others = len(demand.instances) - count
    rest = f"{others} other{'s' * (others > 1)}"
    return f"{instances} and {rest}{spread} at once{where}; not all would fit"
