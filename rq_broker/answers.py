"""What the broker answers about waiting: why, for what, how long; and what would be if.

All of it asks the planner that makes the grants, on a picture of this moment; nothing is written
but the forecast, which is judged when the job is granted.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from rq_broker import errors
from rq_broker.broker import Broker, Holdings
from rq_broker.models import Demand, Job, Proposal, Snapshot, SourceState, Status
from rq_broker.outlook import picture
from rq_broker.planner import (
    ETA,
    IMAGINED,
    Code,
    Explanation,
    Move,
    Reason,
    Running,
    could_ever_fit,
    explain,
    make_room,
    moves,
    plan,
    reordered,
    simulate,
    with_job,
)

HOLDERS = 50
"""Holders named at most in one explanation."""
PASSING = 1.0
"""Seconds by which a grant may come before the note that it passed somebody."""
LINE = 100
"""Jobs of one shape an answer looks at: more than a pass, for the ETA of those behind."""
DEPTH = 1000
"""Jobs of one shape a what-if looks at."""
OF_CAPACITY = {Code.NO_FIT, Code.IMPOSSIBLE, Code.PROTECTED_OTHER, Code.STRICT_ORDER}
"""The reasons that would be others if hosts had more."""
BEHIND = "earlier jobs of the same shape go first"
SOON = "it fits, and is about to be granted"


async def reason(broker: Broker, type_: str, job: Job) -> str | None:
    """Say in plain words why a job waits; None for jobs that do not."""
    if job.status is not Status.QUEUED:
        return None
    seen, stale = await asyncio.gather(
        picture(broker, type_, jobs=1, about=job.request_id), staleness(broker, type_)
    )
    planned = plan(seen.snapshot)
    found = planned.reasons.get(job.shape)
    if found is not None:
        return _dated(found, stale)
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


def _dated(reason: Reason, stale: str) -> str:
    return reason.text + stale if reason.code in OF_CAPACITY else reason.text


class Warnings:
    """Says at submit what no host could ever hold; a verdict lasts until capacity changes."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._verdicts: dict[tuple[str, Demand], tuple[str, str | None]] = {}

    async def warning(self, demand: Demand, job: Job) -> str | None:
        """Return the warning for a job just submitted, or None; a type without hosts has none."""
        key = (job.type, demand)
        known = self._verdicts.get(key)
        if known is None or known[0] != job.capacity_number:
            hosts = {host.name: host for host in await self._broker.hosts(job.type)}
            found = could_ever_fit(hosts, demand) if hosts else None
            known = (job.capacity_number, found.text if found else None)
            if len(self._verdicts) >= DEPTH:
                self._verdicts.clear()
            self._verdicts[key] = known
        return known[1]


async def explanation(broker: Broker, type_: str, job: Job) -> dict[str, Any]:
    """Answer everything there is to say about a waiting job. Raises NotWaiting for others."""
    if job.status is not Status.QUEUED:
        raise errors.NotWaiting(f"{job.request_id} is {job.status}, not queued")
    began = time.monotonic()
    seen, holdings, index, stale = await asyncio.gather(
        picture(broker, type_, jobs=LINE, about=job.request_id),
        broker.holdings(type_),
        broker.index_in_shape(type_, job),
        staleness(broker, type_),
    )
    if all(each.digest != job.shape for each in seen.snapshot.waiting):
        raise errors.NotWaiting(f"{job.request_id} left the line just now")
    told = explain(seen.snapshot, job.shape)
    target = (job.shape, index)
    eta = await _simulated(seen.snapshot, holdings, target, job.id)
    took = time.monotonic() - began
    left = None if eta.p90 is None else max(eta.p90 - took, 0.0)
    kept, missed = await broker.forecast(type_, job, left)
    return {
        "position": job.position,
        "jobs_of_its_shape_before": index,
        **_told(told, holdings, stale),
        "passed_by": await _passers(broker, type_, seen.snapshot, told, holdings),
        "eta": _eta(eta),
        "eta_accuracy": {"within_p90": kept, "beyond_p90": missed},
    }


async def _passers(
    broker: Broker, type_: str, snapshot: Snapshot, told: Explanation, holdings: Holdings
) -> list[str]:
    """Name who passes the explained job: those that hold hosts it could want, and are about to."""
    if told.passed_since is None:
        return list(told.passed_by)
    own = next(key for name, key in _keys(snapshot) if name == told.request_id)
    since = snapshot.now - told.passed_since + PASSING
    recent = [h for h in holdings.holders if h.age <= since and told.pool & h.holds.keys()]
    recent = sorted(recent, key=lambda holder: holder.age)[:HOLDERS]
    read = (broker.read(type_, holder.request_id) for holder in recent)
    jobs = [job for job in await asyncio.gather(*read, return_exceptions=True)
            if isinstance(job, Job) and (job.priority, job.id) > own]  # fmt: skip
    return [*(job.request_id for job in jobs), *told.passed_by]


