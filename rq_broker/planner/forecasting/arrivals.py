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
from rq_broker.planner.forecasting.simulated_jobs import DRAWS, Arrival, Kind

MAX_ARRIVALS = 5000
"""Arrivals in one future: bounds its memory. Beyond them a far future is too optimistic."""
SPACING = 20
"""While a long line is simulated, an arrival stands for several, as its jobs do: number n for
n / SPACING. So a million cost as much as 240. Without any, large instances, which are passed most,
are forecast at a half or a quarter of their waits."""


class ArrivalModel:
    """Draws the arrivals of a future; equal random numbers give equal arrivals."""

    def __init__(
        self, kinds: Sequence[tuple[Kind, int]], per_second: float, *, is_sampled: bool
    ) -> None:
        """Let jobs of these kinds arrive, each as often as its count says.

        `is_sampled`: whether one arrival may stand for several.
        """
        self._kinds = [kind for kind, _ in kinds]
        self._counts = list(accumulate(count for _, count in kinds))
        self._per_second = per_second
        self._is_sampled = is_sampled

    def draw(self, rng: Random, totals: Sequence[float]) -> Iterator[Arrival]:
        """Draw the arrivals of one future, in order of time; `totals` as of HoldingDraws."""
        if not self._kinds or not self._per_second:
            return
        draws, seconds, arrived = HoldingDraws(rng, totals), 0.0, 0
        for _ in range(MAX_ARRIVALS):
            jobs = max(arrived // SPACING, 1) if self._is_sampled else 1
            seconds += rng.gammavariate(jobs, 1 / self._per_second)
            kind = rng.choices(self._kinds, cum_weights=self._counts)[0]
            times = [draws.holding_time(kind.histories) for _ in range(min(jobs, DRAWS))]
            yield Arrival(seconds, kind, tuple(times), jobs)
            arrived += jobs
