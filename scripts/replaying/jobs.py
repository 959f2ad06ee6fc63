"""A job of a log, and the loop that plays a log to a scheduler."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One job. Two jobs are never equal, so each can be a key."""

    number: int
    """As the log counts it."""
    submitted: float
    """Seconds, on the clock of the log."""
    run_time: float
    """Seconds it holds its processors."""
    processors: int
    estimate: float
    """What its user said its run time would be, seconds; at least the run time."""
    user: int


Starts = Mapping[Job, float]
"""Job → when it started, on the clock of the log."""


class Scheduler(Protocol):
    """Decides which jobs start; `replay` tells it what happens."""

    def arrive(self, job: Job) -> None:
        """Put a job at the end of the line."""

    def end(self, job: Job, now: float) -> None:
        """Take back what a job held."""

    def start(self, now: float) -> Iterable[Job]:
        """Return the jobs that start at this moment; no other can start at it any more."""


class NeverStarted(Exception):
    """Some jobs do not start though nothing else happens any more."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        numbers = ", ".join(str(job.number) for job in jobs[:5])
        further = ", …" if len(jobs) > 5 else ""
        super().__init__(f"{len(jobs)} jobs never start under this policy: {numbers}{further}")


class _End(NamedTuple):
    """When a running job ends, as the heap sorts it."""

    seconds: float
    start_number: int
    """Counts the starts, so that jobs themselves are never compared."""
    job: Job


def replay(jobs: Sequence[Job], scheduler: Scheduler) -> dict[Job, float]:
    """Play jobs, sorted by their submit times, until all have ended.

    At each moment first all ends are told, then all arrivals, and then jobs are started.

    Raises:
        NeverStarted: Jobs still wait when nothing runs and nothing arrives any more.
    """
    arrivals, ends = deque(jobs), list[_End]()
    starts: dict[Job, float] = {}
    while arrivals or ends:
        now = min(arrivals[0].submitted if arrivals else inf, ends[0].seconds if ends else inf)
        while ends and ends[0].seconds <= now:
            scheduler.end(heappop(ends).job, now)
        while arrivals and arrivals[0].submitted <= now:
            scheduler.arrive(arrivals.popleft())
        for job in scheduler.start(now):
            heappush(ends, _End(now + job.run_time, len(starts), job))
            starts[job] = now
    if len(starts) < len(jobs):
        raise NeverStarted([job for job in jobs if job not in starts])
    return starts
