"""Gives an elastic job more instances than the least it needs, as many as fit.

The least is placed first, as of any job. Then one instance after the other is added while there is
room beside it, so for instances that are all alike the number is the largest possible. Where they
differ, the others keep the hosts that they were given, even if more would fit on other ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from rq_broker.domain.jobs import Demand
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.packing.placer import Placer

PlaceOne = Callable[[int], list[int] | None]
"""Takes room for one more instance outside of a mask of hosts; returns its host."""


def one_more(demand: Demand) -> Demand:
    """Return the demand for one more of the instances that an elastic demand takes."""
    assert demand.elastic is not None
    return replace(demand, instances=(demand.instances[demand.elastic.index],), elastic=None)


def grow(placer: Placer, hosts: Sequence[int], most: int, place_one: PlaceOne) -> list[int]:
    """Add up to `most` instances to a job that was given `hosts`.

    Returns: the hosts of all its instances; those of its elastic kind stand together.
    """
    elastic, table, spread = placer.demand.elastic, placer.table, placer.demand.spread
    assert elastic is not None
    added: list[int] = []
    taken = _taken(table, hosts, spread)
    while len(added) < most:
        more = place_one(taken)
        if more is None:
            break
        added += more
        taken |= _taken(table, more, spread)
    return [*hosts[: elastic.index], *added, *hosts[elastic.index :]]


def _taken(table: HostTable, hosts: Sequence[int], spread: bool) -> int:
    """Return the mask of the hosts that may have no other instance of the job."""
    mask = 0
    for index in hosts if spread else ():
        if table.takes_one(index, spread):
            mask |= 1 << index
    return mask
