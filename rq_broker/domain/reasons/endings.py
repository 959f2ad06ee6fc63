"""What a sentence says behind its reason: what is reserved, who goes first, what is out of date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.lists import clock, listed
from rq_broker.domain.reasons.values import SourceTrouble

if TYPE_CHECKING:
    from rq_broker.domain.reasons.reason import Reason


def endings(reason: Reason) -> str:
    """Return all of it, in order; '' if there is nothing to add."""
    parts = [", after what earlier jobs are about to get" if reason.after_earlier else ""]
    parts += [_reserved(reason), _lead(reason)]
    if reason.sources:
        parts.append(f" ({'; '.join(map(_source, reason.sources))})")
    if reason.unserved and reason.code is not ReasonCode.NO_NOTIFIER:
        parts.append(f"; and {reason.unserved.text}")
    return "".join(parts)


def _reserved(reason: Reason) -> str:
    reserved = reason.reserved
    if reserved is None:
        return ""
    text = f"; reserved on {listed(reserved.hosts, reserved.host_count)}"
    if reserved.start is None:
        return f"{text} until it starts"
    text += f" from about {clock(reserved.start, reason.now)}"
    count = reserved.waits_for_count
    if not count:
        return text
    jobs = "1 job" if count == 1 else f"{count} jobs"
    names = listed(reserved.waits_for, count) if reserved.waits_for else jobs
    return f"{text}, when {names} {'is' if count == 1 else 'are'} expected to end"


def _lead(reason: Reason) -> str:
    lead = reason.lead
    if lead is None:
        return ""
    shares = f"({lead.share:.1%} of the capacity against {lead.own_share:.1%})"
    if not lead.job:
        return f"; a later job goes first, as its owner used less for its weight {shares}"
    return (
        f"; {lead.job} came later but goes first, as its owner {lead.owner} used less for its "
        f"weight than {lead.own_owner} {shares}"
    )


def _source(trouble: SourceTrouble) -> str:
    """Say that a source's capacity is out of date, or known in part."""
    if not trouble.stale:
        return f"source {trouble.source}: {trouble.detail}"
    fails = f"fails: {trouble.cause}" if trouble.cause else "gives no newer one"
    age = "never known" if trouble.age is None else f"as of {trouble.age:.0f} s ago"
    return f"capacity {age}: source {trouble.source} {fails}"
