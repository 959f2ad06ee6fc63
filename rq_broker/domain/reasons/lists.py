"""Parts of sentences: names joined, hosts described, times of the clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rq_broker.domain.reasons.values import Where

NAMED = 3
"""Hosts, or jobs, that a sentence names before it counts the others."""


def listed(names: Sequence[str], count: int) -> str:
    """Join names as a sentence does, the first few if there are many; `count` of them in all."""
    shown = list(names[:NAMED])
    if count > NAMED:
        shown.append(f"{count - NAMED} more")
    *earlier, last = shown
    return f"{', '.join(earlier)} and {last}" if earlier else last


def clock(seconds: float, now: float) -> str:
    """Write a time of today as 14:20 UTC, another one with its date."""
    when, today = datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now, UTC)
    return f"{when:%H:%M} UTC" if when.date() == today.date() else f"{when:%Y-%m-%d %H:%M} UTC"


def amounts(pairs: Iterable[tuple[str, int]]) -> str:
    """Write amounts: `Memory 4 and VCPU 4`."""
    return " and ".join(f"{resource} {amount}" for resource, amount in pairs)


def of_hosts(where: Where) -> str:
    """Say which hosts a demand may use, '' if any."""
    aggregates = [where.aggregate] if where.aggregate else []
    if where.any_aggregate:
        aggregates.append(" or ".join(where.any_aggregate))
    of_aggregates = " and of ".join(aggregates)
    text = f" of aggregate {of_aggregates}" if aggregates else ""
    return text + _with_traits(where.require, where.forbid, "trait")


def of_instance(where: Where) -> str:
    """Say which hosts the one instance may use, '' if any of these."""
    return _with_traits(where.instance_require, where.instance_forbid, "the instance's trait")


def of_both(where: Where) -> str:
    """Say which hosts the one instance of the demand may use, '' if any."""
    return of_hosts(where) + of_instance(where)


def _with_traits(require: Sequence[str], forbid: Sequence[str], noun: str) -> str:
    """Say what hosts must have and must not have: ` with trait A and B, without trait C`."""
    parts = [
        f"{word} {noun} {' and '.join(names)}"
        for word, names in (("with", require), ("without", forbid))
        if names
    ]
    return f" {', '.join(parts)}" if parts else ""
