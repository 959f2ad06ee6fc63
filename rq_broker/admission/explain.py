"""Explains a waiting job, and answers what would be if a job were submitted or moved.

The planner that makes the grants is asked, on a snapshot of this moment. Those who ask at once
share a snapshot, and a pass runs once for each shape they ask about. Beyond a bound they are asked
to come back later, each type for itself. ETAs come from the type's
forecast (forecaster.py). Nothing is written but the ETA, which is judged when the job is granted.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rq_broker.admission.forecaster import Forecaster
from rq_broker.admission.held_capacity import Held
from rq_broker.admission.holders import (
    MAX_HOLDERS,
    HeldAmount,
    UsedAmount,
    holders_of,
    others_of,
)
from rq_broker.admission.more_hosts import AddedHosts, MoreHosts, with_more_hosts
from rq_broker.admission.move_preview import MovePreview, MovePreviews
from rq_broker.admission.remarks import RemarkReader, Remarks
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.submit_warning import never_granted
from rq_broker.admission.turns import Turns
from rq_broker.admission.what_if import imagined_line, place_in_queue
from rq_broker.domain import errors
from rq_broker.domain.job_holds import JobHold
from rq_broker.domain.jobs import HOLDING, Job, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.planning import OwnedJob, Proposal, Snapshot
from rq_broker.domain.status_words import in_words
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.planner import (
    IMAGINED,
    Explanation,
    Forecast,
    HostTables,
    Reason,
    Steps,
    beside_the_line,
    explain_steps,
    forecast_steps,
    with_imagined_job,
)

MOST_SHAPES = 32
"""Shapes of a type that wait to be explained together. Each takes a pass of the planner or more;
with more, those who ask wait longer than their patience."""
MOST_WHAT_IFS = 8
"""What-ifs of a type that wait or are computed: no two of them share anything."""
MOST_TYPES = 256
"""Types that wait for explanations, and what-ifs of all types: bounds the memory of what waits."""
NOTE_DELAY = 1.0
"""Seconds by which a grant may be older than the note that it passed a job: the granter notes after
it grants. With less the first passer may not be named."""


@dataclass(frozen=True, slots=True)
class ExplainedJob:
    """Everything there is to say about a waiting job."""

    explanation: Explanation
    """Of the first job of its shape."""
    holders: list[HeldAmount]
    others: list[UsedAmount]
    forecast: Forecast
    position: int | None
    """None while it waits beside the line."""
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
    others: list[UsedAmount]
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
        self._turns = Turns()
        self._previews = MovePreviews(snapshots)
        self._what_ifs = Counter[str]()
        """Type → its what-ifs that wait or are computed."""

    async def explain_any(
        self, type_: str, request_id: str, owners: Collection[str] | None = None
    ) -> ExplainedJob | JobHold:
        """Explain a waiting job, or tell what has become of a granted or running job's grant.

        `owners` are as of Broker.read. Raises NotWaiting for jobs that have ended.
        """
        try:
            return await self.explain(type_, request_id, owners)
        except errors.NotWaiting:
            hold = await self._broker.job_hold(type_, request_id, owners)
            if hold.status not in HOLDING:
                raise
            return await self._with_unserved(type_, hold)

    async def _with_unserved(self, type_: str, hold: JobHold) -> JobHold:
        """Add to a callback that failed that nobody is there to try it again."""
        if hold.callback is None:
            return hold
        unserved = (await self._remarks.read(type_)).unserved
        return replace(hold, callback=replace(hold.callback, unserved=unserved))

    async def explain(
        self, type_: str, request_id: str, owners: Collection[str] | None = None
    ) -> ExplainedJob:
        """Explain a waiting job and forecast its grant. Raises NotWaiting for other jobs."""
        # 1. Read the job; have its shape explained, and its grant forecast.
        job = await self._queued(type_, request_id, owners)
        if job.is_beside:
            return await self._explain_beside(type_, job)
        answers, index, (forecast,) = await asyncio.gather(
            self._ask(type_, job.shape),
            self._broker.index_in_shape(type_, job),
            self._forecaster.forecasts(type_, [job]),
        )
        explanation = answers.explanations.get(job.shape)
        if explanation is None:
            raise errors.NotWaiting(f"{request_id_in(request_id)} left the queue meanwhile")
        assert forecast is not None  # the job was queued
        # 2. Keep the forecast, to judge it when the job is granted.
        kept, missed = await self._broker.forecast(type_, etas([job], [forecast]))
        # 3. Add the jobs that have passed this job to those that would pass it now.
        passers = await self._passers(type_, answers.snapshot, explanation, answers.held)
        explanation = replace(explanation, passed_by=(*passers, *explanation.passed_by))
        return ExplainedJob(
            _with_remarks(explanation, answers.remarks),
            holders_of(explanation, answers.held, answers.snapshot.now),
            others_of(explanation, answers.held, answers.snapshot.hosts),
            forecast,
            position=job.position or 0,
            index_in_shape=index,
            within_p90=kept,
            beyond_p90=missed,
        )

    async def _explain_beside(self, type_: str, job: Job) -> ExplainedJob:
        """Explain a job that waits beside the line: no pass reads it, so its terms say it all."""
        explanation = Explanation(job.request_id, (), beside_the_line(job))
        (forecast,) = await self._forecaster.forecasts(type_, [job])
        assert forecast is not None  # the job waits
        kept, missed = await self._broker.forecast(type_, [])
        return ExplainedJob(
            explanation,
            [],
            [],
            forecast,
            position=None,
            index_in_shape=0,
            within_p90=kept,
            beyond_p90=missed,
        )

    async def forecasts(self, type_: str, jobs: Collection[Job]) -> list[Forecast | None]:
        """Forecast the grants of jobs, and keep the forecasts; None for those that do not wait."""
        listed = list(jobs)
        forecasts = await self._forecaster.forecasts(type_, listed)
        await self._broker.forecast(type_, etas(listed, forecasts))
        return forecasts

    async def what_if(
        self,
        type_: str,
        proposal: Proposal,
        owners: Collection[str] | None = None,
        *,
        among_own: bool = False,
    ) -> ImaginedJob | MovePreview:
        """Answer for a job not submitted, or whose forecast a reorder changes.

        `owners` and `among_own` are as of Broker.reorder, for the job to move.
        Raises NotWaiting when the job to move does not wait, and TooManyKinds as a submit does.
        """
        with self._counted(type_):
            if proposal.shape is None:
                job = await self._movable(type_, proposal.request_id or "", owners)
                return await self._previews.preview(job, proposal, owners, among_own=among_own)
            return await self._imagine(type_, proposal)

    async def more_hosts(self, type_: str, added: Sequence[AddedHosts]) -> MoreHosts:
        """Answer what would be granted with more hosts. Raises HostNotFound, TooManyQuestions."""
        with self._counted(type_):
            return await with_more_hosts(self._snapshots, self._forecaster, type_, added)

    @contextmanager
    def _counted(self, type_: str) -> Iterator[None]:
        """Count a what-if; raises TooManyQuestions where too many wait."""
        if self._what_ifs[type_] >= MOST_WHAT_IFS or self._what_ifs.total() >= MOST_TYPES:
            raise errors.TooManyQuestions(
                f"{self._what_ifs[type_]} what-ifs of {type_} wait for answers; ask again later"
            )
        self._what_ifs[type_] += 1
        try:
            yield
        finally:
            self._what_ifs[type_] -= 1
            if not self._what_ifs[type_]:
                del self._what_ifs[type_]

    async def _imagine(self, type_: str, proposal: Proposal) -> ImaginedJob:
        """Explain and forecast a job that is not submitted."""
        assert proposal.shape is not None
        policy = await self._broker.policy(type_)
        errors.TooManyKinds.check(proposal.shape.demand.kinds, policy.most_kinds)
        # 1. Put the imagined job at its place, in a snapshot and in the line.
        (snapshot, held, remarks), line = await asyncio.gather(
            self._read(type_, ()), self._broker.line(type_)
        )
        capacity = replace(snapshot, waiting=(), passed={}, holds=held.holds)
        shifted, priority = await place_in_queue(self._broker, type_, proposal, snapshot)
        imagined = with_imagined_job(shifted, proposal.shape, priority)
        lengthened = imagined_line(line, proposal, snapshot.now)
        # 2. Explain it there, and forecast its grant.
        planning = self._snapshots.planning
        explanation = await planning.run(type_, explain_steps(imagined, IMAGINED), inline=False)
        simulation = forecast_steps(
            capacity, lengthened, held.demands, targets=[MAX_WHOLE], clock=time.thread_time
        )
        forecast = (await self._forecaster.run(type_, simulation)).of(MAX_WHOLE, 0, IMAGINED)
        return ImaginedJob(
            _with_remarks(explanation, remarks),
            holders_of(explanation, held, snapshot.now),
            others_of(explanation, held, snapshot.hosts),
            forecast,
            impossible=never_granted(snapshot, proposal.shape.owner, proposal.shape.demand),
        )

    async def _movable(self, type_: str, request_id: str, owners: Collection[str] | None) -> Job:
        try:
            job = await self._queued(type_, request_id, owners)
        except errors.JobNotFound as refusal:
            raise errors.NotWaiting(f"{request_id} does not wait: {refusal}") from None
        if job.is_beside:
            raise errors.NotWaiting(f"{request_id} waits beside the line, not in it")
        return job

    async def _queued(
        self, type_: str, request_id: str, owners: Collection[str] | None = None
    ) -> Job:
        job = await self._broker.read(type_, request_id, owners)
        if job.status is not Status.QUEUED:
            state = f"is {in_words(job.status)}, not queued"
            raise errors.NotWaiting(f"{request_id_in(request_id)} {state}")
        return job

    async def _ask(self, type_: str, digest: str) -> _Answers:
        """Have a shape explained, together with those that others ask about at the same time."""
        question = self._questions.get(type_)
        if question is None:
            if len(self._questions) >= MOST_TYPES:
                raise errors.TooManyQuestions(f"{MOST_TYPES} types wait for explanations already")
            digests = set[str]()
            question = _Question(digests, asyncio.create_task(self._answer(type_, digests)))
            self._questions[type_] = question
        if digest not in question.digests and len(question.digests) >= MOST_SHAPES:
            raise errors.TooManyQuestions(
                f"{MOST_SHAPES} shapes of {type_} wait to be explained; ask again later"
            )
        question.digests.add(digest)
        return await asyncio.shield(question.answers)

    async def _answer(self, type_: str, digests: set[str]) -> _Answers:
        # 1. Wait until the pause after the type's last answer ends; meanwhile others join.
        async with self._turns.of(type_) as turn:
            # 2. From here on nobody joins: they shall not get an older snapshot.
            del self._questions[type_]
            started = time.monotonic()
            # 3. Read and plan.
            snapshot, held, remarks = await self._read(type_, digests)
            waiting = digests.intersection(shape.digest for shape in snapshot.waiting)
            tables = self._snapshots.tables(type_, snapshot.hosts)
            steps = _explain_each(snapshot, waiting, tables, held)
            explanations = await self._snapshots.planning.run(type_, steps, inline=False)
            # 4. Pause for as long as that took.
            turn.pause(time.monotonic() - started)
        return _Answers(snapshot, held, remarks, explanations)

    async def _read(self, type_: str, digests: Collection[str]) -> tuple[Snapshot, Held, Remarks]:
        """Read a snapshot that shows these shapes, what jobs hold, and the remarks."""
        window, remarks = await asyncio.gather(
            self._snapshots.read(type_, heads=1, include=digests, with_held=True),
            self._remarks.read(type_),
        )
        assert window.held is not None
        return window.snapshot, window.held, remarks

    async def _passers(
        self, type_: str, snapshot: Snapshot, explanation: Explanation, held: Held
    ) -> list[OwnedJob]:
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
            OwnedJob(job.request_id, job.owner_id)
            for job in jobs
            if isinstance(job, Job) and (job.priority, job.id) > own_place
        ]


def _explain_each(
    snapshot: Snapshot, digests: Collection[str], tables: HostTables, held: Held
) -> Steps[dict[str, Explanation]]:
    """Explain shapes, and have `held` make what all answers look up, off the event loop."""
    explanations: dict[str, Explanation] = {}
    _ = held.rows_by_host, held.ends
    for digest in digests:
        explanations[digest] = yield from explain_steps(snapshot, digest, tables)
    return explanations


def etas(
    jobs: Collection[Job], forecasts: Collection[Forecast | None]
) -> list[tuple[Job, float, float]]:
    """Return the jobs whose forecast has a p90, with p50 and p90."""
    return [
        (job, forecast.p90 if forecast.p50 is None else forecast.p50, forecast.p90)
        for job, forecast in zip(jobs, forecasts, strict=True)
        if forecast is not None and forecast.p90 is not None
    ]


def _with_remarks(explanation: Explanation, remarks: Remarks) -> Explanation:
    reason = explanation.reason
    return replace(explanation, reason=remarks.on(reason) if reason else remarks.on_fitting())
