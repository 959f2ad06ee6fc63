"""How long jobs hold in a simulated future: drawn from what the same owners' jobs did before.

An owner's jobs are alike, also in what is unusual about them: so the draws of one future are
correlated within an owner. Drawing from the type's history as a whole is about twice as far off.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from random import Random

from rq_broker.planner.forecasting.like_jobs import LikeJobs

DOUBT = 1.0
"""A history of n holding times is used with probability n / (n + DOUBT), and a wider one else: few
observations say little about the next."""
REPEATED = 0.6
"""Part of the draws from one history that repeat one of its values within a future. With less, the
waits of several jobs of one owner spread too little."""
SURPRISE = 0.2
"""Part of the draws that come from the whole type: the next job may be unlike all before."""
LEAST_TAIL = 0.1
"""A hold that outlived all observed ones lasts at most 1 / LEAST_TAIL times its age."""

Histories = Sequence[LikeJobs]
"""Of the most alike jobs first; none is empty, and of the last all have ended."""


class HoldingDraws:
    """The holding times of one future."""

    def __init__(self, rng: Random, totals: Sequence[float] = ()) -> None:
        """Draw with a source of random numbers.

        `totals`: of each job that holds now, for how long it will have held in this future.
        """
        self.totals = totals
        self._random = rng.random
        self._repeated_values: dict[int, float] = {}
        """History, by identity → the value that is repeated."""
        self._means: dict[int, float] = {}

    def holding_time(self, histories: Histories) -> float:
        """Draw how long a job holds."""
        random = self._random
        if random() >= SURPRISE:
            for history in histories[:-1]:
                known = history.count
                if random() * (known + DOUBT) < known:
                    if random() < REPEATED:
                        return self._repeated(history)
                    return self._one_of(history)
        return self._one_of(histories[-1])

    def mean_time(self, histories: Histories) -> float:
        """Return the mean of what `holding_time` draws in this future."""
        mean = overall = self._mean(histories[-1])
        for history in reversed(histories[:-1]):
            known = history.count / (history.count + DOUBT)
            own = REPEATED * self._repeated(history) + (1 - REPEATED) * self._mean(history)
            mean = known * own + (1 - known) * mean
        return SURPRISE * overall + (1 - SURPRISE) * mean

    def _one_of(self, history: LikeJobs) -> float:
        ended, number = history.ended, int(self._random() * history.count)
        known = len(ended)
        return ended[number] if number < known else self.totals[history.held[number - known]]

    def _repeated(self, history: LikeJobs) -> float:
        value = self._repeated_values.get(id(history))
        if value is None:
            value = self._repeated_values[id(history)] = self._one_of(history)
        return value

    def _mean(self, history: LikeJobs) -> float:
        mean = self._means.get(id(history))
        if mean is None:
            total = sum(history.ended) + sum([self.totals[number] for number in history.held])
            mean = self._means[id(history)] = total / history.count
        return mean

    def remaining_time(self, ended: Sequence[Sequence[float]], age: float) -> float:
        """Draw how much longer a job holds that has held for `age` seconds.

        `ended`: sorted holding times, of the most alike jobs first.
        """
        random = self._random
        for history in ended:
            first = bisect_right(history, age)
            longer = len(history) - first
            if random() * (longer + DOUBT) < longer:
                return history[first + int(random() * longer)] - age
        # It outlived all that was observed: the longer it has lasted, the longer it will last.
        return max(age * (1 / max(random(), LEAST_TAIL) - 1), 1.0)
