"""Says with every read of a waiting job why it waits.

The planner that makes the grants is asked. Many clients may poll at once, so those that ask while
a plan is about to be made share it, and plans take only a part of a process's time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

from rq_broker.admission.remarks import RemarkReader, Remarks
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.turns import Turns
from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.planning import Snapshot
from rq_broker.planner import Reason, ReasonCode, Steps, beside_the_line, plan_steps

SAME_SHAPE = Reason(code=ReasonCode.SAME_SHAPE)
GRANTED_SOON = Reason(code=ReasonCode.GRANTED_SOON)
COMPUTING = Reason(code=ReasonCode.COMPUTING)
PAUSE_FACTOR = 4.0
"""After planning for t seconds a process makes no further plan for 4 × t seconds: so plans take at
most a fifth of its time however many clients ask. With less, reads slow submits down."""
MAX_PAUSE = 0.5
"""Seconds that pause lasts at most, so that reasons stay prompt where a plan takes long."""
PLAN_TIMEOUT = 1.5
"""Seconds a read waits for its plan. Then it is answered without: why a job waits is not worth more
time than the job. The plan goes on, and a later read has what it says."""
MAX_AGE = 60.0
"""Seconds for which what such a plan says is told where another takes too long again."""
LATE_BYTES = 4 << 20
"""Memory of what such plans say; a shape's reason takes some 1,000 bytes."""
_REASON_BYTES = 1000


@dataclass(frozen=True, slots=True)
class _Reasons:
    """What a plan says of the jobs that were asked about."""

    by_digest: Mapping[str, Reason]
    """Of the shapes that wait."""
    granted: frozenset[str]
    """request_ids of the jobs that fit."""
    remarks: Remarks
    """What to add to the reasons."""
    digests: Set[str]
    """The shapes that were asked about."""
    made: float
    """When, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class _PendingPlan:
    """A plan whose snapshot is not read yet: further readers may still join it."""

    digests: set[str]
    """The shapes the snapshot must show."""
    result: asyncio.Task[_Reasons]


class ReasonReader:
    """Tells why jobs wait, for one process."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._remarks = RemarkReader(snapshots.broker)
        self._pending: dict[str, _PendingPlan] = {}
        """Type → the plan its readers join."""
        self._late = BoundedCache[str, _Reasons](LATE_BYTES)
        """Type → what its last plan said, if that took longer than its readers wait."""
        self._turns = Turns()

    async def reason(self, type_: str, job: Job, *, discreet: bool = False) -> Reason | None:
        """Return why a job waits; None for jobs that do not.

        If `discreet`, it names no other job and no other owner.
        """
        (reason,) = await self.reasons(type_, [job], discreet=discreet)
        return reason

    async def reasons(
        self, type_: str, jobs: Collection[Job], *, discreet: bool = False
    ) -> list[Reason | None]:
        """Return why each of some jobs waits, by one plan; COMPUTING where that takes too long."""
        waiting = [job for job in jobs if job.status is Status.QUEUED]
        digests = {job.shape for job in waiting if not job.is_beside}
        reasons = await self._of_a_plan(type_, digests) if digests else None
        by_id = {
            job.id: beside_the_line(job)
            if job.is_beside
            else _in_the_line(reasons, job, discreet=discreet)
            for job in waiting
        }
        return [by_id.get(job.id) for job in jobs]

    async def _of_a_plan(self, type_: str, digests: Set[str]) -> _Reasons | None:
        """Join the plan that is about to be made, or begin one.

        Where it takes too long, returns what the last plan that did so said, if it is not too old.
        """
        pending = self._pending.get(type_)
        if pending is None:
            planned = set[str]()
            pending = _PendingPlan(planned, asyncio.create_task(self._plan(type_, planned)))
            self._pending[type_] = pending
        pending.digests.update(digests)
        try:
            async with asyncio.timeout(PLAN_TIMEOUT):
                return await asyncio.shield(pending.result)
        except TimeoutError:
            late = self._late.get(type_)
            return late if late and time.monotonic() - late.made <= MAX_AGE else None

    async def _plan(self, type_: str, digests: set[str]) -> _Reasons:
        # 1. Wait until the pause after the last plan of the type ends.
        async with self._turns.of(type_) as turn:
            # 2. Close this plan to further readers: they shall not get an older snapshot.
            del self._pending[type_]
            # 3. Read and plan.
            started = time.monotonic()
            window, remarks = await asyncio.gather(
                self._snapshots.read(type_, heads=1, include=digests),
                self._remarks.read(type_),
            )
            steps = _reason_steps(window.snapshot, frozenset(digests), remarks)
            reasons = await self._snapshots.planning.run(type_, steps)
            # 4. Keep what comes too late for some of its readers.
            seconds = time.monotonic() - started
            self._late.pop(type_)
            if seconds + MAX_PAUSE > PLAN_TIMEOUT:
                self._late.put(type_, reasons, _REASON_BYTES * (1 + len(digests)))
            # 5. Make no further plan for PAUSE_FACTOR times as long as this one took.
            turn.pause(min(PAUSE_FACTOR * seconds, MAX_PAUSE))
            return reasons


def _reason_steps(snapshot: Snapshot, digests: Set[str], remarks: Remarks) -> Steps[_Reasons]:
    """Plan, and find the reasons of some shapes."""
    planned = yield from plan_steps(snapshot)
    by_digest = {}
    for digest in digests & planned.reasons.keys():
        by_digest[digest] = planned.reasons[digest]
        yield
    granted = frozenset(grant.head.request_id for grant in planned.grants)
    return _Reasons(by_digest, granted, remarks, digests, time.monotonic())


def _in_the_line(reasons: _Reasons | None, job: Job, *, discreet: bool) -> Reason:
    if reasons is None or job.shape not in reasons.digests:
        return COMPUTING
    reason, remarks = reasons.by_digest.get(job.shape), reasons.remarks
    if reason is not None:
        remarked = remarks.on(reason)
        return remarked.without_names() if discreet else remarked
    if job.request_id not in reasons.granted:
        return remarks.on(SAME_SHAPE)
    return remarks.on_fitting() or remarks.on(GRANTED_SOON)
