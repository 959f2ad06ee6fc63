"""Gives an elastic job more instances than the least it needs, as many as fit.

The least is placed first, as of any job. Then one instance after the other is added while there is
room beside it, so for instances that are all alike the number is the largest possible. Where they
differ, the others keep the hosts that they were given, even if more would fit on other ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.jobs import Demand
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget
from rq_broker.planner.reservations import Reservations


def one_more(demand: Demand) -> Demand:
    """Return the demand for one more of the instances that an elastic demand takes."""
    assert demand.elastic is not None
    return replace(demand, instances=(demand.instances[demand.elastic.index],), elastic=None)


class Growth:
    """Places further instances of one job, beside the reservations of its pass."""

    def __init__(
        self, one: Placer, reservations: Reservations, *, is_beside: bool, is_early: bool
    ) -> None:
        """Prepare to place them.

        Args:
            one: of the demand for one more instance; its own, as it closes hosts of this job.
            reservations: of the pass.
            is_beside: whether some of them are on hosts that the job may use.
            is_early: whether the job then ends before they begin.
        """
        self._reservations = reservations
        self._is_beside = is_beside
        self._is_early = is_early
        self._placer = reservations.beside(one, is_early) if is_beside else one

    def grow(
        self, placer: Placer, hosts: Sequence[int], most: int, closed: int, budget: StepBudget
    ) -> list[int]:
        """Add instances to a job that was given `hosts`.

        Args:
            placer: has placed the job.
            hosts: where.
            most: how many more to add at most.
            closed: mask of hosts that it may not use.
            budget: bounds searches.

        Returns: the hosts of all its instances; those of its elastic kind stand together.
        """
        elastic, table, spread = placer.demand.elastic, placer.table, placer.demand.spread
        assert elastic is not None
        added, devices = list[int](), list[DeviceChoice]()
        closed |= _taken(table, hosts, spread)
        while len(added) < most:
            more = self._placer.place(closed, budget)
            if more is None:
                break
            self._note(more)
            added += more
            devices += self._placer.devices
            closed |= _taken(table, more, spread)
        placer.add_devices(elastic.index, devices)
        return [*hosts[: elastic.index], *added, *hosts[elastic.index :]]

    def _note(self, hosts: list[int]) -> None:
        if self._is_beside:
            self._reservations.took(hosts, self._placer, self._is_early)
        else:
            self._reservations.took_elsewhere(hosts)


def _taken(table: HostTable, hosts: Sequence[int], spread: bool) -> int:
    """Return the mask of the hosts that may have no other instance of the job."""
    mask = 0
    for index in hosts if spread else ():
        if table.takes_one(index, spread):
            mask |= 1 << index
    return mask
