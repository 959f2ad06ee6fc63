"""From Redis to the planner: what a pass sees of a type."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from rq_broker.domain.capacity import Host
from rq_broker.domain.planning import Protection, Snapshot
from rq_broker.store.broker import Broker, Heads, View

FIRST = 200
"""Shapes at the front of the line that every pass looks at, so that order and patience hold. Those
of the first so many jobs are among them, however many shapes tie with theirs."""
WINDOW = 800
"""Further shapes a pass looks at; the next pass goes on where it stopped."""
JOBS = 8
"""Jobs of one shape a pass looks at, at first: most passes grant few."""
MOST_JOBS = 256
"""What that grows to while passes grant all they look at."""
KEPT = 100
"""Types whose hosts one process remembers."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One type as a pass sees it, and the rank of the shape the next window begins at."""

    snapshot: Snapshot
    view: View
    next: int


class Outlook:
    """What one process sees of types. It keeps the hosts, so a look brings only what changed."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._views: dict[str, View] = {}

    async def picture(
        self, type_: str, *, jobs: int, about: Collection[str] = (), depth: int = 0
    ) -> Picture:
        """Look at a type; see the function `picture`."""
        known = self._views.get(type_)
        seen = await picture(self.broker, type_, known, jobs=jobs, about=about, depth=depth)
        self._keep(type_, seen.view)
        return seen

    async def hosts(self, type_: str) -> Mapping[str, Host]:
        """Look at a type's hosts only."""
        view = await self.broker.view(type_, self._views.get(type_))
        self._keep(type_, view)
        return view.hosts

    def _keep(self, type_: str, view: View) -> None:
        if type_ not in self._views and len(self._views) >= KEPT:
            self._views.clear()
        self._views[type_] = view


async def picture(
    broker: Broker,
    type_: str,
    known: View | None = None,
    window: int = FIRST,
    *,
    jobs: int = JOBS,
    about: Collection[str] = (),
    depth: int = 0,
) -> Picture:
    """Read what a pass needs, in one exchange; a second one where more shapes wait than fit.

    `about` names shapes, by digest, that must be among them, with `depth` jobs where that is more.
    """
    limited = known is None or bool(known.policy.limits or known.policy.share)
    view, front, now = await asyncio.gather(
        broker.view(type_, known, usage=limited),
        broker.heads(type_, 0, FIRST + WINDOW, jobs, FIRST),
        broker.now(),
    )
    if not limited and (view.policy.limits or view.policy.share):
        return await picture(broker, type_, None, window, jobs=jobs, about=about, depth=depth)
    heads, after = front, FIRST
    if front.total > FIRST + WINDOW and window > FIRST:
        rest = await broker.heads(type_, window, WINDOW, jobs)
        heads = _joined(front, rest)
        after = window + WINDOW if window + WINDOW < front.total else FIRST
    elif front.total > FIRST + WINDOW:
        after = FIRST + WINDOW
    if view.protection is not None:  # what is kept for it binds every window
        about = {*about, *await _protected(broker, type_, view.protection)}
    for shape in about:
        heads = await _with_shape(broker, type_, heads, shape, max(jobs, depth))
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


def _joined(front: Heads, rest: Heads) -> Heads:
    """Put a later window behind the front of the line, each shape once."""
    kept = front.waiting[:FIRST]
    seen = {each.digest for each in kept}
    more = tuple(each for each in rest.waiting if each.digest not in seen)
    return Heads(front.total, kept + more, {**rest.passed, **front.passed})


async def _protected(broker: Broker, type_: str, protection: Protection) -> Collection[str]:
    """Find the shape of the job that hosts are kept for."""
    shape = await broker.shape_of(type_, protection.request_id)
    return () if shape is None else (shape,)


async def _with_shape(broker: Broker, type_: str, heads: Heads, shape: str, jobs: int) -> Heads:
    """Have so many jobs of this shape in the window, wherever it waits."""
    shown = next((each for each in heads.waiting if each.digest == shape), None)
    if shown is not None and len(shown.heads) >= min(jobs, shown.count):
        return heads
    rank = await broker.shape_rank(type_, shape)
    if rank is None:
        return heads
    found = await broker.heads(type_, rank, 1, jobs)
    waiting = {each.digest: each for each in (*heads.waiting, *found.waiting)}
    return Heads(heads.total, tuple(waiting.values()), {**found.passed, **heads.passed})
