"""Sums of reports: what happened to jobs in an hour or a day, and how much of a type was in use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import ceil, inf

from msgspec import Struct, field

from rq_broker.domain.figures import WAIT_BOUNDS


class Sums(Struct, omit_defaults=True):
    """What happened to the jobs of one group: all, those of an owner, or those of a size class."""

    submitted: int = 0
    granted: int = 0
    returned: int = 0
    """Grants after which the job went back to the line."""
    done: int = 0
    failed: int = 0
    withdrawn: int = 0
    waited: float = 0.0
    """Seconds that the granted jobs waited, all together."""
    waits: dict[int, int] = field(default_factory=dict)
    """Number of a bucket, see domain/figures.WAIT_BOUNDS, 1 for the first → grants."""
    held: dict[str, float] = field(default_factory=dict)
    """Resource → amount times seconds that grants had of it in this time."""

    def add(self, other: Sums) -> None:
        """Add what is counted in other sums."""
        self.submitted += other.submitted
        self.granted += other.granted
        self.returned += other.returned
        self.done += other.done
        self.failed += other.failed
        self.withdrawn += other.withdrawn
        self.waited += other.waited
        for bucket, grants in other.waits.items():
            self.waits[bucket] = self.waits.get(bucket, 0) + grants
        add_amounts(self.held, other.held)

    @property
    def weight(self) -> tuple[int, float]:
        """By what the largest groups are chosen."""
        return self.submitted + self.granted, sum(self.held.values())

    @property
    def counted_waits(self) -> int:
        """Grants of which the wait is known: those that a version before reports made are not."""
        return sum(self.waits.values())

    def wait_bound(self, part: float) -> float | None:
        """Return seconds that `part` of the grants waited at most; None without any.

        It is the end of the bucket, or less where the sum of all waits shows so: the longest ones
        waited as long at least, and those before them as long as their buckets begin.
        """
        total = self.counted_waits
        if not total:
            return None
        before, least = 0, 0.0  # grants in the buckets so far, and what they waited at least
        rank = max(ceil(part * total - 1e-9), 1)
        edges = (0, *WAIT_BOUNDS, inf)
        for bucket, (low, high) in enumerate(pairwise(edges), 1):
            count = self.waits.get(bucket, 0)
            if before + count >= rank:
                least += low * (rank - 1 - before)
                from_sum = (self.waited - least) / (total - rank + 1)
                return float(min(high, max(from_sum, low)))
            before += count
            least += low * count
        return float(WAIT_BOUNDS[-1])  # damaged: a bucket of a number that there is not


class Level(Struct, omit_defaults=True):
    """What a type had and wanted in an hour or a day: each amount times the seconds it stood."""

    seconds: float = 0.0
    """For how much of the time that is known."""
    uncounted: float = 0.0
    """Seconds whose events were gone before anybody counted them."""
    capacity: dict[str, float] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    """What the jobs in the line ask for."""
    jobs: float = 0.0
    """Jobs in the line."""

    def add(self, other: Level) -> None:
        """Add another level of the same time."""
        self.seconds += other.seconds
        self.uncounted += other.uncounted
        self.jobs += other.jobs
        for own, more in (
            (self.capacity, other.capacity),
            (self.used, other.used),
            (self.held, other.held),
            (self.waiting, other.waiting),
        ):
            add_amounts(own, more)


class Sample(Struct):
    """What a type has and what its line asks for at one moment."""

    at: int
    """ms since 1970, by Redis's clock."""
    capacity: dict[str, int]
    used: dict[str, int]
    held: dict[str, int]
    waiting: dict[str, int]
    jobs: int

    @property
    def is_busy(self) -> bool:
        """Whether jobs wait or hold something."""
        return self.jobs > 0 or any(self.held.values())

    def over(self, seconds: float) -> Level:
        """Return the level of so many seconds in which nothing changed."""

        def stood(amounts: Mapping[str, int]) -> dict[str, float]:
            return {name: amount * seconds for name, amount in amounts.items() if amount}

        return Level(
            seconds,
            capacity=stood(self.capacity),
            used=stood(self.used),
            held=stood(self.held),
            waiting=stood(self.waiting),
            jobs=self.jobs * seconds,
        )


def add_amounts(sums: dict[str, float], more: Mapping[str, float], factor: float = 1.0) -> None:
    """Add amounts, each times a factor."""
    for name, amount in more.items():
        sums[name] = sums.get(name, 0.0) + factor * amount


Decode = Callable[[str], Sums]
"""Reads sums as they are stored; a damaged text gives empty ones."""
