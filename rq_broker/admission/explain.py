"""What the broker answers when asked: for what a job waits and how long yet; what would be if.

All of it asks the planner that makes the grants, on a picture of this moment; nothing is written
but the forecast, which is judged when the job is granted. Answers may take seconds, so they are
found in a thread, one at a time: everybody else's requests go on beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from rq_broker.admission.snapshot import Outlook
from rq_broker.admission.waiting_reason import dated, staleness
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.planning import Proposal, Snapshot
from rq_broker.planner import (
    ETA,
    IMAGINED,
    Explanation,
    Move,
    Running,
    could_ever_fit,
    explain,
    make_room,
    moves,
    reordered,
    simulate,
    with_job,
)
from rq_broker.store.broker import Broker, Holdings

HOLDERS = 50
"""Holders named at most in one explanation."""
PASSING = 1.0
"""Seconds by which a grant may come before the note that it passed somebody."""
LINE = 100
"""Jobs of one shape an answer looks at: more than a pass, for the ETA of those behind."""
DEPTH = 1000
"""Jobs of its own shape among which a what-if can find the one to put elsewhere."""


class Answers:
    """What one process answers."""

    def __init__(self, outlook: Outlook) -> None:
        self._outlook = outlook
        self._broker = outlook.broker
        self._one = asyncio.Lock()

    async def explanation(self, type_: str, request_id: str) -> dict[str, Any]:
        """Answer everything there is to say about a waiting job. Raises NotWaiting for others."""
        async with self._one:
            began, broker = time.monotonic(), self._broker
            job = await broker.read(type_, request_id)
            if job.status is not Status.QUEUED:
                raise errors.NotWaiting(f"{request_id} is {job.status}, not queued")
            seen, holdings, index, stale = await asyncio.gather(
                self._outlook.picture(type_, jobs=LINE, about=[job.shape]),
                broker.holdings(type_),
                broker.index_in_shape(type_, job),
                staleness(broker, type_),
            )
            snapshot = seen.snapshot
            if all(each.digest != job.shape for each in snapshot.waiting):
                raise errors.NotWaiting(f"{request_id} left the line just now")
            target = (job.shape, index)
            told, eta = await asyncio.to_thread(_foreseen, snapshot, holdings, target, job.id)
            took = time.monotonic() - began
        left = None if eta.p90 is None else max(eta.p90 - took, 0.0)
        kept, missed = await broker.forecast(type_, job, left)
        return {
            "position": job.position,
            "jobs_of_its_shape_before": index,
            **_told(told, holdings, stale),
            "passed_by": await _passers(broker, type_, snapshot, told, holdings),
            "eta": _eta(eta),
            "eta_accuracy": {"within_p90": kept, "beyond_p90": missed},
        }

    async def what_if(self, type_: str, proposal: Proposal) -> dict[str, Any]:
        """Answer for a job not submitted, or whose ETA a reorder moves; nothing is written."""
        async with self._one:
            broker, name = self._broker, proposal.request_id
            shape = await broker.shape_of(type_, name) if name else None
            about = [] if shape is None else [shape]
            seen, holdings, stale = await asyncio.gather(
                self._outlook.picture(type_, jobs=LINE, about=about, depth=DEPTH),
                broker.holdings(type_),
                staleness(broker, type_),
            )
            snapshot, priority = await _room(broker, type_, proposal, seen.snapshot)
            if proposal.shape is None:
                return await asyncio.to_thread(_reordered, snapshot, holdings, name or "", priority)
            imagined = with_job(snapshot, proposal.shape, priority)
            told, eta = await asyncio.to_thread(_foreseen, imagined, holdings, (IMAGINED, 0), 0)
        impossible = could_ever_fit(seen.snapshot.hosts, proposal.shape.demand)
        return {
            **_told(told, holdings, stale),
            "impossible": impossible.text if impossible else None,
            "eta": _eta(eta),
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


async def _room(
    broker: Broker, type_: str, proposal: Proposal, snapshot: Snapshot
) -> tuple[Snapshot, int]:
    """Make room where the proposed job is to stand; returns the line then, and its priority."""
    if proposal.priority is not None:
        return snapshot, proposal.priority
    own = next((key for name, key in _keys(snapshot) if name == proposal.request_id), None)
    before = await _before(broker, type_, proposal.position, own)
    if before is not None:
        return await asyncio.to_thread(make_room, snapshot, before)
    first = await broker.place_at(type_, 1)
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
    found = await broker.place_at(type_, ahead) if ahead > 0 else None
    if found and own and own <= found:  # it leaves a place before
        found = await broker.place_at(type_, ahead + 1)
    return found or await broker.place_at(type_, 0)


def _reordered(
    snapshot: Snapshot, holdings: Holdings, request_id: str, priority: int
) -> dict[str, Any]:
    try:
        after = reordered(snapshot, request_id, priority)
    except KeyError:
        raise errors.NotWaiting(
            f"{request_id} does not wait, or over {DEPTH} jobs of its shape do before it"
        ) from None
    found = moves(
        snapshot, after, _running(holdings), holdings.history, Random(0), clock=time.thread_time
    )
    return {"moves": [_move(each) for each in found]}


def _foreseen(
    snapshot: Snapshot, holdings: Holdings, target: tuple[str, int], seed: int
) -> tuple[Explanation, ETA]:
    """Explain a shape, and forecast one job of it: `target` is the shape and the job's index."""
    running, clock = _running(holdings), time.thread_time
    eta = simulate(snapshot, running, holdings.history, target, Random(seed), clock=clock)
    return explain(snapshot, target[0]), eta


def _running(holdings: Holdings) -> Sequence[Running]:
    return [Running(each.holds, each.age, each.owner_id) for each in holdings.holders]


def _told(told: Explanation, holdings: Holdings, stale: str) -> dict[str, Any]:
    largest, why = told.largest, told.reason
    return {
        "reason": {"code": why.code, "text": dated(why, stale)} if why else None,
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
