"""Packs instances of different kinds on hosts: best fit first, then a bounded search.

Instances that are all alike (a single instance is one of these) do not come here: `Placer` counts
them host by host, fullest host first, which is exact. Different instances are placed largest first
by best fit. If that fails and the job is small, `Search` tries the other hosts as well, within a
budget that the whole pass shares. So a job of many different instances may wait though a placement
exists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rq_broker.domain.jobs import Demand
from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.host_rows import Row
from rq_broker.planner.packing.host_table import HostTable, count_fitting, indexes_of
from rq_broker.planner.packing.search import Kinds, Placement, Search, StepBudget, reduced

SEARCH_SIZE = 12
"""Instances of the largest job that is searched for: beyond that the search rarely ends in time."""
SEARCH_STEPS = 5000
"""Hosts all searches of one pass may try together: bounds them to some 10 ms. With fewer, jobs of
different instances wait longer than they need; with more, one odd job slows every pass."""
FIT_STEPS = 200
"""Search steps for one "would this fit" of a reason, which may be less exact than a grant."""


def total(demand: Demand) -> Row:
    """Add up what all instances of a demand need together."""
    return total_of(Counter(demand.instances).items())


def total_of(kinds: Iterable[tuple[Instance, int]]) -> Row:
    """Add up what instances of these kinds, so many of each, need together."""
    amounts: Row = {}
    for instance, count in kinds:
        for resource, amount in instance:
            amounts[resource] = amounts.get(resource, 0) + amount * count
    return amounts


def kinds_of(table: HostTable, demand: Demand) -> Kinds:
    """Group equal instances, largest first."""
    kinds = Counter(demand.instances).items()
    return sorted(kinds, key=lambda kind: (-_size(table, kind[0]), kind[0]))


def _size(table: HostTable, instance: Instance) -> float:
    """Return the largest part of the largest host that an instance needs of any resource."""
    return max(
        (table.weights.get(resource, 0.0) * amount for resource, amount in instance), default=0.0
    )


def hosts_needed(table: HostTable, demand: Demand) -> float:
    """Return a demand's size in largest hosts.

    Each instance counts by the resource of which it needs the largest part.
    """
    kinds = Counter(demand.instances).items()
    return sum(_size(table, instance) * count for instance, count in kinds)


def fits(table: HostTable, demand: Demand) -> bool:
    """Return whether the demand can be placed on the table as it is."""
    kinds, hosts = kinds_of(table, demand), table.hosts_for(demand)
    return pack(table, kinds, hosts, demand.spread, StepBudget(FIT_STEPS)) is not None


def pack(
    table: HostTable, kinds: Kinds, hosts: int, spread: bool, budget: StepBudget
) -> Placement | None:
    """Find hosts, out of the mask `hosts`, for instances of several kinds; changes nothing."""
    if exceeds_free(table, kinds, hosts, spread):
        return None
    placement = _best_fit(table, kinds, hosts, spread)
    if placement is None and sum(count for _, count in kinds) <= SEARCH_SIZE:
        placement = Search(table, kinds, hosts, spread, budget).run()
    return placement


def exceeds_free(table: HostTable, kinds: Kinds, hosts: int, spread: bool) -> bool:
    """Return whether one kind alone, or the sum of all, is more than the hosts have free.

    True proves that the instances do not fit; False proves nothing.
    """
    if not hosts:
        return True
    is_bounded = spread and not hosts & table.anywhere
    if is_bounded and sum(count for _, count in kinds) > hosts.bit_count():
        return True
    if not all(_kind_fits(table, kind, hosts, spread) for kind in kinds):
        return True
    return len(kinds) > 1 and not _sum_fits(table, kinds, hosts)


def _kind_fits(table: HostTable, kind: tuple[Instance, int], hosts: int, spread: bool) -> bool:
    instance, count = kind
    hosts &= table.allowing(instance)
    unchanged = table.fitting_at_start(instance, hosts) & ~table.changed
    if unchanged.bit_count() >= count:
        return True
    for index in indexes_of(unchanged | hosts & table.changed):
        limit = 1 if table.takes_one(index, spread) else count
        count -= count_fitting(table.rows[index], instance, limit)
        if count <= 0:
            return True
    return False


def _sum_fits(table: HostTable, kinds: Kinds, hosts: int) -> bool:
    rows = table.rows_of(hosts)
    amounts: Row = {}
    for instance, count in kinds:
        for resource, amount in instance:
            amounts[resource] = amounts.get(resource, 0) + amount * count
    return all(
        sum(max(row.get(resource, 0), 0) for row in rows) >= amount
        for resource, amount in amounts.items()
    )


def _best_fit(table: HostTable, kinds: Kinds, hosts: int, spread: bool) -> Placement | None:
    rows: dict[int, Row] = {index: table.rows[index] for index in indexes_of(hosts)}
    weighted_free = {index: table.weighted_free[index] for index in rows}
    placement: Placement = {}
    for instance, count in kinds:
        placed, allowing = list[int](), table.allowing(instance)
        placement[instance] = placed
        for index in sorted(rows, key=weighted_free.__getitem__):
            if not allowing >> index & 1:
                continue
            limit = 1 if table.takes_one(index, spread) else count - len(placed)
            times = count_fitting(rows[index], instance, limit)
            if times:
                placed += [index] * times
                rows[index] = reduced(rows[index], instance, times)
                weighted_free[index] = table.weigh(rows[index])
                if table.takes_one(index, spread):
                    del rows[index]
            if len(placed) == count:
                break
        if len(placed) < count:
            return None
    return placement
