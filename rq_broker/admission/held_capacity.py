"""Knows what the jobs of a type hold until when, and how long earlier ones held, for one process.

Both are kept in memory and brought up to date by what changed, since thousands of jobs may run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rq_broker.admission.running_holds import RunningHolds
from rq_broker.domain.hold_book import HoldBook
from rq_broker.domain.holding_times import HoldingTimes, Source, demand_key
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Hold
from rq_broker.store.broker import Broker, RunningHold

_SOURCES = {source.value: source for source in Source}


@dataclass(frozen=True)
class Held:
    """What is held at one moment."""

    rows: tuple[RunningHold, ...]
    """The running jobs as Redis has them."""
    holds: tuple[Hold, ...]
    """The same as the planner sees them, the earliest expected end first."""
    history: HoldingTimes
    """How long ended jobs held; it learns on."""
    demands: Mapping[str, Demand]
    """Key → demand, of the running jobs."""
    running: Mapping[str, tuple[Demand, int]]
    """Key → demand, and how many running jobs have it."""

    @cached_property
    def rows_by_host(self) -> Mapping[str, Sequence[int]]:
        """Host → the indexes of the rows that hold something of it."""
        indexes: dict[str, list[int]] = {}
        for index, row in enumerate(self.rows):
            for host in row.amounts:
                indexes.setdefault(host, []).append(index)
        return indexes

    @cached_property
    def ends(self) -> Mapping[str, float]:
        """The request_id of each running job → its expected end."""
        return {hold.request_id: hold.ends for hold in self.holds}


class HeldCapacity:
    """What the jobs of one type hold; each read adds what is new in Redis."""

    def __init__(self, broker: Broker, type_: str) -> None:
        self._broker = broker
        self._type = type_
        self._running = RunningHolds(broker, type_)
        self._rows: tuple[RunningHold, ...] = ()
        self._book = HoldBook()
        self._demands: dict[str, Demand] = {}
        self._counts: dict[str, tuple[Demand, int]] = {}
        self._history = HoldingTimes()
        self._last: str | None = None
        """The last ended hold that the history has learnt from."""
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> Held:
        """Bring up to date what is known, and return it. Raises Unavailable."""
        async with self._one_at_a_time:
            rows, _, now = await asyncio.gather(
                self._running.read(), self._learn(), self._broker.now(self._type)
            )
            for request_id, row in self._running.take_changes().items():
                if row is None:
                    self._book.remove(request_id)
                else:
                    self._book.add(self._hold(row))
            if rows is not self._rows:
                self._rows = rows
                self._demands = {row.demand_key: row.demand for row in rows}
                counts = Counter(row.demand_key for row in rows)
                self._counts = {key: (self._demands[key], n) for key, n in counts.items()}
            holds = self._book.in_order(now, self._history)
            return Held(rows, holds, self._history, self._demands, self._counts)

    async def read_history(self) -> HoldingTimes:
        """Return how long ended jobs held, which costs less to read."""
        async with self._one_at_a_time:
            await self._learn()
            return self._history

    async def _learn(self) -> None:
        ended = await self._broker.holding_times(self._type, self._last)
        if ended.is_whole:
            self._history = HoldingTimes()
        for observation in ended.holds:
            self._history.add(observation)
        self._last = ended.last

    def _hold(self, row: RunningHold) -> Hold:
        """Add the expected end: what was predicted at the grant, or exactly what its client says.

        What a client says does not count any more where its owner is not believed.
        """
        key, predicted, source = _key(row), row.predicted, _source(row)
        is_said = source is Source.EXPECTED
        if is_said and row.expected is not None:
            predicted = row.expected
        if predicted is None or (is_said and not self._history.believes(row.owner)):
            prediction = self._history.predict(row.owner, key, row.size or 0)
            predicted, source = prediction.hold, prediction.source
        ends = row.granted + predicted
        return Hold(
            row.request_id, row.owner, row.granted, ends, row.amounts, key, source, row.array
        )


def _key(row: RunningHold) -> str:
    return row.demand_key or demand_key(row.demand)


def _source(row: RunningHold) -> Source:
    """Return what the prediction kept with a grant rests on; a word of a later version is none."""
    return _SOURCES.get(row.predicted_from, Source.DEFAULT)