async def what_if(broker: Broker, type_: str, proposal: Proposal) -> dict[str, Any]:
    """Answer for a job not submitted, or whose ETA a reorder moves; nothing is written."""
    about = proposal.request_id or ""
    seen, holdings, stale = await asyncio.gather(
        picture(broker, type_, jobs=DEPTH if about else LINE, about=about),
        broker.holdings(type_),
        staleness(broker, type_),
    )
    snapshot, priority = await _room(broker, type_, proposal, seen.snapshot)
    if proposal.shape is None:
        return await _reordered(snapshot, holdings, about, priority)
    imagined = with_job(snapshot, proposal.shape, priority)
    told = explain(imagined, IMAGINED)
    eta = await _simulated(imagined, holdings, (IMAGINED, 0), 0)
    impossible = could_ever_fit(seen.snapshot.hosts, proposal.shape.demand)
    return {
        **_told(told, holdings, stale),
        "impossible": impossible.text if impossible else None,
        "eta": _eta(eta),
    }


async def _room(
    broker: Broker, type_: str, proposal: Proposal, snapshot: Snapshot
) -> tuple[Snapshot, int]:
    """Make room where the proposed job is to stand; returns the line then, and its priority."""
    if proposal.priority is not None:
        return snapshot, proposal.priority
    own = next((key for name, key in _keys(snapshot) if name == proposal.request_id), None)
    before = await _before(broker, type_, proposal.position, own)
    if before is not None:
        return make_room(snapshot, before)
    first = await broker.key_at(type_, 1)
    return snapshot, first[0] - 1 if first else 0


def _keys(snapshot: Snapshot) -> Iterator[tuple[str, tuple[int, int]]]:
    return (
        (head.request_id, (head.priority, head.id))
        for entry in snapshot.waiting
        for head in entry.heads
    )


async def _before(
    broker: Broker, type_: str, position: int | str | None, own: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Find whom a job at this position stands behind; None: nobody. `own` is where it is now."""
    if position in ("front", 1):
        return None
    ahead = int(position or 0) - 1 if position != "back" else 0
    found = await broker.key_at(type_, ahead) if ahead > 0 else None
    if found and own and own <= found:  # it leaves a place before
        found = await broker.key_at(type_, ahead + 1)
    return found or await broker.key_at(type_, 0)


async def _reordered(
    snapshot: Snapshot, holdings: Holdings, request_id: str, priority: int
) -> dict[str, Any]:
    try:
        after = reordered(snapshot, request_id, priority)
    except KeyError:
        raise errors.NotWaiting(
            f"{request_id} does not wait, or over {DEPTH} jobs of its shape do before it"
        ) from None
    found = await asyncio.to_thread(
        moves, snapshot, after, _running(holdings), holdings.history, Random(0)
    )
    return {"moves": [_move(each) for each in found]}


async def _simulated(
    snapshot: Snapshot, holdings: Holdings, target: tuple[str, int], seed: int
) -> ETA:
    """Simulate in a thread: it may take seconds, and others have requests too."""
    work = functools.partial(
        simulate, snapshot, _running(holdings), holdings.history, target, Random(seed)
    )
    return await asyncio.to_thread(work)


def _running(holdings: Holdings) -> Sequence[Running]:
    return [Running(each.holds, each.age, each.owner_id) for each in holdings.holders]


def _told(told: Explanation, holdings: Holdings, stale: str) -> dict[str, Any]:
    largest, why = told.largest, told.reason
    return {
        "reason": {"code": why.code, "text": _dated(why, stale)} if why else None,
        "explains": told.request_id,
        "hosts": told.hosts,
        "shortfalls": [
            {"host": s.host, "resource": s.resource, "needed": s.needed, "free": s.free}
            for s in told.shortfalls
        ],
        "holders": _holders(told, holdings),
        "protected": told.protected,
        "passed_since": told.passed_since,
        "passed_by": told.passed_by,
        "largest": largest
        and {
            "instances": largest.instances,
            "percent": largest.percent,
            "scaled": largest.demand and [dict(each) for each in largest.demand.instances],
        },
    }


def _holders(told: Explanation, holdings: Holdings) -> list[dict[str, Any]]:
    """Name who holds what is missing."""
    missing = {(each.host, each.resource) for each in told.shortfalls}
    found = [
        {"request_id": h.request_id, "owner_id": h.owner_id, "seconds": h.age,
         "host": host, "resource": resource, "amount": amount}
        for h in holdings.holders
        for host, amounts in h.holds.items()
        for resource, amount in amounts.items()
        if (host, resource) in missing
    ]  # fmt: skip
    return found[:HOLDERS]


def _eta(eta: ETA) -> dict[str, Any]:
    return {"p50": eta.p50, "p90": eta.p90, "reason": eta.reason}


def _move(move: Move) -> dict[str, Any]:
    return {
        "request_id": move.request_id,
        "before": _eta(move.before),
        "after": _eta(move.after),
        "seconds": move.seconds,
    }
