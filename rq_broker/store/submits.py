"""How clients submit jobs, and what a submit that is repeated is told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Shape, Status, Submission
from rq_broker.domain.names import owned_name
from rq_broker.store import records
from rq_broker.store.awaited import Awaited
from rq_broker.store.continuity import Continuity, Witness
from rq_broker.store.keys import (
    CHOICES_SINCE,
    OFFERS_SINCE,
    TERMS_SINCE,
    Keys,
    callback_digest,
    digest,
    fold,
)
from rq_broker.store.names import Names, owners_argument
from rq_broker.store.notifiers import refuse_older
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner
from rq_broker.store.taken import say_until_when
from rq_broker.store.versions import version_of_new

_CACHED_DATA = 1024
"""Characters of a job's data up to which the text of its shape is cached; that text is about as
long as the data. Jobs repeat a few shapes, and 4,096 cached shapes take at most some 10 MB. Without
the limit, a client that sends bodies of 1 MiB would fill gigabytes."""

PIPELINED = 100
PIPELINED = 100
"""Submits of one call that are sent without waiting for replies. Redis takes some 5 ms for them,
for which other calls wait; with fewer, more of the time goes to waiting for the first one."""


@lru_cache(4096)
def _describe_shape(shape: Shape) -> tuple[str, str, int]:
    text = shape.canonical()
    return text, digest(text), shape.demand.kinds


def _describe(submission: Submission) -> tuple[str, str, int]:
    """Return what the shape of a job stands for, as JSON, its digest, and the demand's kinds."""
    is_small = len(submission.data) <= _CACHED_DATA
    return (_describe_shape if is_small else _describe_shape.__wrapped__)(submission.shape)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A job whose submit may be repeated."""

    job: Job
    submit_key: str | None
    """Digest of the owner and the idempotency key that it was submitted with."""


def key_digest(scope: str, idempotency_key: str) -> str | None:
    """Return the digest of an idempotency key within its scope; None for no key."""
    return digest(f"{scope}\0{idempotency_key}") if idempotency_key else None


def key_of_one(idempotency_key: str, request_id: str) -> str:
    """Return the idempotency key of one job of a call on many; '' without a key of the call.

    >>> key_of_one("b1946ac9", "d")
    'b1946ac9 d'
    """
    return f"{idempotency_key} {request_id}" if idempotency_key else ""


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
        and str(records.milliseconds_or_none(submission.expected) or "") == expected
    )


class Submits:
    """Submit."""

    def __init__(self, runner: Runner, registry: Registry, continuity: Continuity) -> None:
        self._runner = runner
        self._registry = registry
        self._continuity = continuity
        self._names = Names(runner)
        self._awaited = Awaited(runner)

    async def submit(
        self,
        type_: str,
        submission: Submission,
        idempotency_key: str = "",
        owners: Collection[str] | None = None,
    ) -> Job:
        """Put a job in the queue.

        Args:
            type_: The type.
            submission: The job.
            idempotency_key: Names this call among those of the owner. A call that is repeated with
                the key, because its reply was lost, returns the job that the first one stored, as
                it is now and `replayed`, for as long as the type has the job. Empty: no key.
            owners: Whose jobs the caller may name, in `after` and by a refusal; None: anybody's.

        Raises:
            DuplicateRequestId: Its request_id is taken in the type. If the job that has it was
                submitted just so, `details` has `same` and the job as `data`.
            DuplicateCallback: Its callback is taken in the type; `details` likewise.
            IdempotencyKeyReused: The key came with another submit of the owner.
            ExpectedTooLong: It says it will hold for longer than the policy's `expected_most`.
            UnknownDependency: It waits for a job that the type does not have.
            DependencyFailed: It waits for a job that is in error, and not for any end of it.
            OlderNotifiers: It has terms or no callback, or leaves something to choose, and a
                notifier serves the type that does not know that.
            TooManyKinds: It lists more amounts than the policy's `most_kinds`.
            QueueFull: The owner, or the type, has as much as its policy allows.
        """
        submit_key = key_digest(submission.owner_id, idempotency_key)
        submission = await self._awaited.with_jobs(type_, submission, owners)
        try:
            return await self._store(type_, submission, submit_key, owners)
        except errors.DuplicateRequestId as refusal:
            return await self._repeated(type_, submission, submit_key, owners, refusal)
        except errors.DuplicateCallback as refusal:
            name = await self._names.stored(type_, submission.request_id, [submission.owner_id])
            callback = callback_digest(submission.callback, name)
            index = Keys(type_).of("callbacks", callback[:2])
            taker = await self._runner.command("HGET", index, callback[2:])
            if taker is not None:
                await self._note_same(type_, taker, submission, owners, refusal)
            raise

    async def submit_many(
        self,
        type_: str,
        submissions: Sequence[Submission],
        idempotency_key: str = "",
        owners: Collection[str] | None = None,
    ) -> list[Job | errors.BrokerError]:
        """Put jobs in the queue, in their order; a refused one does not stop the others.

        Each is a `submit` of its own. They are sent without waiting for each other's replies,
        PIPELINED at a time, so that other calls get their turn in between.

        Args:
            type_: The type.
            submissions: The jobs.
            idempotency_key: Names this call; that of each job is made of it, see `key_of_one`.
            owners: As of `submit`.

        Returns:
            For each submission its job, or the error that `submit` would raise.
        """

        names: set[tuple[str, str]] = set()

        async def outcome(submission: Submission) -> Job | errors.BrokerError:
            key = key_of_one(idempotency_key, submission.request_id)
            name = (submission.owner_id, submission.request_id)
            if name in names:
                key = ""  # the same name again in one call repeats no earlier call
            names.add(name)
            try:
                return await self.submit(type_, submission, key, owners)
            except errors.BrokerError as refusal:
                return refusal

        outcomes: list[Job | errors.BrokerError] = []
        for start in range(0, len(submissions), PIPELINED):
            # The first goes alone: with it the type is known, a connection open and the clock read,
            # so that none of the others waits before it is sent, and one after it overtakes.
            first, *others = submissions[start : start + PIPELINED]
            outcomes.append(await outcome(first))
            outcomes += await asyncio.gather(*map(outcome, others))
        return outcomes

    async def _repeated(
        self,
        type_: str,
        submission: Submission,
        submit_key: str | None,
        owners: Collection[str] | None,
        refusal: errors.DuplicateRequestId,
    ) -> Job:
        """Return the job where the submit is repeated with its key; raises the refusal if not."""
        name = await self._names.stored(type_, submission.request_id, [submission.owner_id])
        kept = await self._note_same(type_, name, submission, owners, refusal)
        if kept is None or submit_key is None or kept.submit_key != submit_key:
            raise refusal
        if not refusal.details:
            raise errors.IdempotencyKeyReused(
                f"the Idempotency-Key was used for job {submission.request_id} with another body"
            )
        return replace(kept.job, replayed=True)

    async def _note_same(
        self,
        type_: str,
        request_id: str,
        submission: Submission,
        owners: Collection[str] | None,
        refusal: errors.BrokerError,
    ) -> _Kept | None:
        """Say in the refusal which job has the name, and whether it was submitted just so.

        Returns None if the job is gone or damaged.
        """
        try:
            reply = await self._runner.run(
                "read", type_, request_id=request_id, with_submitted=True, owners=()
            )
        except errors.JobNotFound:
            return None
        for job in records.readable(lambda row: records.read_job(type_, request_id, row), [reply]):
            if _is_same(submission, job, reply):
                refusal.details = {"same": True, "data": job}
            await say_until_when(self._runner, job, request_id, owners, refusal)
            return _Kept(job, reply.fields.get("submit_key"))
        return None

    async def _store(
        self,
        type_: str,
        submission: Submission,
        submit_key: str | None,
        owners: Collection[str] | None,
    ) -> Job:
        if submission.terms:
            await refuse_older(self._runner, type_, "the terms of this job", TERMS_SINCE)
        callback = submission.callback
        if not callback:
            await refuse_older(self._runner, type_, "jobs without callback", OFFERS_SINCE)
        if submission.shape.demand.has_choice:
            await refuse_older(self._runner, type_, "what this job leaves to choose", CHOICES_SINCE)
        await self._registry.register(type_)
        known = self._continuity.known(type_)
        demand, shape, kinds = _describe(submission)
        expected = records.milliseconds_or_none(submission.expected)
        fields = fold("callback", submission.callback) + fold("data", submission.data)
        if submission.correlation:
            fields += records.correlation_pairs(submission.correlation)
        terms, own_name = submission.terms, owned_name(submission.owner_id, submission.request_id)
        reply = await self._runner.run(
            "submit",
            type_,
            request_id=submission.request_id,
            owner_id=submission.owner_id,
            callback=digest(callback) if callback else None,
            own_callback=callback_digest(callback, own_name) if callback else None,
            submit_key=submit_key,
            priority=submission.priority,
            expected=expected,
            shape=shape,
            demand=demand,
            kinds=kinds,
            prefer_for=submission.shape.demand.prefer_for or None,
            fields=fields,
            terms=records.terms_pairs(terms) if terms else (),
            after=terms.after if terms else (),
            owners=owners_argument(owners),
        )
        witness = Witness(submission.request_id, submission.owner_id, reply.id, 0, reply.created)
        await self._continuity.compare(type_, known, reply.incarnation, reply.id, witness=witness)
        return _submitted(type_, submission, shape, reply)


def _submitted(type_: str, submission: Submission, shape: str, reply: Any) -> Job:
    """Return the job that a submit has stored, of its digest `shape` and the script's reply."""
    expected = records.milliseconds_or_none(submission.expected)
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
        terms=submission.terms,
        is_beside=reply.position is None,
        left=reply.left,
        version=version_of_new(reply, shape, expected),
    )
