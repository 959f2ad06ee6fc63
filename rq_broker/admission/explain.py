"""Explains a waiting job, and answers what would be if a job were submitted or moved.

The planner that makes the grants is asked, on a snapshot of this moment. Nothing is written but the
forecast, which is judged when the job is granted. An answer may take seconds: the planner runs in a
thread, for one answer at a time, so that other requests go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from random import Random

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.waiting_reason import read_staleness, with_staleness
from rq_broker.admission.what_if import MOVABLE_HEADS, place_in_queue, reordered
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.planning import Proposal, Snapshot
from rq_broker.planner import (
    IMAGINED,
    Explanation,
    Forecast,
    ForecastChange,
    Hold,
    Reason,
    could_ever_fit,
    explain,
    forecast_changes,
    forecast_one,
    with_imagined_job,
)
from rq_broker.store.broker import Holdings

MAX_HOLDERS = 50
"""Holders and passers that one explanation names: bounds its size, and the reads it costs."""
NOTE_DELAY = 1.0
"""Seconds by which a grant may be older than the note that it passed a job: the granter notes after
it grants. With less the first passer may not be named."""
HEADS = 100
"""Jobs of each shape an answer's snapshot shows: more than for a pass, so that the forecast of a
job behind many of its shape rests on their real priorities."""


@dataclass(frozen=True, slots=True)
class HeldAmount:
    """What another job holds of something the explained job lacks."""

    request_id: str
    owner_id: str
    seconds: float
    """Since its grant."""
    host: str
    resource: str
    amount: int


@dataclass(frozen=True, slots=True)
class ExplainedJob:
    """Everything there is to say about a waiting job."""

    explanation: Explanation
    """Of the first job of its shape."""
    holders: list[HeldAmount]
    forecast: Forecast
    position: int
    index_in_shape: int
    """How many jobs of its shape go before it."""
    within_p90: int
    """Jobs of the type that were granted within their forecast's p90."""
    beyond_p90: int


@dataclass(frozen=True, slots=True)
class ImaginedJob:
    """The same of a job that was not submitted."""

    explanation: Explanation
    holders: list[HeldAmount]
    forecast: Forecast
    impossible: Reason | None
    """Why no host could ever hold it."""


