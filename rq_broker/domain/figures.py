"""What is counted of a type in Redis, where it happens, so that every process tells the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WAIT_BOUNDS = (1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400, 259200, 604800)
"""Seconds that the waits of a bucket last at most; one more bucket has the longer ones. Each takes
two short fields of a type's base hash, and a line of /metrics, for every size class in use."""
LEAST_SIZE, MOST_SIZE = -4, 4
"""Size classes that waits are counted by, see `size_class`: jobs of less than 1/8 of the largest
host are one class, and those of 16 and more. With more, /metrics has more lines."""


@dataclass(frozen=True, slots=True)
class Waits:
    """From submit to grant, or from the return to the line, of the jobs of one size class."""

    counts: tuple[int, ...] = (0,) * (len(WAIT_BOUNDS) + 1)
    """Grants in each bucket."""
    seconds: float = 0.0
    """All waits together."""

    @property
    def grants(self) -> int:
        """All grants."""
        return sum(self.counts)

    def __add__(self, other: Waits) -> Waits:
        pairs = zip(self.counts, other.counts, strict=True)
        return Waits(tuple(one + another for one, another in pairs), self.seconds + other.seconds)


@dataclass(frozen=True, slots=True)
class Judged:
    """How many forecasts of one percentile came true."""

    kept: int = 0
    missed: int = 0

    def __add__(self, other: Judged) -> Judged:
        return Judged(self.kept + other.kept, self.missed + other.missed)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was counted of one type, or of several together."""

    oldest: float = 0.0
    """Seconds that the job waits that waits for longest; 0 if none waits."""
    breakers: int = 0
    """Receivers whose circuit breaker is open or half-open."""
    offers_missed: int = 0
    p50: Judged = Judged()
    p90: Judged = Judged()
    waits: Mapping[int, Waits] = field(default_factory=dict)
    """Size class → waits of its jobs."""

    def __add__(self, other: Figures) -> Figures:
        waits = dict(self.waits)
        for size, more in other.waits.items():
            waits[size] = waits.get(size, Waits()) + more
        return Figures(
            max(self.oldest, other.oldest),
            self.breakers + other.breakers,
            self.offers_missed + other.offers_missed,
            self.p50 + other.p50,
            self.p90 + other.p90,
            waits,
        )
