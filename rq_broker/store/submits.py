"""How clients submit jobs, and what a submit that is repeated is told."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Shape, Status, Submission
from rq_broker.store import records
from rq_broker.store.awaited import Awaited
from rq_broker.store.continuity import Continuity
from rq_broker.store.keys import (
    CHOICES_SINCE,
    OFFERS_SINCE,
    TERMS_SINCE,
    Keys,
    callback_digest,
    digest,
    fold,
    owned_callback_digest,
)
from rq_broker.store.names import Names, owners_argument
from rq_broker.store.notifiers import refuse_older
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner
from rq_broker.store.submit_batches import SubmitBatches
from rq_broker.store.taken import say_until_when
from rq_broker.store.versions import version_of_new

_CACHED_DATA = 1024
"""Characters of a job's data up to which it is cached, folded, and the text of its shape, about as
long. Jobs repeat a few: 1,024 cached data take at most some 4 MB, and 4,096 shapes 10 MB. Without
the limit, a client that sends bodies of 1 MiB would fill gigabytes."""

_Reason = tuple[str, int]
"""What a notifier has to know, as a sentence names it, and the first contract that has it."""
_Asked = dict[_Reason, errors.OlderNotifiers | None]
"""What was asked of the notifiers → the refusal if one does not know it."""
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


@lru_cache(1024)
def _folded_data(data: str) -> Sequence[str]:
    return tuple(fold("data", data))


def _folded(data: str) -> Sequence[str]:
    """Return the data of a job as fields of its hash; see _CACHED_DATA."""
    return (_folded_data if len(data) <= _CACHED_DATA else _folded_data.__wrapped__)(data)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A job whose submit may be repeated."""

    job: Job
    submit_key: str | None
    """Digest of the owner and the idempotency key that it was submitted with."""


class _Sent(NamedTuple):
    """A submit that was handed over to be sent."""

    submission: Submission
    """In place of each array that it waits for, that has the array's jobs."""
    shape: str
    """Digest of its shape."""
    submit_key: str | None
    """Digest of its owner and its idempotency key."""
    reply: asyncio.Future[Any]
    """See SubmitBatches.submit."""


def key_digest(scope: str, idempotency_key: str) -> str | None:
    """Return the digest of an idempotency key within its scope; None for no key."""
    return digest(f"{scope}\0{idempotency_key}") if idempotency_key else None


def key_of_one(idempotency_key: str, request_id: str) -> str:
    """Return the idempotency key of one job of a call on many; '' without a key of the call.

    >>> key_of_one("b1946ac9", "d")
    'b1946ac9 d'
    """
    return f"{idempotency_key} {request_id}" if idempotency_key else ""


