"""When a job can start that does not fit now, and on which hosts.

Holds are taken to end when they are expected to. The moments at which some of them end are tried
in order; the job starts at the first at which all its instances fit (EASY: Lifka 1995; Mu'alem and
Feitelson 2001).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile

from rq_broker.domain.planning import Hold
from rq_broker.domain.traits import Instance
from rq_broker.planner.owner_usage import add_amounts
from rq_broker.planner.packing.best_fit import pack
from rq_broker.planner.packing.devices import needs_of
from rq_broker.planner.packing.host_rows import Row
from rq_broker.planner.packing.host_table import HostTable, Needs, count_fitting, indexes_of
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget, needs_of_placement

TRIED_MOMENTS = 12
"""Moments at which instances of different kinds are packed: each costs up to some milliseconds on a
thousand hosts. With fewer, such a job may be promised a later start than it could have."""
PACK_STEPS = 200
"""Search steps of each of them, where best fit finds no place."""


@dataclass(frozen=True, slots=True)
class StartTime:
    """When and where a job starts."""

    seconds: float
    """Since 1970."""
    needs: Needs
    rows: dict[int, Row]
    """What those hosts have free at that moment, the job not counted."""


def earliest_start(placer: Placer, holds: Iterable[Hold]) -> StartTime | None:
    """Find the first moment at which the job fits.

    Args:
        placer: the job's demand, on the table of what is free now.
        holds: all of them, the earliest expected end first.

    Returns: None if it does not fit even once all holds have ended.
    """
    if len(placer.kinds) == 1:
        return _start_of_alike(placer, holds)
    return _MixedStart(placer, holds).run()


class _Room:
    """How many instances of one kind fit on the hosts, while holds end."""

    def __init__(
        self, table: HostTable, hosts: int, kind: tuple[Instance, int], spread: bool
    ) -> None:
        instance, self._most = kind
        self._spread = spread
        self._table = table
        allowed = indexes_of(hosts & table.allowing(instance))
        self._index_of = {table.names[index]: index for index in allowed}
        self._instance = instance
        self.rows: dict[int, Row] = {}
        """Hosts on which something ended → what is free there by then."""
        free = table.fitting_at_start(instance, hosts)
        self.now = {
            index: times
            for index in indexes_of(free)
            if (times := self._count(index, table.rows[index]))
        }
        """Host → how many fit there now, where that is more than 0."""
        self.total = sum(self.now.values())
        self.rises: list[tuple[int, int]] = []
        """(host, how many more fit) in the order in which holds end."""
        self._by_host = dict(self.now)

    def _count(self, index: int, row: Row) -> int:
        """Count the instances that fit on a host, as far as they count there."""
        limit = 1 if self._table.takes_one(index, self._spread) else self._most
        return count_fitting(row, self._instance, limit)

    def release_until(self, holds: Iterable[Hold], wanted: int) -> float | None:
        """Let holds end until `wanted` instances fit, all that end at that moment included.

        Returns: that moment; 0 if they fit before any hold ends, None if they never do.
        """
        seconds = 0.0
        for hold in holds:
            if self.total >= wanted and hold.ends != seconds:
                break
            seconds = hold.ends
            self._release(hold)
        return seconds if self.total >= wanted else None

    def _release(self, hold: Hold) -> None:
        for name, amounts in hold.amounts.items():
            index = self._index_of.get(name)
            if index is None:
                continue
            row = self.rows.get(index)
            if row is None:
                row = self.rows[index] = self._table.rows[index].copy()
            add_amounts(row, amounts)
            before = self._by_host.get(index, 0)
            rise = self._count(index, row) - before
            if rise > 0:
                self._by_host[index] = before + rise
                self.rises.append((index, rise))
                self.total += rise


def _start_of_alike(placer: Placer, holds: Iterable[Hold]) -> StartTime | None:
    instance, count = placer.kinds[0]
    table = placer.table
    room = _Room(table, placer.usable_hosts, placer.kinds[0], placer.demand.spread)
    seconds = room.release_until(holds, count)
    if seconds is None:
        return None
    # Take the hosts that become free last, so that those free now stay open to others.
    free_now = sorted(room.now.items(), key=lambda item: table.weighted_free[item[0]])
    taken: dict[int, int] = {}
    for index, room_there in [*reversed(room.rises), *free_now]:
        times = min(room_there, count)
        if times:
            taken[index] = taken.get(index, 0) + times
            count -= times
    needs = {
        index: needs_of(room.rows.get(index) or table.rows[index], instance, times)
        for index, times in taken.items()
    }
    return StartTime(seconds, needs, _rows_of(table, room.rows, needs))


class _MixedStart:
    """The search for a moment at which instances of several kinds fit together."""

    def __init__(self, placer: Placer, holds: Iterable[Hold]) -> None:
        self._placer = placer
        self._holds = list(holds)
        self._index_of = {name: index for index, name in enumerate(placer.table.names)}
        self._moments = [*dict.fromkeys(hold.ends for hold in self._holds)]
        self._tries = TRIED_MOMENTS

    def run(self) -> StartTime | None:
        """Step over more and more moments until the job fits, then halve the last step."""
        moment = self._first_possible()
        if moment is None or not self._moments:
            return None
        failed, step, last = moment - 1, 1, len(self._moments) - 1
        start = self._start_at(moment)
        while start is None and moment < last:
            failed = moment
            moment = last if self._tries <= TRIED_MOMENTS // 2 else min(moment + step, last)
            step *= 2
            start = self._start_at(moment)
        while start is not None and moment - failed > 1 and self._tries > 0:
            middle = (moment + failed) // 2
            earlier = self._start_at(middle)
            if earlier is None:
                failed = middle
            else:
                moment, start = middle, earlier
        return start

    def _first_possible(self) -> int | None:
        """Return the first moment at which each kind alone would fit."""
        table, demand, first = self._placer.table, self._placer.demand, 0
        for kind in self._placer.kinds:
            room = _Room(table, self._placer.usable_hosts, kind, demand.spread)
            seconds = room.release_until(self._holds, kind[1])
            if seconds is None:
                return None
            first = max(first, bisect_left(self._moments, seconds))
        return first

    def _start_at(self, moment: int) -> StartTime | None:
        """Place the instances on the hosts as they will be at a moment."""
        self._tries -= 1
        placer, table, seconds = self._placer, self._placer.table, self._moments[moment]
        rows: dict[int, Row] = {}
        for hold in takewhile(lambda hold: hold.ends <= seconds, self._holds):
            for name, amounts in hold.amounts.items():
                if name in self._index_of:
                    index = self._index_of[name]
                    add_amounts(rows.setdefault(index, table.rows[index].copy()), amounts)
        then = table.with_rows([rows.get(index, row) for index, row in enumerate(table.rows)])
        spread, budget = placer.demand.spread, StepBudget(PACK_STEPS)
        placement = pack(then, placer.kinds, placer.usable_hosts, spread, budget)
        if placement is None:
            return None
        needs = needs_of_placement(then, placement)
        return StartTime(seconds, needs, _rows_of(table, rows, needs))


def _rows_of(table: HostTable, rows: Mapping[int, Row], needs: Needs) -> dict[int, Row]:
    return {index: rows.get(index) or table.rows[index].copy() for index in needs}
