"""What forecasts read and keep: the line of a type, and the ETAs reported for its jobs."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any

from rq_broker.domain.jobs import Job, Shape
from rq_broker.domain.line import EXACT_JOBS, SPACING, Line, WaitingJob
from rq_broker.store.keys import Keys, job_of, member
from rq_broker.store.preferences import prefers_until
from rq_broker.store.runner import Runner
from rq_broker.store.shapes import Shapes


class Forecasts:
    """Line, shape, forecast."""

    def __init__(self, runner: Runner, shapes: Shapes) -> None:
        self._runner = runner
        self._shapes = shapes

    async def line(self, type_: str) -> Line:
        """Read the line of a type: each job near the front, and a sample of those behind."""
        reply = await self._runner.run("line", type_, exact=EXACT_JOBS, spacing=SPACING)
        sizes = {digest: int(size) for digest, size in reply.shapes.items()}
        shapes = await self._shapes.read(type_, sizes)
        rows = [row for row in reply.jobs if row.shape in shapes]
        ranks = [*(row.rank for row in rows), reply.total]
        preferring = [row.member for row in rows if shapes[row.shape].demand.prefer_for]
        until = await prefers_until(self._runner, type_, preferring)
        jobs = (
            _waiting_job(row, following - rank, until.get(row.member, 0.0))
            for row, (rank, following) in zip(rows, pairwise(ranks), strict=True)
        )
        return Line(reply.total, tuple(jobs), shapes)

    async def shape(self, type_: str, digest: str) -> Shape | None:
        """Read the shape of waiting jobs, None if no job of it waits."""
        text = await self._runner.command("HGET", Keys(type_).of("shapes"), digest)
        return None if text is None else Shape.parse(text)

    async def forecast(
        self, type_: str, etas: Collection[tuple[Job, float, float]]
    ) -> tuple[int, int]:
        """Keep the ETAs reported for jobs: p50 and p90, in seconds from now.

        Returns: how many jobs of all were granted within their p90, and how many later.
        """
        waits = [
            {
                "member": member(job.id, job.request_id),
                "wait": round(p90 * 1000),
                "half": round(p50 * 1000),
            }
            for job, p50, p90 in etas
        ]
        reply = await self._runner.run("forecast", type_, waits=waits)
        return reply.kept, reply.missed


def _waiting_job(row: Any, weight: int, until: float) -> WaitingJob:
    id_, request_id = job_of(row.member)
    passed = int(row.passed) / 1000 if row.passed else None
    return WaitingJob(
        row.rank, id_, request_id, row.priority, row.shape, passed, weight, row.is_own, until
    )
