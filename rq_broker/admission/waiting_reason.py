"""Why a job waits, said with every read of it; and at submit, what no host could ever hold.

Both ask the planner that makes the grants. Readers come in crowds: those who ask at once are told
from one plan, and plans leave most of a process's time to everybody else.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from rq_broker.admission.snapshot import Outlook
from rq_broker.domain import errors
from rq_broker.domain.capacity import SourceState
from rq_broker.domain.jobs import Demand, Job, Status
from rq_broker.planner import Code, Plan, Reason, could_ever_fit, plan
from rq_broker.store.broker import Broker

OF_CAPACITY = {Code.NO_FIT, Code.IMPOSSIBLE, Code.PROTECTED_OTHER, Code.STRICT_ORDER}
"""The reasons that would be others if hosts had more."""
BEHIND = "earlier jobs of the same shape go first"
SOON = "it fits, and is about to be granted"
REST, REST_MOST = 4.0, 0.5
"""After a look no other begins for so many times as long as it took, at most so many seconds."""
WAIT_SECONDS = 1.5
"""How long a reader waits for a look."""
VERDICTS = 1000
"""Verdicts on demands that one process remembers."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A look that is about to be taken: the shapes it is for, and what it will find."""

    shapes: set[str]
    found: asyncio.Task[tuple[Plan, str]]


class Reasons:
    """Says why jobs wait."""

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._next: dict[str, _Look] = {}
        self._one = asyncio.Lock()
        self._rested = 0.0

    async def reason(self, type_: str, job: Job) -> str | None:
        """Say in plain words why a job waits; None for jobs that do not."""
        if job.status is not Status.QUEUED:
            return None
        look = self._next.get(type_)
        if look is None:
            shapes = set[str]()
            look = _Look(shapes, asyncio.create_task(self._look(type_, shapes)))
            self._next[type_] = look
        look.shapes.add(job.shape)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                planned, stale = await asyncio.shield(look.found)
        except TimeoutError:
            raise errors.Unavailable("there is no look at the line in time") from None
        return _said(planned, job, stale)

    async def _look(self, type_: str, shapes: set[str]) -> tuple[Plan, str]:
        async with self._one:
            await asyncio.sleep(self._rested - time.monotonic())
            del self._next[type_]  # who asks from now on shares the next one
            began = time.monotonic()
            seen, stale = await asyncio.gather(
                self._outlook.picture(type_, jobs=1, about=shapes),
                staleness(self._outlook.broker, type_),
            )
            planned = plan(seen.snapshot)
            now = time.monotonic()
            self._rested = now + min(REST * (now - began), REST_MOST)
            return planned, stale


def _said(planned: Plan, job: Job, stale: str) -> str:
    found = planned.reasons.get(job.shape)
    if found is not None:
        return dated(found, stale)
    first = any(grant.head.request_id == job.request_id for grant in planned.grants)
    return SOON + stale if first else BEHIND


async def staleness(broker: Broker, type_: str) -> str:
    """Say of which sources the capacity is an old story, to be put behind a reason; or ''."""
    told = [_stale(each) for each in await broker.sources(type_) if each.stale]
    return f" ({'; '.join(told)})" if told else ""


def _stale(source: SourceState) -> str:
    trouble = f"fails: {source.cause}" if source.cause else "gives no newer one"
    age = "never known" if source.age is None else f"as of {source.age:.0f} s ago"
    return f"capacity {age}: source {source.name} {trouble}"


def dated(reason: Reason, stale: str) -> str:
    """Put behind a reason, where capacity is it, how old the story is; see `staleness`."""
    return reason.text + stale if reason.code in OF_CAPACITY else reason.text


class Warnings:
    """Says at submit what no host could ever hold; a verdict lasts until capacity changes."""

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._verdicts: dict[tuple[str, Demand], tuple[str, str | None]] = {}

    async def warning(self, demand: Demand, job: Job) -> str | None:
        """Return the warning for a job just submitted, or None; a type without hosts has none."""
        key = (job.type, demand)
        known = self._verdicts.get(key)
        if known is None or known[0] != job.capacity_number:
            hosts = await self._outlook.hosts(job.type)
            found = could_ever_fit(hosts, demand) if hosts else None
            known = (job.capacity_number, found.text if found else None)
            if len(self._verdicts) >= VERDICTS:
                self._verdicts.clear()
            self._verdicts[key] = known
        return known[1]
