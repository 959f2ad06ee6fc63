"""The reservations of one pass, and what they leave to later jobs.

A later job that ends before a reservation begins may use everything that is free now: what it
takes is back in time. Any other later job gets, on a reserved host, no more than what is free now
and also free *later*: when the reservation begins, besides what the reserved job needs. So neither
can delay it, as long as holds end when they are expected to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import accumulate
from math import inf

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.holding_times import Prediction, Source
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Head
from rq_broker.planner.packing.devices import DeviceRow
from rq_broker.planner.packing.host_rows import Row
from rq_broker.planner.packing.host_table import HostTable, Needs
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget
from rq_broker.planner.promising import Binding
from rq_broker.planner.start_times import StartTime

STRICT_AFTER = 10.0
"""Mean holding times, from the moment a later job first passed the head, after which its
reservation becomes strict: jobs that outlive their span have moved it for so long. Without, a
stream of such jobs delays the head five times as long."""


FIXED_SPANS = 4.0
"""Strict spans that must pass before a reservation on fixed hosts begins, for a job to go ahead on
them. With 1 the job that they are fixed for waits on; if nobody goes ahead, hosts are idle while
its last hold lasts: on the openb trace one of four nodes for five days."""


WIDE_PART = 0.5
"""A job is wide that needs this part of some resource of all hosts that it may use: for its sake
more hosts are idle until its reservation begins than for others."""


class Care(Enum):
    """How sure it must be that a job that goes ahead of a reservation ends before it begins."""

    USUAL = auto()
    WIDE = auto()
    """The reserved job needs half of the hosts or more."""
    STRICT = auto()
    """It waits for so long that later jobs must end in time almost surely."""


def is_wide(total: Amounts, rows: Sequence[Amounts]) -> bool:
    """Return whether a job is wide, by what it needs in all, and what its hosts have when empty."""
    return any(not _exceed(rows, r, amount / WIDE_PART) for r, amount in total.items() if amount)


def _exceed(rows: Sequence[Amounts], resource: str, amount: float) -> bool:
    """Return whether rows have more of a resource; of a small amount a few of them tell."""
    return any(together > amount for together in accumulate(row.get(resource, 0) for row in rows))


def care_for(now: float, passed: float | None, mean_hold: float, *, wide: bool) -> Care:
    """Return the care for a job, by when a later job first passed it, if any, and its width."""
    if passed is not None and now - passed >= STRICT_AFTER * mean_hold:
        return Care.STRICT
    return Care.WIDE if wide else Care.USUAL


def span_before(prediction: Prediction, binding: Binding, care: Care) -> float:
    """Return for how long a job is taken to hold that would go ahead of a reservation, seconds."""
    if binding is Binding.MOVING:
        if care is Care.STRICT:
            return prediction.strict_span
        return prediction.wide_span if care is Care.WIDE else prediction.span
    # What clients say may be why the promise was missed: only history counts.
    if binding is Binding.CLOSED or prediction.source is Source.EXPECTED:
        return inf
    return FIXED_SPANS * prediction.strict_span


@dataclass(frozen=True, slots=True)
class Reservation:
    """Capacity kept in time for one job."""

    head: Head
    start: float
    """When it begins, seconds since 1970."""
    hosts: frozenset[str]
    needs: Needs
    """Host's number → what the job needs of it."""
    amounts: Mapping[str, Row]
    """The same by the host's name."""
    mask: int
    """The hosts in `needs`."""
    care: Care
    binding: Binding
    """How firmly these hosts are kept for the job."""

    @property
    def is_fixed(self) -> bool:
        """Whether these hosts are kept until the job starts, whatever ends when."""
        return self.binding is not Binding.MOVING

    def lets_ahead(self, now: float, prediction: Prediction) -> bool:
        """Return whether a job that starts now ends before the reservation begins."""
        return now + span_before(prediction, self.binding, self.care) <= self.start


