"""A hold: a job without callback, from its submit until its capacity is given back.

The flows here are carried out by both clients, see flows. `hold_at_most` makes the broker end a
hold whose holder has died; a living holder renews long before. Whether a hold is lost is for the
broker to say: while it does not answer the holder goes on, and `seconds_left` tells for how long
nobody else can have the capacity.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Unpack

from rq_broker.client import calls
from rq_broker.client.arguments import StatusDetails
from rq_broker.client.call import Call, Json
from rq_broker.client.flows import Flow, Pause, ask
from rq_broker.client.grants import Grant, HoldLost, HoldTimeout, NotGranted
from rq_broker.client.repeating import LONGEST_PAUSE, Told, is_passing
from rq_broker.client.wishes import LONGEST_WAIT, Wish
from rq_broker.domain import errors

RENEWALS = 8
"""Renewals in the time that a hold lasts without one: so many may fail in a row but one."""
_WITHOUT_WAITING = 2.0
"""Seconds between two looks where the API does not wait before it answers. An offer must be taken
within the policy's `offer`, 60 s if nothing else is set."""
_FIRST_LOOK = 1.0
"""Seconds after the submit until the job is looked at: by then it is granted or known to wait."""
_AGAIN = 1.0
"""Seconds between two attempts to renew."""
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
        until: The statuses, or one alone; without them, any but `queued`.
        timeout: Seconds to wait at most; None without end.

    Returns:
        The job: with one of the statuses, or as it is once the time has passed.

    Raises:
        JobNotFound: The type has no such job, or it was withdrawn meanwhile.
    """
    ends = None if timeout is None else time.monotonic() + timeout
    until = (until,) if isinstance(until, str) else until
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
    try:
        job = yield from ask(
            calls.read(type_, request_id, owner_id=owner_id, wait=int(seconds), until=until)
        )
    except errors.BrokerError as refusal:
        if refusal.status != 429 or seconds < 1:
            raise
        # As many wait as may: look now and then instead.
        job = yield from ask(calls.read(type_, request_id, owner_id=owner_id))
        most = _WITHOUT_WAITING
    is_there = job["Status"] in until if until else job["Status"] not in _WAITING
    # An API that does not know `wait` answers at once.
    rest = min(seconds, most, _WITHOUT_WAITING) - (time.monotonic() - began)
    if not is_there and rest > 0:
        yield Pause(rest)
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
    most = min(_FIRST_LOOK, asked.look_every)
    while True:
        try:
            job, is_there = yield from _look(
                asked.type, asked.name, asked.owner_id, (), ends=ends, most=most
            )
        except errors.JobNotFound as gone:
            raise NotGranted(f"the job {asked.name} was withdrawn", job) from gone
        most = asked.look_every
        if not is_there:
            if ends is not None and time.monotonic() >= ends:
                why = f": {job['Reason']}" if job.get("Reason") else ""
                raise HoldTimeout(
                    f"the job {asked.name} was not granted within {asked.timeout:g} s{why}", job
                )
            if asked.on_wait:
                asked.on_wait(job)
        elif job["Status"] in ("granted", "running"):
            grant = yield from _take(asked, job)
            if grant:
                return grant
        else:
            raise NotGranted(f"the job {asked.name} is {_state(job)}", job)


def _state(job: Json) -> str:
    """Return what a job is, and why if it is in error, as a part of a sentence."""
    why = f": {job['Error']}" if job.get("Error") else ""
    return f"in error{why}" if job["Status"] == "error" else f"{job['Status']}{why}"


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


def keep(grant: Grant, told: Told | None = None) -> Flow[HoldLost]:
    """Renew a grant for ever; return once it is held no more.

    It repeats calls itself, so each is to be sent once: it must not hang on one.

    Args:
        grant: What is held.
        told: Is called with what went wrong where a renewal fails, and with None after that.
    """
    period = min(LONGEST_WAIT, grant.hold_at_most / RENEWALS)
    is_troubled = False
    while True:
        try:
            yield from _watch(grant, period)
            began = time.monotonic()
            yield from ask(_status_of(grant, "running"))
            grant.renewed = began
            if is_troubled and told:
                told(None)
            is_troubled = False
        except HoldLost as lost:
            return lost
        except errors.JobNotFound:
            return HoldLost("somebody withdrew the job")
        except errors.StaleFence:
            return HoldLost("the job was granted anew: its fence has moved on")
        except errors.Conflict as refusal:
            return HoldLost(f"the job is not running any more: {refusal}")
        except Exception as trouble:
            if not (is_passing(trouble) or isinstance(trouble, errors.BrokerError)):
                raise
            is_troubled = True
            if told:
                told(trouble)
            yield Pause(_AGAIN if is_passing(trouble) else LONGEST_PAUSE)


def _watch(grant: Grant, period: float) -> Flow[None]:
    """Wait until a grant is to be renewed. Raises HoldLost as soon as it is held no more."""
    job, has_ended = yield from _look(
        grant.type, grant.request_id, grant.owner_id, _ENDED, most=period
    )
    if job["Fence"] != grant.fence:
        raise HoldLost("the job was granted anew: its fence has moved on", job)
    if has_ended:
        raise HoldLost(f"the job is {_state(job)}", job)


def _status_of(grant: Grant, status: str, **details: Unpack[StatusDetails]) -> Call[None]:
    """Return the call that gives the job of a grant another status, if it is still that grant."""
    owner = grant.owner_id
    details["fence"] = grant.fence
    return calls.transition(grant.type, grant.request_id, status, owner_id=owner, **details)


def give_back(grant: Grant) -> Flow[None]:
    """Say `done`, or `error` with the grant's text; a hold that was lost is left alone."""
    if grant.lost:
        return
    try:
        if grant.error is None:
            yield from ask(_status_of(grant, "done"))
        else:
            # What cannot be sent, as of a file's name that is no UTF-8, must not keep the capacity.
            sendable = grant.error.encode(errors="backslashreplace").decode()
            yield from ask(_status_of(grant, "error", error=sendable[:1000]))
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
