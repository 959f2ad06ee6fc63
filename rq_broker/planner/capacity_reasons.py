"""What a demand lacks: on the host that comes closest, or on all hosts together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.domain.similar import did_you_mean
from rq_broker.domain.traits import Instance, Traits, traits_of
from rq_broker.planner.device_reasons import describe_devices
from rq_broker.planner.owner_usage import OwnerUsage
from rq_broker.planner.packing.best_fit import exceeds_free, kinds_of, total
from rq_broker.planner.packing.devices import DeviceRow
from rq_broker.planner.packing.host_table import (
    HostTable,
    Row,
    count_fitting,
    free_when_empty,
    indexes_of,
)
from rq_broker.planner.reasons import (
    Reason,
    ReasonCode,
    Shortfall,
    of_alternatives,
    over_limit,
)


def could_ever_fit(hosts: Mapping[str, Host], demand: Demand) -> Reason | None:
    """Return why no hosts of the type could ever hold the demand, or None if they perhaps could.

    Only the capacity of hosts in service counts, as if nobody used them. None does not mean
    that the demand fits: instances that differ may still be impossible to pack.
    """
    return impossible(HostTable(hosts.values(), free_when_empty), demand)


def beyond_limits(limits: Mapping[str, Amounts], owner: str, demand: Demand) -> Reason | None:
    """Return why a policy's limits never allow an owner this demand; None if they do."""
    usage = OwnerUsage(Snapshot({}, (), Policy(limits=limits), 0.0))

    def beyond(option: Demand) -> Reason | None:
        exceeded = usage.exceeded_limit(owner, total(option))
        return over_limit(owner, exceeded) if exceeded else None

    return of_all_options(demand, beyond)


def of_all_options(demand: Demand, why_not: Callable[[Demand], Reason | None]) -> Reason | None:
    """Return why no alternative of a demand will do; None if one will.

    Args:
        demand: perhaps without alternatives.
        why_not: returns why one of them will not do, None if it will.
    """
    if not demand.alternatives:
        return why_not(demand)
    refusals = [why_not(option) for option in demand.options]
    reasons = [reason for reason in refusals if reason]
    return of_alternatives(reasons) if len(reasons) == len(refusals) else None


def impossible(empty_hosts: HostTable, demand: Demand) -> Reason | None:
    """Return the same as `could_ever_fit`, from a table of the hosts as if nobody used them."""
    if demand.alternatives:
        return of_all_options(demand, lambda option: impossible(empty_hosts, option))
    kinds, hosts = kinds_of(empty_hosts, demand), empty_hosts.hosts_for(demand)
    if not exceeds_free(empty_hosts, kinds, hosts, demand.spread):
        return None
    where, indexes = _where(demand), indexes_of(hosts)
    if not hosts:
        # An aggregate's name may be unknown, while its source cannot read names.
        text = f"there is no known host{where}" if where else "there is no host"
        text += _unknown_place(empty_hosts, demand)
        return Reason(ReasonCode.IMPOSSIBLE, text)
    for instance, _ in kinds:
        admitted = _admitted(empty_hosts, instance, indexes)
        there = where + _own_traits(instance)
        if not admitted:
            hint = _unknown_trait(empty_hosts, traits_of(instance))
            return Reason(ReasonCode.IMPOSSIBLE, f"there is no known host{there}{hint}")
        closest = _closest_host(empty_hosts, instance, admitted)
        if closest is not None:
            shortfall = _unknown_resource(empty_hosts, instance, admitted, there)
            shortfall = shortfall or _describe_shortfall(closest, "the largest is")
            text = f"no host{there} could ever hold this: needs {shortfall}"
            text += _hint_at_anywhere(empty_hosts, instance)
            return Reason(ReasonCode.IMPOSSIBLE, text, closest.shortfalls)
    needed = _describe_all_instances(empty_hosts, demand, kinds[0], indexes)
    return Reason(ReasonCode.IMPOSSIBLE, f"the hosts{where} could never hold this: needs {needed}")


def no_fit(table: HostTable, demand: Demand) -> Reason:
    """Return what is missing on the host that comes closest, or how many instances would fit."""
    kinds, indexes = kinds_of(table, demand), indexes_of(table.hosts_for(demand))
    where = _where(demand)
    for instance, _ in kinds:
        closest = _closest_host(table, instance, _admitted(table, instance, indexes))
        if closest is not None:
            there = where + _own_traits(instance)
            text = f"needs {_describe_shortfall(closest, 'the most free is', there)}"
            return Reason(ReasonCode.NO_FIT, text, closest.shortfalls)
    scarcest = min(kinds, key=lambda kind: _count(table, kind, indexes, demand.spread) / kind[1])
    needed = _describe_all_instances(table, demand, scarcest, indexes, where)
    return Reason(ReasonCode.NO_FIT, f"needs {needed}")


def _where(demand: Demand) -> str:
    """Say which hosts a demand may use, '' if any."""
    aggregates = [] if demand.aggregate is None else [demand.aggregate]
    if demand.any_aggregate:
        aggregates.append(" or ".join(demand.any_aggregate))
    of_aggregates = " and of ".join(aggregates)
    where = f" of aggregate {of_aggregates}" if aggregates else ""
    return where + _describe_traits(demand.traits, "trait")


def _unknown_place(table: HostTable, demand: Demand) -> str:
    """Say which names are like an aggregate, or a trait, of the demand that no host has."""
    wanted = (*([demand.aggregate] if demand.aggregate else ()), *(demand.any_aggregate or ()))
    for aggregate in wanted:
        if not table.aggregates.get(aggregate):
            return did_you_mean(aggregate, table.aggregates)
    return _unknown_trait(table, demand.traits)