class Reservations:
    """The reservations made so far in a pass, on hosts of their own each."""

    def __init__(self, table: HostTable) -> None:
        self.all: list[Reservation] = []
        self._table = table
        """What is free now."""
        self._mask = 0
        self._later: dict[int, Row] = {}
        """Reserved host → what is free there later."""
        self.late_table = table
        """What jobs that do not end in time may use; a fork from the first reservation on."""
        self._placers: dict[tuple[Demand, bool], Placer] = {}
        """(demand, whether its job ends in time) → its placer beside the reservations."""

    def add(self, head: Head, start: StartTime, care: Care, binding: Binding) -> None:
        """Keep what a job needs, from its start time on; see Reservation for the rest."""
        if not self.all:
            self.late_table = self._table.fork()
        mask = sum(1 << index for index in start.needs)
        amounts = {self._table.names[index]: needs for index, needs in start.needs.items()}
        self.all.append(
            Reservation(
                *(head, start.seconds, frozenset(amounts), start.needs),
                *(amounts, mask, care, binding),
            )
        )
        self._mask |= mask
        for index, needs in start.needs.items():
            row = start.rows[index]
            self._later[index] = {r: free - needs.get(r, 0) for r, free in row.items()}
            self._update_late(index)
        self._placers.clear()

    def of(self, head: Head) -> Reservation | None:
        """Return the job's reservation, if it has one."""
        return next((made for made in self.all if made.head is head), None)

    def are_on(self, hosts: int) -> bool:
        """Return whether any host of the mask has a reservation."""
        return bool(self._mask & hosts)

    def let_ahead(self, hosts: int, now: float, prediction: Prediction) -> bool:
        """Return whether a job that starts now ends before each reservation on these hosts."""
        nearby = (reservation for reservation in self.all if reservation.mask & hosts)
        return all(reservation.lets_ahead(now, prediction) for reservation in nearby)

    def place(
        self, placer: Placer, is_early: bool, closed_hosts: int, budget: StepBudget
    ) -> list[int] | None:
        """Place a job of the placer's demand beside the reservations.

        Args:
            placer: The demand's placer without reservations.
            is_early: Whether the job ends before each reservation on its hosts begins.
            closed_hosts: Mask of hosts the job may not use.
            budget: Bounds the search for demands whose instances differ.
        """
        if placer.failed:
            return None
        key = placer.demand, is_early
        beside = self._placers.get(key)
        if beside is None:
            beside = self._placers[key] = self.beside(placer, is_early)
        hosts = beside.place(closed_hosts, budget)
        placer.devices = beside.devices
        if hosts is not None:
            self.took(hosts, placer, is_early)
        return hosts

    def beside(self, placer: Placer, is_early: bool) -> Placer:
        """Return a placer of the same demand that keeps to what the reservations leave."""
        # An early job prefers reserved hosts, and leaves the others to jobs that end later.
        table, preferred = (self._table, self._mask) if is_early else (self.late_table, 0)
        return placer.beside(table, preferred)

    def took(self, hosts: Sequence[int], placer: Placer, is_early: bool) -> None:
        """Note what a job took beside the reservations that a placer has just placed."""
        if is_early:
            self._took_early(hosts)
        else:
            self._took_late(hosts, placer)

    def took_elsewhere(self, hosts: Sequence[int]) -> None:
        """Note what a job took whose hosts have no reservation."""
        if self.all:
            self._took_early(hosts)

    def _took_early(self, hosts: Sequence[int]) -> None:
        for index in dict.fromkeys(hosts):
            self._update_late(index)

    def _took_late(self, hosts: Sequence[int], placer: Placer) -> None:
        for index, instance in zip(hosts, placer.taken, strict=True):
            later = self._later.get(index)
            if later is None:  # both tables share the row
                self._table.note_change(index)
                continue
            self._table.take(index, instance)
            for resource, amount in instance:
                later[resource] = later.get(resource, 0) - amount

    def _update_late(self, index: int) -> None:
        """Bring the late jobs' table up to date on a host; it shares the rows of other hosts."""
        later = self._later.get(index)
        if later is not None:
            now = self._table.rows[index]
            late = {r: min(now[r], later.get(r, 0)) for r in now}
            self.late_table.rows[index] = now.like(late) if isinstance(now, DeviceRow) else late
        self.late_table.note_change(index)
