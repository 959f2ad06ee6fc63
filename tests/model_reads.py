"""What the model of the broker knows, and how it is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Shape, Status
from rq_broker.domain.policy import Policy
from tests.model_job import MArray, MJob, Place


class Reads:
    """All jobs, arrays and hosts of one type."""

    def __init__(self) -> None:
        self.jobs: dict[str, MJob] = {}
        self.arrays: dict[str, MArray] = {}
        self.hosts: dict[str, Host] = {}
        self.parting: Counter[Place] = Counter()
        """What jobs released and the source's host has until the next snapshot."""
        self.snapshots = 0
        self.policy = Policy()
        self.policy_number = 0
        self.recounted: set[Status] = set()
        """The statuses whose deadlines the next sweep counts anew."""
        self.ids = 0
        self.clock = -1
        self.last_fence = 0
        self.ended: dict[int, int] = {}
        """ID of a job that ended and for which others wait → 0: done, 1: error, 2: withdrawn."""
        self.misses: dict[str, int] = {}
        """Owner → offers that it missed in a row."""
        self.probes: dict[str, str] = {}
        """Owner that missed so many → the job that got its last offer."""

    def queue(self) -> list[MJob]:
        """Return the jobs in the line, in order."""
        return [job for job in self.ordered(Status.QUEUED) if not job.beside]

    def ordered(self, status: Status | None = None) -> list[MJob]:
        """Return the jobs of one status, or all, in priority order."""
        jobs = [job for job in self.jobs.values() if status in (None, job.status)]
        return sorted(jobs, key=lambda job: (job.priority, job.id))

    def held(self, host: str) -> dict[str, int]:
        """Return the amounts held on a host, by resource."""
        total: Counter[str] = Counter()
        for job in self.jobs.values():
            for (name, resource), amount in job.holds.items():
                total[resource] += amount if name == host else 0
        for (name, resource), amount in self.parting.items():
            total[resource] += amount if name == host else 0
        return {resource: amount for resource, amount in total.items() if amount}

    def with_held(self, host: Host) -> Host:
        """Return a host with what is held on it."""
        return replace(host, held=self.held(host.name))

    def overfull(self) -> set[str]:
        """Return the hosts on which more is held than they have."""
        return {
            name
            for name, host in self.hosts.items()
            if min(self.with_held(host).free.values(), default=0) < 0
        }

    def waiting(self) -> dict[Shape, list[MJob]]:
        """Return the queued jobs in order, by shape."""
        shapes: dict[Shape, list[MJob]] = {}
        for job in self.queue():
            shapes.setdefault(job.shape, []).append(job)
        return shapes

    def usage(self) -> dict[str, dict[str, int]]:
        """Return the amounts that were granted to each owner, by owner and resource."""
        total: dict[str, Counter[str]] = {}
        for job in self.jobs.values():
            for (_, resource), amount in (job.holds + job.seen + job.unheld).items():
                total.setdefault(job.owner, Counter())[resource] += amount
        return {owner: dict(amounts) for owner, amounts in total.items()}

    def find(self, request_id: str) -> MJob:
        """Return a job; raises JobNotFound."""
        if request_id not in self.jobs:
            raise errors.JobNotFound(request_id)
        return self.jobs[request_id]

    def forget_empty_hosts(self) -> None:
        """Remove the dropped hosts that hold nothing."""
        for name in [name for name, host in self.hosts.items() if host.dropped]:
            if not self.held(name):
                del self.hosts[name]
