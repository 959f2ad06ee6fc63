"""Says with every read of a waiting job why it waits.

The planner that makes the grants is asked. Many clients may poll at once, so those that ask while
a plan is about to be made share it, and plans take only a part of a process's time.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from rq_broker.admission.remarks import RemarkReader, Remarks
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.planner import Plan, plan

BEHIND_OWN_SHAPE = "earlier jobs of the same shape go first"
ABOUT_TO_BE_GRANTED = "it fits, and is about to be granted"
PAUSE_FACTOR = 4.0
"""After planning for t seconds a process makes no further plan for 4 × t seconds: so plans take at
most a fifth of its time however many clients ask. With less, reads slow submits down."""
MAX_PAUSE = 0.5
"""Seconds that pause lasts at most, so that reasons stay prompt where a plan takes long."""
PLAN_TIMEOUT = 1.5
"""Seconds a read waits for its plan; then the client is asked to retry."""


@dataclass(frozen=True, slots=True)
class _PendingPlan:
    """A plan whose snapshot is not read yet: further readers may still join it."""

    digests: set[str]
    """The shapes the snapshot must show."""
    result: asyncio.Task[tuple[Plan, Remarks]]
    """The plan, and what to add to its reasons."""


class ReasonReader:
    """Tells why jobs wait, for one process."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots
        self._remarks = RemarkReader(snapshots.broker)
        self._pending: dict[str, _PendingPlan] = {}
        """Type → the plan its readers join."""
        self._one_at_a_time = asyncio.Lock()
        self._pause_ends = 0.0

    async def reason(self, type_: str, job: Job) -> str | None:
        """Return why a job waits, as a sentence; None for jobs that do not."""
        if job.status is not Status.QUEUED:
            return None
        pending = self._pending.get(type_)
        if pending is None:
            digests = set[str]()
            pending = _PendingPlan(digests, asyncio.create_task(self._plan(type_, digests)))
            self._pending[type_] = pending
        pending.digests.add(job.shape)
        try:
            async with asyncio.timeout(PLAN_TIMEOUT):
                planned, remarks = await asyncio.shield(pending.result)
        except TimeoutError:
            text = f"why the job waits could not be found within {PLAN_TIMEOUT} s; try again"
            raise errors.Unavailable(text) from None
        return _reason_text(planned, job, remarks)

    async def _plan(self, type_: str, digests: set[str]) -> tuple[Plan, Remarks]:
        async with self._one_at_a_time:
            # 1. Wait until the pause after the last plan ends.
            await asyncio.sleep(self._pause_ends - time.monotonic())
            # 2. Close this plan to further readers: they shall not get an older snapshot.
            del self._pending[type_]
            # 3. Read and plan.
            started = time.monotonic()
            window, remarks = await asyncio.gather(
                self._snapshots.read(type_, heads=1, include=digests),
                self._remarks.read(type_),
            )
            planned = plan(window.snapshot)
            # 4. Pause for as long as it took, several times.
            ended = time.monotonic()
            self._pause_ends = ended + min(PAUSE_FACTOR * (ended - started), MAX_PAUSE)
            return planned, remarks


def _reason_text(planned: Plan, job: Job, remarks: Remarks) -> str:
    reason = planned.reasons.get(job.shape)
    if reason is not None:
        return remarks.on(reason).text
    if all(grant.head.request_id != job.request_id for grant in planned.grants):
        return (
            f"{BEHIND_OWN_SHAPE}; and {remarks.unserved}" if remarks.unserved else BEHIND_OWN_SHAPE
        )
    fitting = remarks.on_fitting()
    return fitting.text if fitting else ABOUT_TO_BE_GRANTED + remarks.staleness