def _keys_of_many(idempotency_key: str, submissions: Sequence[Submission]) -> list[str]:
    """Return the key of each job of a call; '' for a name again, which repeats no earlier call."""
    keys, names = [], set[tuple[str, str]]()
    for submission in submissions:
        name = (submission.owner_id, submission.request_id)
        keys.append("" if name in names else key_of_one(idempotency_key, submission.request_id))
        names.add(name)
    return keys


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
        self._batches = SubmitBatches(runner, continuity)
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
        sent = await self._send(type_, submission, idempotency_key, owners, {})
        return await self._outcome(type_, sent, owners)

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
        outcomes, asked = list[Job | errors.BrokerError](), _Asked()
        keys = _keys_of_many(idempotency_key, submissions)
        for start in range(0, len(submissions), PIPELINED):
            chunk = submissions[start : start + PIPELINED]
            await self._ask(type_, set[_Reason]().union(*map(_reasons_to_ask, chunk)), asked)
            sent = list[_Sent | errors.BrokerError]()
            for submission, key in zip(chunk, keys[start : start + PIPELINED], strict=True):
                try:
                    sent.append(await self._send(type_, submission, key, owners, asked))
                except errors.BrokerError as refusal:
                    sent.append(refusal)
            outcomes += await self._outcomes(type_, sent, owners)
        return outcomes

    async def _outcomes(
        self,
        type_: str,
        sent: Sequence[_Sent | errors.BrokerError],
        owners: Collection[str] | None,
    ) -> list[Job | errors.BrokerError]:
        """Wait for the replies to submits, and return the job or the refusal of each."""

        async def explain(refused: _Sent) -> Job | errors.BrokerError:
            try:
                return await self._outcome(type_, refused, owners)
            except errors.BrokerError as refusal:
                return refusal

        outcomes, refused = list[Job | errors.BrokerError](), dict[int, _Sent]()
        for number, each in enumerate(sent):
            reply = each if isinstance(each, errors.BrokerError) else await each.reply
            if isinstance(each, _Sent) and isinstance(reply, Exception):
                refused[number] = each
            elif isinstance(each, _Sent):
                reply = _submitted(type_, each.submission, each.shape, reply)
            outcomes.append(reply)
        explained = await asyncio.gather(*map(explain, refused.values()))
        for number, outcome in zip(refused, explained, strict=True):
            outcomes[number] = outcome
        return outcomes

    async def _outcome(self, type_: str, sent: _Sent, owners: Collection[str] | None) -> Job:
        """Wait for the reply to a submit, and return its job; see `submit`."""
        submission = sent.submission
        reply = await sent.reply
        if not isinstance(reply, Exception):
            return _submitted(type_, submission, sent.shape, reply)
        try:
            raise reply
        except errors.DuplicateRequestId as refusal:
            return await self._repeated(type_, submission, sent.submit_key, owners, refusal)
        except errors.DuplicateCallback as refusal:
            name = await self._names.stored(type_, submission.request_id, [submission.owner_id])
            callback = callback_digest(submission.callback, name)
            index = Keys(type_).of("callbacks", callback[:2])
            taker = await self._runner.command("HGET", index, callback[2:])
            if taker is not None:
                await self._note_same(type_, taker, submission, owners, refusal)
            raise

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

    async def _ask(self, type_: str, reasons: Set[_Reason], asked: _Asked) -> None:
        """Find out whether all notifiers know what jobs need, unless that was asked."""
        for reason in reasons - asked.keys():
            try:
                await refuse_older(self._runner, type_, *reason)
                asked[reason] = None
            except errors.OlderNotifiers as refusal:
                asked[reason] = refusal

    async def _send(
        self,
        type_: str,
        submission: Submission,
        idempotency_key: str,
        owners: Collection[str] | None,
        asked: _Asked,
    ) -> _Sent:
        """Hand a submit over; raises what refuses it before its script runs."""
        terms, callback, owner = submission.terms, submission.callback, submission.owner_id
        # Most submits need none of these calls: three that do nothing take 1 µs of some 26.
        if terms:
            submission = await self._awaited.with_jobs(type_, submission, owners)
            terms = submission.terms
        if reasons := _reasons_to_ask(submission):
            await self._ask(type_, reasons, asked)
            for refusal in filter(None, map(asked.get, reasons)):
                raise refusal
        if self._registry.is_due(type_):
            await self._registry.register(type_)
        demand, shape, kinds = _describe(submission)
        fields = [*fold("callback", callback), *_folded(submission.data)]
        if submission.correlation:
            fields += records.correlation_pairs(submission.correlation)
        submit_key = key_digest(owner, idempotency_key)
        job = {
            "request_id": submission.request_id,
            "owner_id": owner,
            "callback": digest(callback) if callback else None,
            "own_callback": owned_callback_digest(callback, owner) if callback else None,
            "submit_key": submit_key,
            "priority": submission.priority,
            "expected": records.milliseconds_or_none(submission.expected),
            "shape": shape,
            "demand": demand,
            "kinds": kinds,
            "prefer_for": submission.shape.demand.prefer_for or None,
            "fields": fields,
            "terms": records.terms_pairs(terms) if terms else (),
            "after": terms.after if terms else (),
            "owners": owners_argument(owners),
        }
        characters = len(submission.data) + len(callback) + len(demand)
        reply = self._batches.submit(type_, job, characters)
        return _Sent(submission, shape, submit_key, reply)


_NO_REASON = frozenset[_Reason]()


def _reasons_to_ask(submission: Submission) -> Set[_Reason]:
    """Return what notifiers have to know that serve a job, each with the contract that has it."""
    has_choice = submission.shape.demand.has_choice
    if submission.callback and not submission.terms and not has_choice:
        return _NO_REASON
    reasons = (
        (submission.terms, "the terms of this job", TERMS_SINCE),
        (not submission.callback, "jobs without callback", OFFERS_SINCE),
        (has_choice, "what this job leaves to choose", CHOICES_SINCE),
    )
    return {(subject, contract) for applies, subject, contract in reasons if applies}


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
