"""What a demand lacks: on the host that comes closest, or on all hosts together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.values import Anywhere, Lack, Where
from rq_broker.domain.similar import similar_names
from rq_broker.domain.traits import Instance, Traits, traits_of
from rq_broker.planner.device_reasons import of_devices
from rq_broker.planner.owner_usage import OwnerUsage
from rq_broker.planner.packing.best_fit import exceeds_free, kinds_of, total
from rq_broker.planner.packing.devices import DeviceRow
from rq_broker.planner.packing.host_rows import Row
from rq_broker.planner.packing.host_table import (
    HostTable,
    count_fitting,
    free_when_empty,
    indexes_of,
)
from rq_broker.planner.reasons import of_alternatives, over_limit


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
        return _no_host(where, _like_unknown_place(empty_hosts, demand))
    for instance, _ in kinds:
        admitted = _admitted(empty_hosts, instance, indexes)
        there = _with_own_traits(where, instance)
        if not admitted:
            return _no_host(there, _like_unknown_trait(empty_hosts, traits_of(instance)))
        closest = _closest_host(empty_hosts, instance, admitted)
        if closest is not None:
            lacking = _unknown_resource(empty_hosts, instance, admitted) or _lacks(
                ReasonCode.IMPOSSIBLE, closest
            )
            anywhere = _anywhere_in(empty_hosts, instance)
            return replace(lacking, where=there, anywhere=anywhere)
    return _of_all_instances(ReasonCode.IMPOSSIBLE, empty_hosts, demand, kinds[0], indexes)


def no_fit(table: HostTable, demand: Demand) -> Reason:
    """Return what is missing on the host that comes closest, or how many instances would fit."""
    kinds, indexes = kinds_of(table, demand), indexes_of(table.hosts_for(demand))
    for instance, _ in kinds:
        closest = _closest_host(table, instance, _admitted(table, instance, indexes))
        if closest is not None:
            lacking = _lacks(ReasonCode.NO_FIT, closest)
            return replace(lacking, where=_with_own_traits(_where(demand), instance))
    scarcest = min(kinds, key=lambda kind: _count(table, kind, indexes, demand.spread) / kind[1])
    return _of_all_instances(ReasonCode.NO_FIT, table, demand, scarcest, indexes)


def _no_host(where: Where, similar: tuple[str, ...]) -> Reason:
    kind = ReasonKind.NO_HOST
    return Reason(code=ReasonCode.IMPOSSIBLE, kind=kind, where=where, similar=similar)


def _where(demand: Demand) -> Where:
    """Return which hosts a demand may use."""
    return Where(
        demand.aggregate or "",
        tuple(demand.any_aggregate or ()),
        demand.traits.require,
        demand.traits.forbid,
    )


def _with_own_traits(where: Where, instance: Instance) -> Where:
    """Return which of these hosts an instance may use."""
    traits = traits_of(instance)
    return structs.replace(where, instance_require=traits.require, instance_forbid=traits.forbid)


def _like_unknown_place(table: HostTable, demand: Demand) -> tuple[str, ...]:
    """Return names that are like an aggregate, or a trait, of the demand that no host has."""
    wanted = (*([demand.aggregate] if demand.aggregate else ()), *(demand.any_aggregate or ()))
    for aggregate in wanted:
        if not table.aggregates.get(aggregate):
            return similar_names(aggregate, table.aggregates)
    return _like_unknown_trait(table, demand.traits)


def _like_unknown_trait(table: HostTable, traits: Traits) -> tuple[str, ...]:
    """Return traits that are like one that is required and that no host has."""
    known = table.known_traits()
    return next((similar_names(name, known) for name in traits.require if name not in known), ())


def _admitted(table: HostTable, instance: Instance, indexes: Sequence[int]) -> Sequence[int]:
    """Return those of the hosts that have the traits of an instance."""
    traits = traits_of(instance)
    if not traits:
        return indexes
    mask = table.admitted_by(traits)
    return [index for index in indexes if mask >> index & 1]


def _anywhere_in(table: HostTable, instance: Instance) -> Anywhere | None:
    """Return a resource of the instance that is anywhere, and so needs an instance of its own."""
    if len(instance) > 1:
        for index in indexes_of(table.anywhere):
            for resource, _ in instance:
                if resource in table.rows[index]:
                    return Anywhere(resource, table.names[index])
    return None


@dataclass(frozen=True, slots=True)
class _ClosestHost:
    """The host that lacks least for an instance."""

    host: str
    lacks: tuple[Lack, ...]
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
    lacks = tuple(
        Lack(resource, amount, row.get(resource, 0))
        for resource, amount in instance
        if row.get(resource, 0) < amount
    )
    has_most = len(lacks) == 1 and all(
        table.free_for_one(index, instance).get(lacks[0].resource, 0) <= lacks[0].free
        for index in indexes
    )
    is_anywhere = bool(table.anywhere >> closest & 1)
    name = table.names[closest]
    return _ClosestHost(name, lacks, has_most, is_anywhere, table.rows[closest])


def _preferred(table: HostTable, instance: Instance, indexes: Sequence[int]) -> Sequence[int]:
    """List the hosts that are anywhere and have its resources first: of equals it is closest."""
    if not table.anywhere:
        return indexes

    def is_place(index: int) -> bool:
        has_all = all(resource in table.rows[index] for resource, _ in instance)
        return not (table.anywhere >> index & 1 and has_all)

    return sorted(indexes, key=is_place)


def _unknown_resource(
    empty_hosts: HostTable, instance: Instance, indexes: Sequence[int]
) -> Reason | None:
    """Say which resource of an instance no host has, and which names are like it."""
    rows = (empty_hosts.rows[index] for index in indexes)
    names = {name for row in rows for name, amount in row.items() if amount}
    for resource, amount in instance:
        if resource not in names:
            return Reason(
                code=ReasonCode.IMPOSSIBLE,
                kind=ReasonKind.NO_RESOURCE,
                resource=resource,
                needed=amount,
                similar=similar_names(resource, names),
            )
    return None


def _lacks(code: ReasonCode, closest: _ClosestHost) -> Reason:
    """Say what an instance needs, and what the closest host has of it."""
    host, lacks = closest.host, closest.lacks
    if closest.is_anywhere:
        return Reason(code=code, kind=ReasonKind.ANYWHERE, host=host, lacks=lacks)
    if not closest.has_most:
        return Reason(code=code, kind=ReasonKind.CLOSEST, host=host, lacks=lacks)
    (lack,) = lacks
    reason = Reason(
        code=code,
        kind=ReasonKind.MOST_FREE,
        host=host,
        resource=lack.resource,
        needed=lack.needed,
        free=lack.free,
    )
    devices = isinstance(closest.row, DeviceRow) and closest.row.devices
    return of_devices(reason, devices) if devices and lack.resource in devices else reason


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


def _of_all_instances(
    code: ReasonCode,
    table: HostTable,
    demand: Demand,
    kind: tuple[Instance, int],
    indexes: Sequence[int],
) -> Reason:
    """Say how many instances are needed at once and, where that is known, how many would fit."""
    instance, count = kind
    fitting = _count(table, kind, indexes, demand.spread)
    elastic = demand.elastic
    reason = Reason(
        code=code,
        kind=ReasonKind.INSTANCES,
        instance=tuple(instance),
        count=count,
        fits=fitting,
        where=_with_own_traits(_where(demand), instance),
        spread=demand.spread,
        at_least=bool(elastic and demand.instances[elastic.index] == instance),
    )
    if fitting < count:
        return reason
    return replace(reason, kind=ReasonKind.MIX, others=len(demand.instances) - count)
