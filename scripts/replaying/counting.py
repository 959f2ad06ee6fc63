"""Reference policies on a cluster that only counts processors, from the literature.

FCFS, first fit, and EASY (Lifka 1995; Mu'alem and Feitelson 2001). They share no code with the
planner, so that equal starts prove something.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from replaying.jobs import Job


class CountingCluster:
    """Processors, the line, and what runs; a rule decides what starts."""

    def __init__(self, processors: int, rule: Rule) -> None:
        self.free = processors
        self.waiting: dict[Job, None] = {}
        """In the order of arrival."""
        self.running: dict[Job, float] = {}
        """Job → when it started."""
        self._rule = rule

    def arrive(self, job: Job) -> None:
        """Put a job at the end of the line."""
        self.waiting[job] = None

    def end(self, job: Job, now: float) -> None:  # noqa: ARG002 - counting needs no time
        """Take back the processors of a job."""
        del self.running[job]
        self.free += job.processors

    def start(self, now: float) -> list[Job]:
        """Return the jobs that the rule starts."""
        running_before = len(self.running)
        if self.waiting and self.free:
            self._rule(self, now)
        return list(self.running)[running_before:]

    def run(self, job: Job, now: float) -> None:
        """Give a waiting job its processors."""
        del self.waiting[job]
        self.free -= job.processors
        self.running[job] = now

    def run_first_jobs(self, now: float) -> Job | None:
        """Run jobs in the order of the line while they fit; return the first that does not."""
        for job in list(self.waiting):
            if job.processors > self.free:
                return job
            self.run(job, now)
        return None


Rule = Callable[[CountingCluster, float], None]
"""Runs the waiting jobs that may start now."""
Estimate = Callable[[Job], float]
"""How long a job is taken to run, seconds; never less than it does."""
users_estimate: Estimate = attrgetter("estimate")
perfect_estimate: Estimate = attrgetter("run_time")


def fcfs(cluster: CountingCluster, now: float) -> None:
    """Start jobs in order of arrival; one that does not fit blocks all behind it."""
    cluster.run_first_jobs(now)


def first_fit(cluster: CountingCluster, now: float) -> None:
    """Start every job that fits, in order of arrival: best effort."""
    for job in list(cluster.waiting):
        if job.processors <= cluster.free:
            cluster.run(job, now)
        if not cluster.free:
            return


def easy(estimate: Estimate, span: Estimate | None = None, *, ties: bool = False) -> Rule:
    """Return EASY on these estimates: no backfilled job delays the first job that does not fit.

    With `span`, jobs that did not start before now are taken to run for that long.
    With `ties`, all that ends in the second in which the first job can start counts as free then;
    otherwise only as much of it as that job needs. The literature leaves it open.
    """
    span = span or estimate

    def rule(cluster: CountingCluster, now: float) -> None:
        # 1. Start jobs in order while they fit.
        head = cluster.run_first_jobs(now)
        if head is None:
            return
        # 2. Find when the first that does not fit starts, and what it leaves free then.
        start, free_then = now, cluster.free
        ends = [
            (granted + (span if granted == now else estimate)(job), job.processors)
            for job, granted in cluster.running.items()
        ]
        for end, processors in sorted(ends):
            if free_then >= head.processors and not (ties and end == start):
                break
            start, free_then = end, free_then + processors
        spare = free_then - head.processors
        # 3. Start later jobs that end before it, or use only what it leaves free.
        for job in list(cluster.waiting)[1:]:
            if job.processors > cluster.free:
                continue
            if now + span(job) > start:
                if job.processors > spare:
                    continue
                spare -= job.processors
            cluster.run(job, now)

    return rule
