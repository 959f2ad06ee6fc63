"""From Redis to the planner: what a pass sees of a type."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rq_broker.broker import Broker, Heads, View
from rq_broker.keys import request_id_of
from rq_broker.models import Snapshot

FIRST = 200
"""Shapes at the front of the line that every pass looks at, so that order and patience hold. Those
of the first so many jobs are among them, however many shapes tie with theirs."""
WINDOW = 800
"""Further shapes a pass looks at; the next pass goes on where it stopped."""
JOBS = 8
"""Jobs of one shape a pass looks at, at first: most passes grant few."""
MOST_JOBS = 256
"""What that grows to while passes grant all they look at."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One type as a pass sees it, and the rank of the shape the next window begins at."""

    snapshot: Snapshot
    view: View
    next: int


async def picture(
    broker: Broker,
    type_: str,
    known: View | None = None,
    window: int = FIRST,
    *,
    jobs: int = JOBS,
    about: str = "",
) -> Picture:
    """Read what a pass needs, in one exchange; a second one where more shapes wait than fit.

    `about` names a job whose shape must be among them.
    """
    limited = known is None or bool(known.policy.limits or known.policy.share)
    view, front, now = await asyncio.gather(
        broker.view(type_, known, usage=limited),
        broker.heads(type_, 0, FIRST + WINDOW, jobs, FIRST),
        broker.now(),
    )
    if not limited and (view.policy.limits or view.policy.share):
        return await picture(broker, type_, None, window, jobs=jobs, about=about)
    heads, after = front, FIRST
    if front.total > FIRST + WINDOW and window > FIRST:
        rest = await broker.heads(type_, window, WINDOW, jobs)
        heads = _joined(front, rest)
        after = window + WINDOW if window + WINDOW < front.total else FIRST
    elif front.total > FIRST + WINDOW:
        after = FIRST + WINDOW
    if view.protection is not None:  # what is kept for it binds every window
        protected = request_id_of(view.protection.member)
        heads = await _with_shape_of(broker, type_, heads, protected, jobs)
    if about:
        heads = await _with_shape_of(broker, type_, heads, about, jobs)
    snapshot = Snapshot(
        hosts=view.hosts,
        waiting=heads.waiting,
        policy=view.policy,
        now=now,
        usage=view.usage,
        passed=heads.passed,
        protection=view.protection,
        closed=view.closed,
    )
    return Picture(snapshot, view, after)


def _joined(front: Heads, rest: Heads, keep: int = FIRST) -> Heads:
    """Put a later window behind the front of the line, each shape once."""
    kept = front.waiting[:keep]
    seen = {each.digest for each in kept}
    more = tuple(each for each in rest.waiting if each.digest not in seen)
    return Heads(front.total, kept + more, {**rest.passed, **front.passed})


async def _with_shape_of(broker: Broker, type_: str, heads: Heads, name: str, jobs: int) -> Heads:
    """Have this job's shape in the window, wherever it waits."""
    if any(name == head.request_id for each in heads.waiting for head in each.heads):
        return heads
    rank = await broker.shape_rank(type_, name)
    if rank is None:
        return heads
    return _joined(heads, await broker.heads(type_, rank, 1, jobs), len(heads.waiting))
