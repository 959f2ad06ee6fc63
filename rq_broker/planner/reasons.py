"""Why a job waits: a stable code for programs, and a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from rq_broker.domain.arrays import whole
from rq_broker.domain.jobs import Job, Shape
from rq_broker.domain.names import request_id_in
from rq_broker.domain.offers import OFFER
from rq_broker.domain.representation import rfc3339
from rq_broker.domain.terms import AtOnce
from rq_broker.planner.owner_usage import ExceededLimit
from rq_broker.planner.share_leads import ShareLead

NAMED = 3
"""Hosts, or jobs, that a sentence names before it counts the others."""


class ReasonCode(StrEnum):
    """The stable codes. Once published, a code keeps its meaning."""

    NO_FIT = "no_fit"
    IMPOSSIBLE = "impossible"
    PAUSED = "paused"
    PROTECTED_OTHER = "protected_other"
    STRICT_ORDER = "strict_order"
    OWNER_LIMIT = "owner_limit"
    AT_ONCE = "at_once"
    DESTINATION_CLOSED = "destination_closed"
    DESTINATION_ASKED = "destination_asked"
    DESTINATION_BEHIND = "destination_behind"
    OFFERS_MISSED = "offers_missed"
    OFFERS_OPEN = "offers_open"
    NEXT_PASS = "next_pass"
    NO_NOTIFIER = "no_notifier"
    NOT_BEFORE = "not_before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A resource of which a host has too little; `free` may be below 0."""

    host: str
    resource: str
    needed: int
    free: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a job waits."""

    code: ReasonCode
    text: str
    shortfalls: tuple[Shortfall, ...] = ()
    """Where no host holds an instance: what the host that comes closest lacks for it."""
    discreet: str = ""
    """The text without names of jobs and owners, for who may not know them; '' if it has none."""

    def extended(self, end: str, discreet_end: str | None = None) -> Reason:
        """Return the reason with more behind its text; `discreet_end` if that has names."""
        discreet = ""
        if self.discreet or discreet_end is not None:
            discreet = (self.discreet or self.text) + (
                end if discreet_end is None else discreet_end
            )
        return replace(self, text=self.text + end, discreet=discreet)

    def without_names(self) -> Reason:
        """Return the reason as it is told to who may not know other jobs and owners."""
        return replace(self, text=self.discreet or self.text, discreet="")


PAUSED = Reason(ReasonCode.PAUSED, "grants are paused for this type")
NEXT_PASS = Reason(
    ReasonCode.NEXT_PASS, "not considered yet: earlier jobs are granted first, then it is its turn"
)


def of_receiver(shape: Shape, asked_until: float | None, *, is_closed: bool) -> Reason:
    """Return the reason of a job that cannot be granted because of its receiver.

    Args:
        shape: Of the job.
        asked_until: Until when the receiver asked not to be called; None if it did not ask.
        is_closed: Whether its breaker is open; else too much there waits for an answer.
    """
    if shape.destination == OFFER:
        return offers_missed(shape.owner) if is_closed else offers_open(shape.owner)
    if asked_until is not None:
        return destination_asked(shape.destination, asked_until)
    if is_closed:
        return destination_closed(shape.destination)
    return destination_behind(shape.destination)


def destination_closed(destination: str) -> Reason:
    """Return the reason of a job whose callback cannot be delivered now."""
    text = f"{destination} does not answer callbacks; the job keeps its place until it does"
    return Reason(ReasonCode.DESTINATION_CLOSED, text)


def destination_asked(destination: str, until: float) -> Reason:
    """Return the reason of a job whose receiver asked to be called later (Retry-After)."""
    when = datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"destination asked to wait until {when} ({destination}); the job keeps its place"
    return Reason(ReasonCode.DESTINATION_ASKED, text)


def destination_behind(destination: str) -> Reason:
    """Return the reason of a job that waits until callbacks of earlier jobs have gone out."""
    text = f"callbacks to {destination} still wait to be sent; the job's turn comes once they are"
    return Reason(ReasonCode.DESTINATION_BEHIND, text)


def offers_missed(owner: str) -> Reason:
    """Return the reason of a job without callback whose owner missed its last offers."""
    text = (
        f"the last offers to {owner or 'jobs without an owner'} were missed, so one job at a time "
        "gets an offer, after a pause; the job keeps its place until one is taken"
    )
    return Reason(ReasonCode.OFFERS_MISSED, text)


def offers_open(owner: str) -> Reason:
    """Return the reason of a job without callback whose owner has as many offers as it may."""
    text = (
        f"{owner or 'jobs without an owner'} may have no more offers open at a time; the job's "
        "turn comes once one of them is taken, declined or missed"
    )
    return Reason(ReasonCode.OFFERS_OPEN, text)


def beside_the_line(job: Job) -> Reason:
    """Return the reason of a job that waits beside the line: for other jobs, or for a time."""
    if job.left:
        any_end = bool(job.terms and job.terms.after_any)
        if job.left == 1:
            is_only = job.terms is None or len(job.terms.after) == 1
            ends = "ends" if any_end else "is done"
            jobs = "the job" if is_only else "the last of the jobs"
        else:
            ends, jobs = "end" if any_end else "are done", f"{job.left} more of the jobs"
        text = f"waits beside the line until {jobs} that it comes after {ends}"
        return Reason(ReasonCode.AFTER, text)
    time = job.terms.not_before if job.terms else None
    when = rfc3339((time or 0) * 1000)
    text = f"not granted before {when}; it joins the line then, at the place of its submit"
    return Reason(ReasonCode.NOT_BEFORE, text)


def over_limit(owner: str, exceeded: ExceededLimit) -> Reason:
    """Return the reason of a job that would take its owner over a limit of the policy."""
    if exceeded.is_for_ever:
        text = (
            f"needs {exceeded.resource} {exceeded.needs}, but its owner {owner} may hold "
            f"{exceeded.limit} at most: it can never be granted while that limit stands"
        )
        return Reason(ReasonCode.IMPOSSIBLE, text)
    text = (
        f"needs {exceeded.resource} {exceeded.needs}, but its owner {owner} may hold "
        f"{exceeded.limit} and holds {exceeded.held}"
    )
    kept = f", with {exceeded.kept} kept for an earlier job of that owner" if exceeded.kept else ""
    return Reason(ReasonCode.OWNER_LIMIT, text + kept)


def of_alternatives(reasons: Sequence[Reason], until: float = 0.0, now: float = 0.0) -> Reason:
    """Return the reason of a job with alternatives from those of each.

    The code is that of the first which may still be granted, if one may.

    Args:
        reasons: Of the alternatives that count now, in order.
        until: Until when the others do not count, seconds since 1970; may be past.
        now: Seconds since 1970.
    """
    main = next((r for r in reasons if r.code is not ReasonCode.IMPOSSIBLE), reasons[0])
    discreet = _alternatives([reason.discreet or reason.text for reason in reasons], until, now)
    has_names = any(reason.discreet for reason in reasons)
    text = _alternatives([reason.text for reason in reasons], until, now)
    return replace(main, text=text, discreet=discreet if has_names else "")


def _alternatives(texts: Sequence[str], until: float, now: float) -> str:
    """Join what is said of each alternative, of the first few if there are many."""
    texts = [f"alternative {number}: {text}" for number, text in enumerate(texts)]
    if until > now:
        texts.append(f"other alternatives count from {_clock(until, now)}")
    shown = texts[:NAMED]
    if len(texts) > NAMED:
        shown.append(f"and so for {len(texts) - NAMED} more")
    return "; ".join(shown)


def over_at_once(at_once: AtOnce) -> Reason:
    """Return the reason of a job whose array has as many jobs that hold as it may."""
    jobs = "1 job" if at_once.most == 1 else f"{at_once.most} jobs"
    name = whole(request_id_in(at_once.array))
    text = f"{jobs} of {name} may hold capacity at a time, and as many do"
    return Reason(ReasonCode.AT_ONCE, text)


def behind(code: ReasonCode, request_id: str) -> Reason:
    """Return the reason of a job that would fit, but on hosts kept for an earlier job."""
    if code is ReasonCode.STRICT_ORDER:
        text = "would fit, but strict order puts {} first"
    else:
        text = "would fit, but could delay {}, which later jobs passed for too long"
    return Reason(code, text.format(request_id), discreet=text.format("an earlier job"))


def outranked(no_room: Reason, lead: ShareLead, owner: str, share: float) -> Reason:
    """Return the reason of a job that comes after a later one, whose owner used less.

    Args:
        no_room: Why it does not start now.
        lead: The later job.
        owner: Of the job that waits.
        share: The part of the capacity that this owner used for its weight.
    """
    shares = f"({lead.share:.1%} of the capacity against {share:.1%})"
    text = (
        f"; {lead.head.request_id} came later but goes first, as its owner "
        f"{lead.owner} used less for its weight than {owner} {shares}"
    )
    discreet = f"; a later job goes first, as its owner used less for its weight {shares}"
    return no_room.extended(text, discreet)


def reserved(
    no_room: Reason, hosts: Iterable[str], start: float | None, awaited: Sequence[str], now: float
) -> Reason:
    """Return the reason of a job that has a reservation.

    Args:
        no_room: What it lacks now.
        hosts: Where its capacity is reserved.
        start: From when on, seconds since 1970; None if the hosts are kept until it starts.
        awaited: request_ids of the jobs whose ends it waits for.
        now: Seconds since 1970.
    """
    where = f"reserved on {_listed(sorted(hosts))}"
    if start is None:
        return no_room.extended(f"; {where} until it starts")
    text = f"; {where} from about {_clock(start, now)}"
    if not awaited:
        return no_room.extended(text)
    are = f"{_are(awaited)} expected to end"
    jobs = "1 job" if len(awaited) == 1 else f"{len(awaited)} jobs"
    return no_room.extended(f"{text}, when {_listed(awaited)} {are}", f"{text}, when {jobs} {are}")


def _listed(names: Sequence[str]) -> str:
    """Join names as a sentence does, the first few if there are many."""
    shown = list(names[:NAMED])
    if len(names) > NAMED:
        shown.append(f"{len(names) - NAMED} more")
    *earlier, last = shown
    return f"{', '.join(earlier)} and {last}" if earlier else last


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _clock(seconds: float, now: float) -> str:
    """Write a time of today as 14:20 UTC, another one with its date."""
    when, today = datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now, UTC)
    return f"{when:%H:%M} UTC" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M} UTC"
