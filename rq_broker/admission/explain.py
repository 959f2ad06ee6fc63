"""Explains a waiting job, and answers what would be if a job were submitted or moved.

The planner that makes the grants is asked, on a snapshot of this moment. Those who ask at once
share a snapshot, and a pass runs once for each shape they ask about. ETAs come from the type's
forecast (forecaster.py). Nothing is written but the ETA, which is judged when the job is granted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from rq_broker.admission.forecaster import Forecaster
from rq_broker.admission.held_capacity import Held
from rq_broker.admission.remarks import RemarkReader, Remarks
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.submit_warning import never_granted
from rq_broker.admission.what_if import imagined_line, moved_lines, place_in_queue
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.planning import Proposal, Snapshot
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner import (
    IMAGINED,
    Explanation,
    Forecast,
    ForecastChange,
    Reason,
    explain,
    forecast_changes,
    forecast_line,
    with_imagined_job,
)

MAX_HOLDERS = 50
"""Holders and passers that one explanation names: bounds its size, and the reads it costs."""
NOTE_DELAY = 1.0
"""Seconds by which a grant may be older than the note that it passed a job: the granter notes after
it grants. With less the first passer may not be named."""


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


@dataclass(frozen=True, slots=True)
class _Answers:
    """What those who asked at once are told."""

    snapshot: Snapshot
    held: Held
    remarks: Remarks
    explanations: Mapping[str, Explanation]
    """By the digest of the shape, of those that wait."""


@dataclass(frozen=True, slots=True)
class _Question:
    """Shapes to explain from a snapshot that is not read yet: others may still join."""

    digests: set[str]
    answers: asyncio.Task[_Answers]


class Explainer:
    """Answers for one process."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._broker = snapshots.broker
        self._remarks = RemarkReader(snapshots.broker)
        self._forecaster = Forecaster(snapshots)
        self._questions: dict[str, _Question] = {}
        """Type → the question that its clients may join."""
        self._one_at_a_time = asyncio.Lock()
        self._pause_ends = 0.0
        """Explanations take at most half of a process's time, however many clients ask."""

    async def explain(self, type_: str, request_id: str) -> ExplainedJob:
        """Explain a waiting job and forecast its grant. Raises NotWaiting for other jobs."""
        # 1. Read the job; have its shape explained, and its grant forecast.
        job = await self._queued(type_, request_id)
        answers, index, (forecast,) = await asyncio.gather(
            self._ask(type_, job.shape),
            self._broker.index_in_shape(type_, job),
            self._forecaster.forecasts(type_, [job]),
        )
        explanation = answers.explanations.get(job.shape)
        if explanation is None:
            raise errors.NotWaiting(f"{request_id} left the queue while it was explained")
        assert forecast is not None  # the job was queued
        # 2. Keep the forecast, to judge it when the job is granted.
        kept, missed = await self._broker.forecast(type_, p90s([job], [forecast]))
        # 3. Add the jobs that have passed this job to those that would pass it now.
        passers = await self._passers(type_, answers.snapshot, explanation, answers.held)
        explanation = replace(explanation, passed_by=(*passers, *explanation.passed_by))
        return ExplainedJob(
            _with_remarks(explanation, answers.remarks),
            _holders(explanation, answers.held, answers.snapshot.now),
            forecast,
            position=job.position or 0,
            index_in_shape=index,
            within_p90=kept,
            beyond_p90=missed,
        )

    async def forecasts(self, type_: str, jobs: Collection[Job]) -> list[Forecast | None]:
        """Forecast the grants of jobs, and keep the forecasts; None for those that do not wait."""
        listed = list(jobs)
        forecasts = await self._forecaster.forecasts(type_, listed)
        await self._broker.forecast(type_, p90s(listed, forecasts))
        return forecasts

    async def what_if(
        self, type_: str, proposal: Proposal
    ) -> ImaginedJob | tuple[ForecastChange, ...]:
        """Answer for a job not submitted, or whose forecast a reorder changes.

        Raises NotWaiting when the job to move does not wait, and TooManyKinds as a submit does.
        """
        if proposal.shape is None:
            return await self._changes(type_, proposal)
        policy = await self._broker.policy(type_)
        errors.TooManyKinds.check(proposal.shape.demand.kinds, policy.most_kinds)
        # 1. Put the imagined job at its place, in a snapshot and in the line.
        (snapshot, held, remarks), (capacity, _), line = await asyncio.gather(
            self._read(type_, ()), self._snapshots.read_capacity(type_), self._broker.line(type_)
        )
        shifted, priority = await place_in_queue(self._broker, type_, proposal, snapshot)
        imagined = with_imagined_job(shifted, proposal.shape, priority)
        lengthened = imagined_line(line, proposal)
        # 2. Explain it there, and forecast its grant.
        explanation = await asyncio.to_thread(explain, imagined, IMAGINED)
        forecast = await self._forecaster.run(
            lambda: forecast_line(
                capacity, lengthened, held.demands, targets=[MAX_WHOLE], clock=time.thread_time
            ).of(MAX_WHOLE, 0, IMAGINED)
        )
        return ImaginedJob(
            _with_remarks(explanation, remarks),
            _holders(explanation, held, snapshot.now),
            forecast,
            impossible=never_granted(snapshot, proposal.shape.owner, proposal.shape.demand),
        )

    async def _changes(self, type_: str, proposal: Proposal) -> tuple[ForecastChange, ...]:
        """Forecast what changes if a job moves."""
        (capacity, held), line, job = await asyncio.gather(
            self._snapshots.read_capacity(type_),
            self._broker.line(type_),
            self._movable(type_, proposal.request_id or ""),
        )
        shape = await self._broker.shape(type_, job.shape)
        if shape is None:
            raise errors.NotWaiting(f"{job.request_id} left the queue meanwhile")
        before, after, moved = moved_lines(line, proposal, job, shape)
        return await self._forecaster.run(
            lambda: forecast_changes(
                capacity, before, after, moved, held.demands, clock=time.thread_time
            )
        )

    async def _movable(self, type_: str, request_id: str) -> Job:
        try:
            return await self._queued(type_, request_id)
        except errors.JobNotFound:
            raise errors.NotWaiting(f"{request_id} does not wait: there is no such job") from None

    async def _queued(self, type_: str, request_id: str) -> Job:
        job = await self._broker.read(type_, request_id)
        if job.status is not Status.QUEUED:
            raise errors.NotWaiting(f"{request_id} is {job.status}, not queued")
        return job

    async def _ask(self, type_: str, digest: str) -> _Answers:
        """Have a shape explained, together with those that others ask about at the same time."""
        question = self._questions.get(type_)
        if question is None:
            digests = set[str]()
            question = _Question(digests, asyncio.create_task(self._answer(type_, digests)))
            self._questions[type_] = question
        question.digests.add(digest)
        return await asyncio.shield(question.answers)

    async def _answer(self, type_: str, digests: set[str]) -> _Answers:
        async with self._one_at_a_time:
            # 1. Wait until the pause after the last answer ends; meanwhile others join.
            await asyncio.sleep(self._pause_ends - time.monotonic())
            # 2. From here on nobody joins: they shall not get an older snapshot.
            del self._questions[type_]
            started = time.monotonic()
            # 3. Read and plan.
            snapshot, held, remarks = await self._read(type_, digests)
            waiting = digests.intersection(shape.digest for shape in snapshot.waiting)
            explanations = await asyncio.to_thread(
                lambda: {digest: explain(snapshot, digest) for digest in waiting}
            )
            # 4. Pause for as long as that took.
            self._pause_ends = 2 * time.monotonic() - started
        return _Answers(snapshot, held, remarks, explanations)

    async def _read(self, type_: str, digests: Collection[str]) -> tuple[Snapshot, Held, Remarks]:
        """Read a snapshot that shows these shapes, what jobs hold, and the remarks."""
        window, held, remarks = await asyncio.gather(
            self._snapshots.read(type_, heads=1, include=digests),
            self._snapshots.held(type_),
            self._remarks.read(type_),
        )
        return window.snapshot, held, remarks

    async def _passers(
        self, type_: str, snapshot: Snapshot, explanation: Explanation, held: Held
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
        earliest = explanation.passed_since - NOTE_DELAY
        recent = [
            row
            for row in held.rows
            if row.granted >= earliest and explanation.usable_hosts & row.amounts.keys()
        ]
        newest = sorted(recent, key=lambda row: -row.granted)[:MAX_HOLDERS]
        jobs = await asyncio.gather(
            *(self._broker.read(type_, row.request_id) for row in newest),
            return_exceptions=True,  # a job may be gone by now
        )
        return [
            job.request_id
            for job in jobs
            if isinstance(job, Job) and (job.priority, job.id) > own_place
        ]


def p90s(jobs: Collection[Job], forecasts: Collection[Forecast | None]) -> list[tuple[Job, float]]:
    """Return the jobs whose forecast has a p90, with it."""
    return [
        (job, forecast.p90)
        for job, forecast in zip(jobs, forecasts, strict=True)
        if forecast is not None and forecast.p90 is not None
    ]


def _with_remarks(explanation: Explanation, remarks: Remarks) -> Explanation:
    reason = explanation.reason
    return replace(explanation, reason=remarks.on(reason) if reason else remarks.on_fitting())


def _holders(explanation: Explanation, held: Held, now: float) -> list[HeldAmount]:
    """List what other jobs hold of the resources the job lacks."""
    missing = {(lack.host, lack.resource) for lack in explanation.shortfalls}
    hosts = {host for host, _ in missing}
    amounts = (
        HeldAmount(row.request_id, row.owner, max(now - row.granted, 0.0), host, resource, amount)
        for row in held.rows
        for host in row.amounts.keys() & hosts
        for resource, amount in row.amounts[host].items()
        if (host, resource) in missing
    )
    return list(islice(amounts, MAX_HOLDERS))
