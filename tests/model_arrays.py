"""Submits in the model of the broker: of single jobs and of arrays."""

from __future__ import annotations

from collections import Counter

from rq_broker.domain import errors
from rq_broker.domain.arrays import job_name
from rq_broker.domain.jobs import HOLDING, Status
from tests.model_job import FAR, MArray, MJob
from tests.model_reads import Reads


class Submits(Reads):
    """Puts jobs in the line."""

    def submit(self, job: MJob) -> None:
        """Add a job; the state machine checks its ID and sets its priority."""
        self._refuse_taken(job)
        self._refuse_awaited(job)
        self._enter(job)

    def submit_array(self, array: MArray, jobs: list[MJob]) -> None:
        """Add an array and all of its jobs, or nothing."""
        if array.name in self.arrays:
            raise errors.DuplicateRequestId(array.name)
        for job in jobs:
            self._refuse_taken(job)
        for job in jobs:
            self._refuse_awaited(job)
        for job in jobs:
            self._enter(job)
        self.arrays[array.name] = array

    def _refuse_taken(self, job: MJob) -> None:
        if job.request_id in self.jobs:
            raise errors.DuplicateRequestId(job.request_id)
        for other in self.jobs.values():
            shares_names = other.owner == job.owner or self.policy.names == "per_type"
            if job.callback and job.callback == other.callback and shares_names:
                raise errors.DuplicateCallback(job.callback)

    def _refuse_awaited(self, job: MJob) -> None:
        for name in job.terms.after:
            if name not in self.jobs:
                raise errors.UnknownDependency(name)
            if self.jobs[name].status is Status.ERROR and not job.terms.after_any:
                raise errors.DependencyFailed(name)

    def _enter(self, job: MJob) -> None:
        awaited = [self.jobs[name] for name in job.terms.after]
        over = (Status.DONE, Status.ERROR)
        job.left = {other.id for other in awaited if other.status not in over}
        job.beside = bool(job.left or job.terms.not_before == FAR)
        self.ids += 1
        self.jobs[job.request_id] = job

    def members(self, array: MArray) -> list[MJob]:
        """Return the jobs of an array that are there, by their numbers."""
        found = (self.jobs.get(job_name(array.name, index)) for index in range(array.count))
        return [job for at, job in enumerate(found) if job and job.id == array.first_id + at]

    def counts(self, array: MArray) -> Counter[Status]:
        """Count the jobs of an array by status."""
        return Counter(job.status for job in self.members(array))

    def forget_empty_arrays(self) -> None:
        """Remove the arrays of which no job is left."""
        self.arrays = {name: each for name, each in self.arrays.items() if self.members(each)}

    def is_array_full(self, job: MJob) -> bool:
        """Return whether as many jobs of a job's array hold as may at a time."""
        limit = job.shape.at_once
        holding = [other for other in self.jobs.values() if other.status in HOLDING]
        return limit is not None and limit.most <= sum(
            other.shape.at_once == limit for other in holding
        )
