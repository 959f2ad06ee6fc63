"""Builds the reasons of a pass from what the planner knows of a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rq_broker.domain.arrays import whole
from rq_broker.domain.jobs import Job, Shape
from rq_broker.domain.names import request_id_in
from rq_broker.domain.offers import OFFER
from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.values import MOST_LISTED, Lead, Reserved
from rq_broker.domain.terms import AtOnce
from rq_broker.planner.owner_usage import ExceededLimit
from rq_broker.planner.share_leads import ShareLead

PAUSED = Reason(code=ReasonCode.PAUSED)
NEXT_PASS = Reason(code=ReasonCode.NEXT_PASS)


def of_receiver(
    shape: Shape, asked_until: float | None, tried: float = 0.0, *, is_closed: bool
) -> Reason:
    """Return the reason of a job that cannot be granted because of its receiver.

    Args:
        shape: Of the job.
        asked_until: Until when the receiver asked not to be called; None if it did not ask.
        tried: When it is called next, seconds since 1970; 0 where that is not known.
        is_closed: Whether its breaker is open; else too much there waits for an answer.
    """
    if shape.destination == OFFER:
        code = ReasonCode.OFFERS_MISSED if is_closed else ReasonCode.OFFERS_OPEN
        return Reason(code=code, owner=shape.owner)
    if asked_until is not None:
        code = ReasonCode.DESTINATION_ASKED
        return Reason(code=code, destination=shape.destination, until=asked_until)
    if is_closed:
        code = ReasonCode.DESTINATION_CLOSED
        return Reason(code=code, destination=shape.destination, until=tried)
    return Reason(code=ReasonCode.DESTINATION_BEHIND, destination=shape.destination)


def beside_the_line(job: Job) -> Reason:
    """Return the reason of a job that waits beside the line: for other jobs, or for a time."""
    terms = job.terms
    if job.left:
        return Reason(
            code=ReasonCode.AFTER,
            left=job.left,
            jobs=len(terms.after) if terms else 0,
            any_end=bool(terms and terms.after_any),
        )
    time = terms.not_before if terms else None
    return Reason(code=ReasonCode.NOT_BEFORE, until=(time or 0) / 1000)


def over_limit(owner: str, exceeded: ExceededLimit) -> Reason:
    """Return the reason of a job that would take its owner over a limit of the policy."""
    reason = Reason(
        code=ReasonCode.OWNER_LIMIT,
        owner=owner,
        resource=exceeded.resource,
        needed=exceeded.needs,
        limit=exceeded.limit,
    )
    if exceeded.is_for_ever:
        return replace(reason, code=ReasonCode.IMPOSSIBLE, kind=ReasonKind.OWNER_LIMIT)
    return replace(reason, held=exceeded.held, kept=exceeded.kept)


def of_alternatives(reasons: Sequence[Reason], until: float = 0.0, now: float = 0.0) -> Reason:
    """Return the reason of a job with alternatives from those of each.

    The code is that of the first which may still be granted, if one may.

    Args:
        reasons: Of the alternatives that count now, in order.
        until: Until when the others do not count, seconds since 1970; may be past.
        now: Seconds since 1970.
    """
    main = next((r for r in reasons if r.code is not ReasonCode.IMPOSSIBLE), reasons[0])
    return Reason(
        code=main.code,
        kind=ReasonKind.ALTERNATIVES,
        alternatives=tuple(reasons),
        alternatives_from=until if until > now else 0.0,
        now=now,
    )


def over_at_once(at_once: AtOnce) -> Reason:
    """Return the reason of a job whose array has as many jobs that hold as it may."""
    name = whole(request_id_in(at_once.array))
    return Reason(code=ReasonCode.AT_ONCE, array=name, limit=at_once.most)


def behind(
    code: ReasonCode, request_id: str, passed_since: float | None = None, hosts: Iterable[str] = ()
) -> Reason:
    """Return the reason of a job that would fit, but on hosts kept for an earlier job.

    Args:
        code: STRICT_ORDER or PROTECTED_OTHER.
        request_id: The earlier job.
        passed_since: When a later job first passed that one, seconds since 1970, if one did.
        hosts: What is kept for it of what this one could use.
    """
    if code is ReasonCode.STRICT_ORDER:
        return Reason(code=code, job=request_id)
    kept = tuple(sorted(hosts)[:MOST_LISTED])
    return Reason(code=code, job=request_id, passed_since=passed_since or 0.0, hosts=kept)


def outranked(no_room: Reason, lead: ShareLead, owner: str, share: float) -> Reason:
    """Return the reason of a job that comes after a later one, whose owner used less.

    Args:
        no_room: Why it does not start now.
        lead: The later job.
        owner: Of the job that waits.
        share: The part of the capacity that this owner used for its weight.
    """
    told = Lead(lead.share, share, owner, lead.head.request_id, lead.owner)
    return replace(no_room, lead=told)


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
    names = sorted(hosts)
    waits_for = awaited if start is not None else ()
    told = Reserved(
        tuple(names[:MOST_LISTED]),
        len(names),
        start,
        tuple(waits_for[:MOST_LISTED]),
        len(waits_for),
    )
    return replace(no_room, reserved=told, now=now)
