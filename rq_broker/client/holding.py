"""A hold: a job without callback, from its submit until its capacity is given back.

The flows here are carried out by both clients, see flows. `hold_at_most` makes the broker end a
hold whose holder has died; a living holder renews long before. Whether a hold is lost is for the
broker to say: while it does not answer the holder goes on, and `seconds_left` tells for how long
nobody else can have the capacity.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rq_broker.client import calls
from rq_broker.client.call import Json
from rq_broker.client.flows import Flow, Pause, ask
from rq_broker.client.grants import Grant, HoldLost, HoldTimeout, NotGranted
from rq_broker.client.repeating import LONGEST_PAUSE, is_passing
from rq_broker.client.wishes import LONGEST_WAIT, Wish
from rq_broker.domain import errors

RENEWALS = 8
"""Renewals in the time that a hold lasts without one: so many may fail in a row but one."""
_AGAIN = 1.0
"""Seconds between two looks where the API answers at once instead of waiting, or not at all."""
_ENDED = ("queued", "granted", "done", "error")
"""The statuses by which a holder learns that its hold has ended."""
_WAITING = ("queued",)


def wait(
    type_: str,
    request_id: str,
    *,
    owner_id: str = "",
    until: Sequence[str] = (),
    timeout: float | None = None,
) -> Flow[Json]:
    """Wait until a job has one of some statuses.

    Args:
        type_: The queue's name.
        request_id: The job.
        owner_id: As of `read`.
        until: The statuses; without them, any but `queued`.
        timeout: Seconds to wait at most; None without end.

    Returns:
        The job: with one of the statuses, or as it is once the time has passed.

    Raises:
        JobNotFound: The type has no such job, or it was withdrawn meanwhile.
    """
    ends = None if timeout is None else time.monotonic() + timeout
    while True:
        job, is_there = yield from _look(type_, request_id, owner_id, until, ends=ends)
        if is_there or (ends is not None and time.monotonic() >= ends):
            return job


def _look(
    type_: str,
    request_id: str,
    owner_id: str,
    until: Sequence[str],
    *,
    ends: float | None = None,
    most: float = LONGEST_WAIT,
) -> Flow[tuple[Json, bool]]:
    """Wait for some time; return the job, and whether it has one of the statuses."""
    began = time.monotonic()
    seconds = most if ends is None else max(0.0, min(most, ends - began))
    job = yield from ask(
        calls.read(type_, request_id, owner_id=owner_id, wait=seconds, until=until)
    )
    is_there = job["Status"] in until if until else job["Status"] not in _WAITING
    spent = time.monotonic() - began
    if not is_there and spent < min(seconds, _AGAIN):  # an API that does not know `wait`
        yield Pause(min(seconds, _AGAIN) - spent)
    return job, is_there


def acquire(asked: Wish) -> Flow[Grant]:
    """Submit a job, wait for its grant and take it.

    Raises:
        NotGranted: The job failed or was withdrawn.
        HoldTimeout: It was not granted in time.
        BrokerError: The API refuses the submit.
    """
    ends = None if asked.timeout is None else time.monotonic() + asked.timeout
    job = yield from _submit(asked)
    while True:
        if asked.on_wait and job["Status"] in _WAITING:
            asked.on_wait(job)
        try:
            job, is_there = yield from _look(
                asked.type, asked.name, asked.owner_id, (), ends=ends, most=asked.look_every
            )
        except errors.JobNotFound as gone:
            raise NotGranted(f"the job {asked.name} was withdrawn", job) from gone
        if not is_there:
            if ends is not None and time.monotonic() >= ends:
                raise HoldTimeout(f"the job {asked.name} was not granted in time", job)
        elif job["Status"] in ("granted", "running"):
            grant = yield from _take(asked, job)
            if grant:
                return grant
        else:
            why = job.get("Error") or job["Status"]
            raise NotGranted(f"the job {asked.name} is in {job['Status']}: {why}", job)


def _submit(asked: Wish) -> Flow[Json]:
    asked.is_sent = True
    try:
        job = yield from ask(calls.submit(asked.type, idempotency_key=asked.key, **asked.job))
    except errors.BrokerError as refusal:
        asked.is_sent = is_passing(refusal)  # else it is known that nothing was stored
        raise
    asked.is_stored = True
    return job


def _take(asked: Wish, job: Json) -> Flow[Grant | None]:
    """Take a grant; return None if it has gone to somebody else meanwhile."""
    began = time.monotonic()
    try:
        yield from ask(
            calls.transition(
                asked.type, asked.name, "running", owner_id=asked.owner_id, fence=job["Fence"]
            )
        )
    except errors.Conflict:
        return None
    except errors.JobNotFound as gone:
        raise NotGranted(f"the job {asked.name} was withdrawn", job) from gone
    spans = [asked.job["hold_at_most"]]
    try:
        policy = yield from ask(calls.policy(asked.type))
        spans += [policy["policy"]["running"]]
    except errors.BrokerError:  # who may not read it renews by its own span
        pass
    return Grant(
        asked.type,
        asked.name,
        job["OwnerID"],
        job["Fence"],
        tuple(job["Hosts"]),
        job,
        min(span for span in spans if span is not None),
        began,
    )


def keep(grant: Grant) -> Flow[HoldLost]:
    """Renew a grant for ever; return once it is held no more."""
    period = min(LONGEST_WAIT, grant.hold_at_most / RENEWALS)
    while True:
        try:
            job, has_ended = yield from _look(
                grant.type, grant.request_id, grant.owner_id, _ENDED, most=period
            )
            if job["Fence"] != grant.fence:
                return HoldLost("the job was granted anew: its fence has moved on", job)
            if has_ended:
                return HoldLost(_why_ended(job), job)
            began = time.monotonic()
            yield from ask(
                calls.transition(
                    grant.type,
                    grant.request_id,
                    "running",
                    owner_id=grant.owner_id,
                    fence=grant.fence,
                )
            )
            grant.renewed = began
        except errors.JobNotFound:
            return HoldLost("somebody withdrew the job")
        except errors.StaleFence:
            return HoldLost("the job was granted anew: its fence has moved on")
        except errors.Conflict as refusal:
            return HoldLost(f"the job is not running any more: {refusal}")
        except Exception as trouble:
            if not (is_passing(trouble) or isinstance(trouble, errors.BrokerError)):
                raise
            yield Pause(_AGAIN if is_passing(trouble) else LONGEST_PAUSE)


def _why_ended(job: Json) -> str:
    why = f": {job['Error']}" if job.get("Error") else ""
    return f"the job is in {job['Status']}{why}"


def give_back(grant: Grant) -> Flow[None]:
    """Say `done`, or `error` with the grant's text; a hold that was lost is left alone."""
    if grant.lost:
        return
    try:
        if grant.error is None:
            call = calls.transition(
                grant.type, grant.request_id, "done", owner_id=grant.owner_id, fence=grant.fence
            )
        else:
            call = calls.transition(
                grant.type,
                grant.request_id,
                "error",
                owner_id=grant.owner_id,
                fence=grant.fence,
                error=grant.error[:1000],
            )
        yield from ask(call)
    except errors.JobNotFound:
        grant.lost = HoldLost("somebody withdrew the job")
    except errors.Conflict as refusal:
        grant.lost = HoldLost(f"the job was not running any more: {refusal}")


def drop(asked: Wish) -> Flow[None]:
    """Withdraw the job of a hold that is not waited for any more, if there is one."""
    try:
        if asked.is_sent and not (asked.is_stored or asked.is_own_name):
            # The name may be that of somebody's other job: the key tells whether it is ours.
            yield from _submit(asked)
        if asked.is_sent:
            yield from ask(calls.withdraw(asked.type, asked.name, owner_id=asked.owner_id))
    except (errors.JobNotFound, errors.Conflict):
        return