def _unknown_trait(table: HostTable, traits: Traits) -> str:
    """Say which traits are like one that is required and that no host has."""
    known = table.known_traits()
    return next((did_you_mean(name, known) for name in traits.require if name not in known), "")


def _own_traits(instance: Instance) -> str:
    return _describe_traits(traits_of(instance), "the instance's trait")


def _describe_traits(traits: Traits, noun: str) -> str:
    """Say what hosts must have and must not have: ` with trait A and B, without trait C`."""
    parts = [
        f"{word} {noun} {' and '.join(names)}"
        for word, names in (("with", traits.require), ("without", traits.forbid))
        if names
    ]
    return f" {', '.join(parts)}" if parts else ""


def _admitted(table: HostTable, instance: Instance, indexes: Sequence[int]) -> Sequence[int]:
    """Return those of the hosts that have the traits of an instance."""
    traits = traits_of(instance)
    if not traits:
        return indexes
    mask = table.admitted_by(traits)
    return [index for index in indexes if mask >> index & 1]


def _hint_at_anywhere(table: HostTable, instance: Instance) -> str:
    """Say that a resource of the instance is anywhere, and so needs an instance of its own."""
    if len(instance) > 1:
        for index in indexes_of(table.anywhere):
            for resource, _ in instance:
                if resource in table.rows[index]:
                    name = table.names[index]
                    return f"; {resource} is anywhere ({name}): ask for it in its own instance"
    return ""


@dataclass(frozen=True, slots=True)
class _ClosestHost:
    """The host that lacks least for an instance."""

    shortfalls: tuple[Shortfall, ...]
    has_most: bool
    """It lacks one resource only, and no host has more of it."""
    is_anywhere: bool
    """Whether it is no place but one capacity for the whole type."""
    row: Row
    """What is free on it."""


def _closest_host(
    table: HostTable, instance: Instance, indexes: Sequence[int]
) -> _ClosestHost | None:
    """Find the host that lacks least for an instance; None when some host holds it."""
    least, closest = None, -1
    for index in _preferred(table, instance, indexes):
        missing = table.missing_weight(instance, table.free_for_one(index, instance))
        if not missing:
            return None
        if least is None or missing < least:
            least, closest = missing, index
    row = table.free_for_one(closest, instance)
    shortfalls = tuple(
        Shortfall(table.names[closest], resource, amount, row.get(resource, 0))
        for resource, amount in instance
        if row.get(resource, 0) < amount
    )
    shortfall = shortfalls[0]
    has_most = len(shortfalls) == 1 and all(
        table.free_for_one(index, instance).get(shortfall.resource, 0) <= shortfall.free
        for index in indexes
    )
    is_anywhere = bool(table.anywhere >> closest & 1)
    return _ClosestHost(shortfalls, has_most, is_anywhere, table.rows[closest])


def _preferred(table: HostTable, instance: Instance, indexes: Sequence[int]) -> Sequence[int]:
    """List the hosts that are anywhere and have its resources first: of equals it is closest."""
    if not table.anywhere:
        return indexes

    def is_place(index: int) -> bool:
        has_all = all(resource in table.rows[index] for resource, _ in instance)
        return not (table.anywhere >> index & 1 and has_all)

    return sorted(indexes, key=is_place)


def _unknown_resource(
    empty_hosts: HostTable, instance: Instance, indexes: Sequence[int], where: str
) -> str | None:
    """Say which resource of an instance no host has, and which names are like it."""
    rows = (empty_hosts.rows[index] for index in indexes)
    names = {name for row in rows for name, amount in row.items() if amount}
    for resource, amount in instance:
        if resource not in names:
            hint = did_you_mean(resource, names)
            return f"{resource} {amount}, but no host{where} has {resource}{hint}"
    return None


def _describe_shortfall(closest: _ClosestHost, best: str, where: str = "") -> str:
    """Say what an instance needs, and what the closest host has of it."""
    shortfalls, host = closest.shortfalls, closest.shortfalls[0].host
    needed = " and ".join(f"{shortfall.resource} {shortfall.needed}" for shortfall in shortfalls)
    if closest.is_anywhere:
        free = " and ".join(f"{shortfall.resource} {shortfall.free}" for shortfall in shortfalls)
        return f"{needed} of {host}, which is anywhere in the type; it has {free}"
    if closest.has_most:
        devices = isinstance(closest.row, DeviceRow) and closest.row.devices
        if devices and shortfalls[0].resource in devices:
            return describe_devices(devices, shortfalls[0], best, where)
        return f"{needed} on one host{where}; {best} {shortfalls[0].free} on {host}"
    free = " and ".join(f"{shortfall.resource} {shortfall.free}" for shortfall in shortfalls)
    return f"{needed} on one host{where}; the closest is {host} with {free}"


def _count(
    table: HostTable, kind: tuple[Instance, int], indexes: Iterable[int], spread: bool
) -> int:
    """Count how many instances of a kind fit, if only they are placed."""
    instance, count = kind
    allowing = table.allowing(instance)
    return sum(
        count_fitting(table.rows[index], instance, 1 if table.takes_one(index, spread) else count)
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
    where += _own_traits(instance)
    spread = ", each on a host of its own," if demand.spread else ""
    elastic = demand.elastic
    least = "at least " if elastic and demand.instances[elastic.index] == instance else ""
    instances = f"{least}{count} instance{'s' * (count > 1)} of {needed}"
    if fitting < count:
        return f"{instances}{spread} at once{where}; {fitting} would fit"
    others = len(demand.instances) - count
    rest = f"{others} other{'s' * (others > 1)}"
    return f"{instances} and {rest}{spread} at once{where}; not all would fit"
