"""The waiting jobs of a type as a forecast sees them: each one near the front, a sample behind."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rq_broker.domain.jobs import Shape

EXACT_JOBS = 400
"""Jobs at the front of the line of which each is simulated. With fewer, short lines are blurred;
with more, each of them costs time in every future."""
SPACING = 100
"""Behind them one job stands for rank / SPACING jobs like it: so a line of a million is simulated
as 1,200 jobs, and a place in it is known to one percent."""


@dataclass(frozen=True, slots=True)
class WaitingJob:
    """A waiting job, and how many at its place it stands for."""

    rank: int
    """How many jobs go before it."""
    id: int
    request_id: str
    priority: int
    digest: str
    """Of its shape."""
    passed: float | None = None
    """When a later job first started before it, seconds since 1970."""
    weight: int = 1
    """How many jobs it stands for: those from its rank on."""
    own_priority: bool = False
    """Whether its priority was given, so that no share of its owner moves it."""
    prefers_until: float = 0.0
    """Until when none of its alternatives will do, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Line:
    """The waiting jobs of a type, in order."""

    total: int
    """How many wait."""
    jobs: tuple[WaitingJob, ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    """Digest → shape, of those jobs at least."""

    @property
    def is_complete(self) -> bool:
        """Whether each job stands for itself only."""
        return self.total == len(self.jobs)

    def rank_of(self, priority: int, id_: int) -> int:
        """Return how many jobs go before one of this priority and ID, as far as the line shows."""
        index = bisect_left(self.jobs, (priority, id_), key=lambda job: (job.priority, job.id))
        return self.jobs[index].rank if index < len(self.jobs) else self.total

    def with_job(self, job: WaitingJob, shape: Shape) -> Line:
        """Return the line with one more job, at its rank."""
        index = bisect_left(self.jobs, job.rank, key=lambda other: other.rank)
        behind = (replace(other, rank=other.rank + 1) for other in self.jobs[index:])
        jobs = (*self.jobs[:index], job, *behind)
        return Line(self.total + 1, jobs, {**self.shapes, job.digest: shape})

    def without(self, job_id: int, rank: int) -> Line:
        """Return the line without a job; it need not show it, but for its rank."""
        shown = (index for index, job in enumerate(self.jobs) if job.id == job_id)
        index = next(shown, bisect_right(self.jobs, rank, key=lambda job: job.rank) - 1)
        if index < 0:
            return self
        job = self.jobs[index]
        kept = () if job.weight == 1 else (replace(job, weight=job.weight - 1),)
        behind = (replace(other, rank=other.rank - 1) for other in self.jobs[index + 1 :])
        return replace(self, total=self.total - 1, jobs=(*self.jobs[:index], *kept, *behind))
