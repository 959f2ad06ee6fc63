"""What a replay gave: waits, bounded slowdown, utilisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replaying.jobs import Job, Starts

SHORTEST_RUN = 10.0
"""Seconds that the bounded slowdown takes a run to last at least, as is usual: without a bound the
jobs that fail at once decide the mean."""
WIDEST_PART = 20
"""One job in so many counts as one of the widest."""


@dataclass(frozen=True, slots=True)
class Measures:
    """One policy's figures; waits in seconds."""

    mean_wait: float
    p95_wait: float
    largest_wait: float
    bounded_slowdown: float
    """Mean of (wait + run time) / max(run time, 10 s), and at least 1 for each job."""
    utilisation: float
    """Part of the processors in use between the first and the last arrival."""
    widest_mean_wait: float
    """Of the 5 % of jobs with the most processors."""
    widest_largest_wait: float


def measure(jobs: Sequence[Job], starts: Starts, processors: int) -> Measures:
    """Return the figures of a replay of these jobs, sorted by their submit times."""
    waits = {job: starts[job] - job.submitted for job in jobs}
    ordered = sorted(waits.values())
    widest = [waits[job] for job in widest_jobs(jobs)]
    slowdowns = [
        max((wait + job.run_time) / max(job.run_time, SHORTEST_RUN), 1.0)
        for job, wait in waits.items()
    ]
    first, last = jobs[0].submitted, jobs[-1].submitted
    used = sum(
        job.processors * max(0.0, min(starts[job] + job.run_time, last) - starts[job])
        for job in jobs
    )
    return Measures(
        mean_wait=mean(ordered),
        p95_wait=ordered[int(len(ordered) * 0.95)],
        largest_wait=ordered[-1],
        bounded_slowdown=mean(slowdowns),
        utilisation=used / ((last - first) * processors) if last > first else 0.0,
        widest_mean_wait=mean(widest),
        widest_largest_wait=max(widest),
    )


def widest_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Return the 5 % of jobs with the most processors, earlier ones first; at least one."""
    by_width = sorted(jobs, key=lambda job: -job.processors)
    return by_width[: max(1, len(jobs) // WIDEST_PART)]


def offered_load(jobs: Sequence[Job], processors: int) -> float:
    """Return the work that arrives, as a part of what the processors can do in that time."""
    seconds = jobs[-1].submitted - jobs[0].submitted
    return sum(job.run_time * job.processors for job in jobs) / (max(seconds, 1.0) * processors)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)
