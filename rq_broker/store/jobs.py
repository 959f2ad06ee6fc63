"""What clients do with jobs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Shape, Status, Submission, expected_class, origins
from rq_broker.domain.policy import Policy
from rq_broker.store import records
from rq_broker.store.continuity import Continuity
from rq_broker.store.keys import Keys, digest, fold, unfold
from rq_broker.store.notifiers import refuse_older
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner

_CACHED_DATA = 1024
"""Characters of a job's data up to which the text of its shape is cached; that text is about as
long as the data. Jobs repeat a few shapes, and 4,096 cached shapes take at most some 10 MB. Without
the limit, a client that sends bodies of 1 MiB would fill gigabytes."""

_DEFAULT_POLICY = Policy()


@lru_cache(4096)
def _describe_shape(shape: Shape) -> tuple[str, str, int]:
    text = shape.canonical()
    return text, digest(text), shape.demand.kinds


def _describe(submission: Submission) -> tuple[str, str, int]:
    """Return what the shape of a job stands for, as JSON, its digest, and the demand's kinds."""
    is_small = len(submission.data) <= _CACHED_DATA
    return (_describe_shape if is_small else _describe_shape.__wrapped__)(submission.shape)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else records.milliseconds(seconds)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The job after which the next page of a listing begins."""

    priority: str
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs in priority order, perhaps none. It is the last page only if `next` is None."""

    jobs: tuple[Job, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """A job whose submit may be repeated."""

    job: Job
    submit_key: str | None
    """Digest of the owner and the idempotency key that it was submitted with."""


def _key_digest(scope: str, idempotency_key: str) -> str | None:
    """Return the digest of an idempotency key within its scope; None for no key."""
    return digest(f"{scope}\0{idempotency_key}") if idempotency_key else None


def _job(type_: str, request_id: str, reply: Any) -> Job:
    """Return the job of a reply of `read`."""
    return records.job(type_, request_id, reply.priority, reply.position, reply.fields)


def _is_same(submission: Submission, job: Job, reply: Any) -> bool:
    """Tell whether the job was submitted just so; what was changed since does not count.

    Args:
        submission: The submit; its request_id does not count.
        job: The job of the reply.
        reply: The reply of `read`, with what was submitted.
    """
    expected = reply.fields.get("submitted_expected", reply.fields.get("expected", ""))
    priority = None if reply.submitted is None else int(reply.submitted)
    if submission.terms != job.terms:
        return False
    return (
        (submission.owner_id, submission.data, submission.callback)
        == (job.owner_id, job.data, job.callback)
        and submission.priority == priority
        and str(_milliseconds(submission.expected) or "") == expected
    )


class Jobs:
    """Submit, read, page, reorder, transition, set_expected, withdraw."""

    def __init__(self, runner: Runner, registry: Registry, continuity: Continuity) -> None:
        self._runner = runner
        self._registry = registry
        self._continuity = continuity

    async def submit(self, type_: str, submission: Submission, idempotency_key: str = "") -> Job:
        """Put a job in the queue.

        Args:
            type_: The type.
            submission: The job.
            idempotency_key: Names this call among those of the owner. A call that is repeated with
                the key, because its reply was lost, returns the job that the first one stored, as
                it is now and `replayed`, for as long as the type has the job. Empty: no key.

        Raises:
            DuplicateRequestId: Its request_id is taken in the type. If the job that has it was
                submitted just so, `details` has `same` and the job as `data`.
            DuplicateCallback: Its callback is taken in the type; `details` likewise.
            IdempotencyKeyReused: The key came with another submit of the owner.
            ExpectedTooLong: It says it will hold for longer than the policy's `expected_most`.
            UnknownDependency: It waits for a job that the type does not have.
            DependencyFailed: It waits for a job that is in error, and not for any end of it.
            OlderNotifiers: It has terms, and a notifier that does not know them serves the type.
            TooManyKinds: It lists more amounts than the policy's `most_kinds`.
        """
        submit_key = _key_digest(submission.owner_id, idempotency_key)
        try:
            return await self._store(type_, submission, submit_key)
        except errors.DuplicateRequestId as refusal:
            return await self._repeated(type_, submission, submit_key, refusal)
        except errors.DuplicateCallback as refusal:
            callback = digest(submission.callback)
            index = Keys(type_).of("callbacks", callback[:2])
            taker = await self._runner.command("HGET", index, callback[2:])
            if taker is not None:
                await self._note_same(type_, taker, submission, refusal)
            raise

    async def _repeated(
        self,
        type_: str,
        submission: Submission,
        submit_key: str | None,
        refusal: errors.DuplicateRequestId,
    ) -> Job:
        """Return the job where the submit is repeated with its key; raises the refusal if not."""
        kept = await self._note_same(type_, submission.request_id, submission, refusal)
        if kept is None or submit_key is None or kept.submit_key != submit_key:
            raise refusal
        if not refusal.details:
            raise errors.IdempotencyKeyReused(
                f"the Idempotency-Key was used for job {submission.request_id} with another body"
            )
        return replace(kept.job, replayed=True)

    async def _note_same(
        self, type_: str, request_id: str, submission: Submission, refusal: errors.BrokerError
    ) -> _Kept | None:
        """Give the refusal its details if the job was submitted just so; returns the job.

        Returns None if the job is gone or damaged.
        """
        try:
            reply = await self._runner.run(
                "read", type_, request_id=request_id, with_submitted=True
            )
        except errors.JobNotFound:
            return None
        for job in records.readable(lambda row: _job(type_, request_id, row), [reply]):
            if _is_same(submission, job, reply):
                refusal.details = {"same": True, "data": job}
            return _Kept(job, reply.fields.get("submit_key"))
        return None

    async def _store(self, type_: str, submission: Submission, submit_key: str | None) -> Job:
        if submission.terms:
            await refuse_older(self._runner, type_, "the terms of this job")
        await self._registry.register(type_)
        known = self._continuity.known(type_)
        demand, shape, kinds = _describe(submission)
        expected = _milliseconds(submission.expected)
        terms = submission.terms
        reply = await self._runner.run(
            "submit",
            type_,
            request_id=submission.request_id,
            owner_id=submission.owner_id,
            callback=digest(submission.callback),
            submit_key=submit_key,
            priority=submission.priority,
            expected=expected,
            shape=shape,
            demand=demand,
            kinds=kinds,
            default_most_kinds=_DEFAULT_POLICY.most_kinds,
            fields=fold("callback", submission.callback) + fold("data", submission.data),
            terms=records.terms_pairs(terms) if terms else (),
            after=terms.after if terms else (),
        )
        await self._continuity.compare(type_, known, reply.incarnation, reply.id)
        return Job(
            id=reply.id,
            type=type_,
            request_id=submission.request_id,
            owner_id=submission.owner_id,
            data=submission.data,
            callback=submission.callback,
            priority=reply.priority,
            status=Status.QUEUED,
            created=reply.created,
            updated=reply.created,
            shape=shape,
            position=reply.position,
            expected=expected and expected / 1000,
            capacity_number=reply.capacity_number,
            terms=terms,
            is_beside=reply.position is None,
            left=reply.left,
        )

    async def read(self, type_: str, request_id: str) -> Job:
        """Read one job."""
        reply = await self._runner.run("read", type_, request_id=request_id, with_submitted=False)
        return _job(type_, request_id, reply)

    async def page(
        self,
        type_: str,
        *,
        owner_id: str = "",
        status: str = "",
        after: Cursor | None = None,
        limit: int = 500,
    ) -> Page:
        """List jobs in priority order.

        Args:
            type_: The type.
            owner_id: List jobs of this owner only.
            status: List jobs of this status only.
            after: Where an earlier page ended.
            limit: How many jobs to read, at most 500; with both filters fewer may be listed.
        """
        reply = await self._runner.run(
            "page",
            type_,
            owner_id=owner_id or None,
            status=status or None,
            after_priority=after.priority if after else None,
            after_id=after.id if after else None,
            limit=limit,
        )

        def job(row: Any) -> Job:
            return records.job(type_, row.request_id, row.priority, row.position, row.fields)

        jobs = tuple(records.readable(job, reply.jobs))
        is_last = reply.next_id is None
        return Page(jobs, None if is_last else Cursor(reply.next_priority, reply.next_id))

    async def reorder(self, type_: str, request_id: str, mode: str, value: str) -> int:
        """Give a job another place; returns its priority.

        Args:
            type_: The type.
            request_id: The job.
            mode: `priority`, `before`, `after` or `position`.
            value: The priority, the neighbour's request_id, or `front` or `back`.
        """
        reply = await self._runner.run(
            "reorder", type_, request_id=request_id, mode=mode, value=value
        )
        priority: int = reply.priority
        return priority

    async def transition(
        self,
        type_: str,
        request_id: str,
        to: Status,
        *,
        fence: int | None = None,
        error: str = "",
        servers: Sequence[str] = (),
    ) -> Status:
        """Move a job to another status; returns the status it had.

        Args:
            type_: The type.
            request_id: The job.
            to: The status.
            fence: The grant that the caller means; StaleFence if it is not the newest.
            error: A text to keep on the job.
            servers: With `running`: the names, without spaces, of the job's servers at the source.

        Raises:
            JobNotFound: The type has no such job.
            StaleFence: The fence is not that of the newest grant.
            ImpossibleMove: No move leads from the job's status to this one.
            InvalidServer: A server is not named as the type's sources name servers.
            DuplicateServer: Another running job has named a server, or `servers` has it twice.
        """
        reply = await self._runner.run(
            "transition",
            type_,
            request_id=request_id,
            target=to,
            fence=fence,
            error_text=error or None,
            servers=" ".join(servers) or None,
            origins=origins(to),
        )
        return Status(reply.status)

    async def set_expected(self, type_: str, request_id: str, expected: float | None) -> None:
        """Change how long a queued, granted or running job says it will hold.

        Args:
            type_: The type.
            request_id: The job.
            expected: Seconds from its grant on; None if it does not say any more.

        Raises:
            JobNotFound: The type has no such job.
            ExpectedTooLong: It is longer than the policy's `expected_most`.
            Conflict: The job is done or in error.
        """
        known_shape, demand = None, None
        while True:
            reply = await self._runner.run(
                "set_expected",
                type_,
                request_id=request_id,
                expected=_milliseconds(expected),
                known_shape=known_shape,
                shape=demand and digest(demand),
                demand=demand,
            )
            if reply.current_shape is None:
                return
            # The job has another shape than the caller knew: nothing was written.
            known_shape = reply.current_shape
            shape = Shape.parse(reply.current_demand)
            demand = replace(shape, expected=expected_class(expected)).canonical()

    async def withdraw(self, type_: str, request_id: str, idempotency_key: str = "") -> bool:
        """Take a job out altogether.

        Args:
            type_: The type.
            request_id: The job.
            idempotency_key: Names this call among those that withdraw a job of this name. Empty:
                no key.

        Returns:
            Whether this call was carried out before: it is repeated with its key within a day, and
            withdrew nothing now.

        Raises:
            AlreadyWithdrawn: The job was withdrawn within the last day.
            JobNotFound: The type has no such job.
        """
        withdraw_key = _key_digest(request_id, idempotency_key)
        reply = await self._remove(type_, request_id, withdraw_key, only_if_ended=False)
        replayed: bool = reply.replayed
        return replayed

    async def remove_ended(self, type_: str, request_id: str) -> bool:
        """Take a job out if its retention has ended; returns whether it is gone."""
        reply = await self._remove(type_, request_id, None, only_if_ended=True)
        withdrawn: bool = reply.withdrawn
        return withdrawn

    async def _remove(
        self, type_: str, request_id: str, withdraw_key: str | None, *, only_if_ended: bool
    ) -> Any:
        """Run `withdraw`.

        Of the job only its ID and its callback are read, so a damaged one can be removed too, even
        one that is no hash.
        """
        fields: dict[str, str] = {}
        with suppress(errors.Internal):
            flat = await self._runner.command("HGETALL", Keys(type_).of("job", request_id))
            fields = records.pairs(flat)
        return await self._runner.run(
            "withdraw",
            type_,
            request_id=request_id,
            id=id_ if (id_ := fields.get("id", "")).isdecimal() else None,
            callback=digest(unfold(fields, "callback")),
            withdraw_key=withdraw_key,
            only_if_ended=only_if_ended,
        )
