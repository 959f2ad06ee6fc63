"""Knows what the jobs of a type hold until when, and how long earlier ones held, for one process.

Both are kept in memory and brought up to date by what changed, since thousands of jobs may run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from rq_broker.admission.running_holds import RunningHolds
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.jobs import Demand
from rq_broker.domain.planning import Hold
from rq_broker.store.broker import Broker, RunningHold


@dataclass(frozen=True, slots=True)
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


class HeldCapacity:
    """What the jobs of one type hold."""

    def __init__(self, broker: Broker, type_: str) -> None:
        self._broker = broker
        self._type = type_
        self._running = RunningHolds(broker, type_)
        self._history = HoldingTimes()
        self._last: str | None = None
        """The last ended hold that the history has learnt from."""
        self._holds: dict[str, tuple[RunningHold, Hold]] = {}
        self._demands: dict[str, Demand] = {}
        self._one_at_a_time = asyncio.Lock()

    async def read(self) -> Held:
        """Bring up to date what is known, and return it. Raises Unavailable."""
        async with self._one_at_a_time:
            rows, ended, now = await asyncio.gather(
                self._running.read(),
                self._broker.holding_times(self._type, self._last),
                self._broker.now(),
            )
            if ended.is_whole:
                self._history = HoldingTimes()
            for hold in ended.holds:
                self._history.add(Observation(*hold))
            self._last = ended.last
            self._update(rows, now)
        holds = sorted((hold for _, hold in self._holds.values()), key=lambda hold: hold.ends)
        return Held(rows, tuple(holds), self._history, self._demands)

    def _update(self, rows: tuple[RunningHold, ...], now: float) -> None:
        """Keep the holds of these rows; those that are new or outlived are predicted anew."""
        holds: dict[str, tuple[RunningHold, Hold]] = {}
        demands: dict[str, Demand] = {}
        for row in rows:
            known = self._holds.get(row.request_id)
            if known is None or known[0] is not row or known[1].ends <= now:
                known = (row, self._hold(row, now))
            holds[row.request_id] = known
            demands[row.demand_key] = row.demand
        self._holds, self._demands = holds, demands

    def _hold(self, row: RunningHold, now: float) -> Hold:
        history, owner = self._history, row.owner
        key = row.demand_key or demand_key(row.demand)
        predicted = row.predicted
        if predicted is None:
            predicted = history.predict(owner, key, row.size or 0, row.expected).hold
        seconds = history.corrected(predicted, now - row.granted, owner, key)
        return Hold(row.request_id, owner, row.granted, row.granted + seconds, row.amounts)
