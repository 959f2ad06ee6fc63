"""The jobs that arrive while a job waits, as a forecast imagines them.

A job that can be passed waits longer the more later jobs pass it, so a forecast without new jobs
would be too early. A steady state is assumed: as many jobs arrive as end (Little's law), and they
are like those that ended last. They join the end of the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random

from rq_broker.planner.forecasting.holding_draws import HoldingDraws
from rq_broker.planner.forecasting.simulated_jobs import Arrival, Kind

MAX_ARRIVALS = 5000
"""Arrivals in one future: bounds its memory. Beyond them a far future is too optimistic."""


class ArrivalModel:
    """Draws the arrivals of a future; equal random numbers give equal arrivals."""

    def __init__(self, kinds: Sequence[tuple[Kind, int]], per_second: float) -> None:
        """Let jobs of these kinds arrive, each as often as its count says."""
        self._kinds = [kind for kind, _ in kinds]
        self._counts = list(accumulate(count for _, count in kinds))
        self._per_second = per_second

    def draw(self, rng: Random) -> Iterator[Arrival]:
        """Draw the arrivals of one future, in order of time."""
        if not self._kinds or not self._per_second:
            return
        draws, seconds = HoldingDraws(rng), 0.0
        for _ in range(MAX_ARRIVALS):
            seconds += rng.expovariate(self._per_second)
            kind = rng.choices(self._kinds, cum_weights=self._counts)[0]
            yield Arrival(seconds, kind, draws.holding_time(kind.histories))