class Explainer:
    """Answers for one process, one at a time."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._broker = snapshots.broker
        self._one_at_a_time = asyncio.Lock()

    async def explain(self, type_: str, request_id: str) -> ExplainedJob:
        """Explain a waiting job and forecast its grant. Raises NotWaiting for other jobs."""
        async with self._one_at_a_time:
            # 1. Read the job, what others hold, and a snapshot that shows its shape.
            started = time.monotonic()
            job = await self._queued(type_, request_id)
            (snapshot, holdings, staleness), index = await asyncio.gather(
                self._read(type_, [job.shape]), self._broker.index_in_shape(type_, job)
            )
            if all(waiting.digest != job.shape for waiting in snapshot.waiting):
                raise errors.NotWaiting(f"{request_id} left the queue while it was explained")
            # 2. Ask the planner.
            target, rng = (job.shape, index), Random(job.id)
            explanation, forecast = await asyncio.to_thread(
                explain_and_forecast, snapshot, holdings, target, rng
            )
            elapsed = time.monotonic() - started
        # 3. Keep the forecast, as seconds from now, to judge it when the job is granted.
        remaining = None if forecast.p90 is None else max(forecast.p90 - elapsed, 0.0)
        kept, missed = await self._broker.forecast(type_, job, remaining)
        # 4. Add the jobs that have passed this job to those that would pass it now.
        passers = await self._passers(type_, snapshot, explanation, holdings)
        explanation = replace(explanation, passed_by=(*passers, *explanation.passed_by))
        return ExplainedJob(
            _with_staleness(explanation, staleness),
            _holders(explanation, holdings),
            forecast,
            position=job.position or 0,
            index_in_shape=index,
            within_p90=kept,
            beyond_p90=missed,
        )

    async def what_if(
        self, type_: str, proposal: Proposal
    ) -> ImaginedJob | tuple[ForecastChange, ...]:
        """Answer for a job not submitted, or whose forecast a reorder changes.

        Raises NotWaiting when the job to move does not wait.
        """
        async with self._one_at_a_time:
            # 1. Read a snapshot; of the job to move, its shape with many jobs.
            name, shape = proposal.request_id, proposal.shape
            digest = await self._broker.shape_of(type_, name) if name else None
            digests = [] if digest is None else [digest]
            snapshot, holdings, staleness = await self._read(type_, digests, MOVABLE_HEADS)
            # 2. Make room at the proposed place.
            hosts = snapshot.hosts
            snapshot, priority = await place_in_queue(self._broker, type_, proposal, snapshot)
            # 3. Compare the forecasts before and after the move.
            if shape is None:
                return await asyncio.to_thread(_changes, snapshot, holdings, name or "", priority)
            # 4. Or explain the imagined job there.
            imagined = with_imagined_job(snapshot, shape, priority)
            explanation, forecast = await asyncio.to_thread(
                explain_and_forecast, imagined, holdings, (IMAGINED, 0), Random(0)
            )
        return ImaginedJob(
            _with_staleness(explanation, staleness),
            _holders(explanation, holdings),
            forecast,
            impossible=could_ever_fit(hosts, shape.demand),
        )

    async def _queued(self, type_: str, request_id: str) -> Job:
        job = await self._broker.read(type_, request_id)
        if job.status is not Status.QUEUED:
            raise errors.NotWaiting(f"{request_id} is {job.status}, not queued")
        return job

    async def _read(
        self, type_: str, digests: Collection[str], include_heads: int = 0
    ) -> tuple[Snapshot, Holdings, str]:
        """Read a snapshot that shows these shapes, what jobs hold, and which sources are stale."""
        window, holdings, staleness = await asyncio.gather(
            self._snapshots.read(type_, heads=HEADS, include=digests, include_heads=include_heads),
            self._broker.holdings(type_),
            read_staleness(self._broker, type_),
        )
        return window.snapshot, holdings, staleness

    async def _passers(
        self, type_: str, snapshot: Snapshot, explanation: Explanation, holdings: Holdings
    ) -> list[str]:
        """List the later jobs that hold hosts the job could use and were granted since it waits."""
        if explanation.passed_since is None:
            return []
        own_place = next(
            (head.priority, head.id)
            for waiting in snapshot.waiting
            for head in waiting.heads
            if head.request_id == explanation.request_id
        )
        max_age = snapshot.now - explanation.passed_since + NOTE_DELAY
        recent = [
            holder
            for holder in holdings.holders
            if holder.age <= max_age and explanation.usable_hosts & holder.holds.keys()
        ]
        newest = sorted(recent, key=lambda holder: holder.age)[:MAX_HOLDERS]
        jobs = await asyncio.gather(
            *(self._broker.read(type_, holder.request_id) for holder in newest),
            return_exceptions=True,  # a job may be gone by now
        )
        return [
            job.request_id
            for job in jobs
            if isinstance(job, Job) and (job.priority, job.id) > own_place
        ]


def explain_and_forecast(
    snapshot: Snapshot, holdings: Holdings, target: tuple[str, int], rng: Random
) -> tuple[Explanation, Forecast]:
    """Explain a shape and forecast one job of it: `target` is its digest and the job's index."""
    forecast = forecast_one(
        snapshot, _holds(holdings), holdings.history, target, rng, clock=time.thread_time
    )
    return explain(snapshot, target[0]), forecast


def _changes(
    before: Snapshot, holdings: Holdings, request_id: str, priority: int
) -> tuple[ForecastChange, ...]:
    """Forecast what changes if a job gets another priority."""
    after = reordered(before, request_id, priority)
    holds, history = _holds(holdings), holdings.history
    return forecast_changes(before, after, holds, history, Random(0), clock=time.thread_time)


def _holds(holdings: Holdings) -> Sequence[Hold]:
    return [Hold(holder.holds, holder.age, holder.owner_id) for holder in holdings.holders]


def _with_staleness(explanation: Explanation, staleness: str) -> Explanation:
    if explanation.reason is None:
        return explanation
    return replace(explanation, reason=with_staleness(explanation.reason, staleness))


def _holders(explanation: Explanation, holdings: Holdings) -> list[HeldAmount]:
    """List what other jobs hold of the resources the job lacks."""
    missing = {(lack.host, lack.resource) for lack in explanation.shortfalls}
    held = [
        HeldAmount(holder.request_id, holder.owner_id, holder.age, host, resource, amount)
        for holder in holdings.holders
        for host, amounts in holder.holds.items()
        for resource, amount in amounts.items()
        if (host, resource) in missing
    ]
    return held[:MAX_HOLDERS]
