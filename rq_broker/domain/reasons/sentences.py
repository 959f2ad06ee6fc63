"""The English sentence of each code, made of the values of a reason alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.lists import NAMED, clock
from rq_broker.domain.representation import told_time

if TYPE_CHECKING:
    from rq_broker.domain.reasons.reason import Reason


def destination_asked(reason: Reason) -> str:
    """Say that the receiver asked to be called later (Retry-After)."""
    when = datetime.fromtimestamp(reason.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"destination asked to wait until {when} ({reason.destination}); the job keeps its place"


def destination_closed(reason: Reason) -> str:
    """Say that the receiver does not answer callbacks."""
    there = reason.destination
    return f"{there} does not answer callbacks; the job keeps its place until it does"


def destination_behind(reason: Reason) -> str:
    """Say that callbacks of earlier jobs have to go out first."""
    there = reason.destination
    return f"callbacks to {there} still wait to be sent; the job's turn comes once they are"


def offers_missed(reason: Reason) -> str:
    """Say that the owner missed its last offers."""
    return (
        f"the last offers to {reason.owner or 'jobs without an owner'} were missed, so one job at "
        "a time gets an offer, after a pause; the job keeps its place until one is taken"
    )


def offers_open(reason: Reason) -> str:
    """Say that the owner has as many offers open as it may."""
    return (
        f"{reason.owner or 'jobs without an owner'} may have no more offers open at a time; the "
        "job's turn comes once one of them is taken, declined or missed"
    )


def after(reason: Reason) -> str:
    """Say how many jobs have to end before it joins the line."""
    if reason.left == 1:
        ends = "ends" if reason.any_end else "is done"
        jobs = "the job" if reason.jobs < 2 else "the last of the jobs"
    else:
        ends = "end" if reason.any_end else "are done"
        jobs = f"{reason.left} more of the jobs"
    return f"waits beside the line until {jobs} that it comes after {ends}"


def not_before(reason: Reason) -> str:
    """Say when it joins the line."""
    when = told_time(round(reason.until * 1000) * 1000)
    return f"not granted before {when}; it joins the line then, at the place of its submit"


def owner_limit(reason: Reason) -> str:
    """Say what the owner holds of what it may."""
    kept, holds = reason.kept, "holds" if reason.owner else "hold"
    text = (
        f"needs {reason.resource} {reason.needed}, but {_its_owner(reason)} may hold "
        f"{reason.limit} and {holds} {reason.held}"
    )
    return text + (f", with {kept} kept for an earlier job of that owner" if kept else "")


def beyond_limit(reason: Reason) -> str:
    """Say that the demand alone is more than its owner may hold."""
    return (
        f"needs {reason.resource} {reason.needed}, but {_its_owner(reason)} may hold "
        f"{reason.limit} at most: it can never be granted while that limit stands"
    )


def _its_owner(reason: Reason) -> str:
    return f"its owner {reason.owner}" if reason.owner else "jobs without an owner"


def at_once(reason: Reason) -> str:
    """Say that as many jobs of the array hold as may."""
    jobs = "1 job" if reason.limit == 1 else f"{reason.limit} jobs"
    return f"{jobs} of {reason.array} may hold capacity at a time, and as many do"


def behind(reason: Reason) -> str:
    """Say which earlier job keeps the hosts on which it would fit."""
    job = reason.job or "an earlier job"
    if reason.code is ReasonCode.STRICT_ORDER:
        return f"would fit, but strict order puts {job} first"
    return f"would fit, but could delay {job}, which later jobs passed for too long"


def no_notifier(reason: Reason) -> str:
    """Say that nobody is there to grant it."""
    return f"it fits, but {reason.unserved.text if reason.unserved else ''}"


def alternatives(reason: Reason) -> str:
    """Join what is said of each alternative, of the first few if there are many."""
    texts = [
        f"alternative {number}: {each.text}" for number, each in enumerate(reason.alternatives)
    ]
    if reason.alternatives_from:
        texts.append(f"other alternatives count from {clock(reason.alternatives_from, reason.now)}")
    shown = texts[:NAMED]
    if len(texts) > NAMED:
        shown.append(f"and so for {len(texts) - NAMED} more")
    return "; ".join(shown)


def count_reserved(reason: Reason) -> str:
    """Say that a host has a resource that no demand can ask for."""
    return (
        f"{reason.host} has a resource that is called count, which no demand can ask for: in an "
        "instance, count says how many instances there are"
    )


def hold_lost(reason: Reason) -> str:
    """Say what of a grant is neither used nor held."""
    lost = "; ".join(f"{each.resource} {each.amount} on {each.host}" for each in reason.unheld)
    return (
        f"{lost}: this part of its grant is neither used nor held, for {reason.seconds:.0f} s. "
        "Its servers use it no more, and others filled the host. It is held again once there "
        "is room; queue the job again to get other hosts"
    )


def server_unseen(reason: Reason) -> str:
    """Say which servers no source has shown."""
    return (
        f"source {reason.source} has not shown {', '.join(reason.servers)} since the job named it "
        f"{reason.seconds:.0f} s ago: its capacity stays held"
    )


def still_running(reason: Reason) -> str:
    """Say for how long nothing was heard of a job that runs."""
    return (
        f"it has run for {reason.seconds:.0f} s without a word of its client, which said that it "
        f"holds for {reason.expected:.0f} s: say running again to renew it, or end it"
    )


def callback_failing(reason: Reason) -> str:
    """Say how often a granted job's callback failed, why, and when it is tried again."""
    attempts, seconds = reason.attempts, reason.until - reason.now
    failed = f"failed ({reason.cause})"
    if attempts > 1:
        failed = f"failed {attempts} times (the last: {reason.cause})"
    again = f"the next try is {f'in {seconds:.0f} s' if seconds >= 1 else 'due'}"
    return f"its callback to {reason.destination} {failed}; {again if reason.until else _TRIED_NOW}"


_TRIED_NOW = "it is being tried again now"


def too_little_history(reason: Reason) -> str:
    """Say how many jobs a forecast needs: one that ended without capacity tells of no hold."""
    return f"fewer than {reason.needed} jobs of this type have used granted capacity and ended"
