"""What jobs hold, and how long ended jobs held: what predictions are made of and learned from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from rq_broker.domain.devices import amounts_by_host
from rq_broker.domain.holding_times import Observation
from rq_broker.domain.job_holds import FailedCallback, JobHold
from rq_broker.domain.jobs import Demand, Shape, Status
from rq_broker.store import device_records, records
from rq_broker.store.keys import Keys
from rq_broker.store.names import Names, owners_argument
from rq_broker.store.runner import Runner

_CACHED_CHARACTERS = 1024
"""Text of a shape up to which its demand is cached: running jobs repeat a few shapes. With longer
ones 4,096 entries could fill hundreds of megabytes."""
_JOBS = 100
"""Jobs read with one call, which takes Redis one or two milliseconds; it serves nobody else
meanwhile. With fewer, a first read of 50,000 would take more than 500 calls."""
_ENTRIES = 1000
"""Holding times read with one command, which takes Redis about a millisecond."""


@dataclass(frozen=True, slots=True)
class RunningHold:
    """A job that holds capacity, with all that its grant gave it."""

    id: int
    request_id: str
    owner: str
    granted: float
    """When it was granted, seconds since 1970."""
    amounts: Mapping[str, Mapping[str, int]]
    """Host → resource → amount; and device → amount, where the host has it in devices."""
    demand: Demand
    predicted: float | None
    """Seconds that it is predicted to hold, from its grant on; None if nothing was predicted."""
    predicted_from: str
    """What the prediction rests on, in a word; '' for nothing."""
    demand_key: str
    """Digest of its demand, as the grant was given it; '' for none."""
    size: int | None
    """Its size class, as the grant was given it."""
    expected: float | None
    """Seconds that it says it will hold."""
    array: str = ""
    """Its array, where that limits how many of its jobs hold."""


@dataclass(frozen=True, slots=True)
class EndedHolds:
    """Ended holds, the oldest first."""

    holds: tuple[Observation, ...]
    last: str | None
    """ID to read on from; None if there is none yet."""
    is_whole: bool
    """Whether these are all that are kept, not only those after the ID that was asked for."""


@dataclass(frozen=True, slots=True)
class ChangedHolds:
    """The jobs that changed since an event; `is_known` is false if that cannot be told any more."""

    last: str
    """ID of the last event."""
    is_known: bool
    has_more: bool
    ended: Sequence[str]
    """The request_ids of jobs that hold nothing now."""
    holds: Sequence[RunningHold]


class Holds:
    """Running_holds, changed_holds, job_hold, holding_times."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._names = Names(runner)

    async def running_holds(
        self, type_: str, status: Status, cursor: str = "0", limit: int = _JOBS
    ) -> tuple[str, list[RunningHold]]:
        """Read about `limit` jobs of a status that hold; a few may be read twice.

        Returns:
            The cursor of the next part, `0` if there is none; and the jobs.
        """
        reply = await self._runner.run(
            "running_holds", type_, status=status, cursor=cursor, limit=limit
        )
        return reply.cursor, records.readable(_running_hold, reply.holds)

    async def changed_holds(
        self, type_: str, since: str | None, limit: int = _JOBS
    ) -> ChangedHolds:
        """Read the jobs that changed since an event; of `limit` events at most."""
        reply = await self._runner.run("changed_holds", type_, since=since, limit=limit)
        holds = records.readable(_running_hold, reply.holds)
        return ChangedHolds(reply.last, reply.is_known, reply.has_more, reply.ended, holds)

    async def job_hold(
        self, type_: str, request_id: str, owners: Collection[str] | None = None
    ) -> JobHold:
        """Read what has become of one job's grant, which is as of Jobs.read. Raises JobNotFound."""
        name = await self._names.stored(type_, request_id, owners)
        reply = await self._runner.run(
            "job_hold", type_, request_id=name, owners=owners_argument(owners)
        )
        named = reply.now if reply.named is None else int(reply.named)
        lost, since = reply.hold_lost, reply.since
        return JobHold(
            name,
            Status(reply.status),
            tuple(orjson.loads(reply.hosts or "[]")),
            records.amounts_by_host(records.pairs(reply.held)),
            records.amounts_by_host(records.pairs(reply.seen)),
            unheld=records.amounts_by_host(records.pairs(reply.unheld)),
            lost_for=None if lost is None else max(reply.now - int(lost), 0) / 1000,
            servers=tuple(reply.servers.split()),
            unseen=tuple(reply.unseen.split()),
            named_for=max(reply.now - named, 0) / 1000,
            running_for=None if since is None else max(reply.now - int(since), 0) / 1000,
            expected=_seconds(reply.expected),
            missed_by=reply.missed_by or "",
            callback=next((_failed(row, reply.now) for row in reply.callback), None),
        )

    async def holding_times(self, type_: str, after: str | None = None) -> EndedHolds:
        """Read how long ended jobs held.

        Args:
            type_: The type.
            after: `last` of an earlier answer: only what came later is read, unless that entry is
                gone, because it was trimmed or Redis was restored.
        """
        entries = await self._entries(Keys(type_).of("holding_times"), after or "-")
        is_whole = after is None or not entries or entries[0][0] != after
        if not is_whole:
            entries = entries[1:]
        elif after is not None:
            entries = await self._entries(Keys(type_).of("holding_times"), "-")
        last = entries[-1][0] if entries else None if is_whole else after
        known = [entry for entry in entries if records.pairs(entry[1]).get("size")]
        return EndedHolds(tuple(records.readable(_observation, known)), last, is_whole)

    async def _entries(self, stream: str, start: str) -> list[tuple[str, Any]]:
        """Read a stream from an ID on, to its end."""
        entries: list[tuple[str, Any]] = []
        while True:
            page = await self._runner.command("XRANGE", stream, start, "+", "COUNT", _ENTRIES)
            entries += page
            if len(page) < _ENTRIES:
                return entries
            start = f"({page[-1][0]}"


def _failed(row: Any, now: int) -> FailedCallback:
    next_try = row.next_try / 1000 or None
    return FailedCallback(row.destination, row.attempts, row.cause, next_try, now / 1000)


def _running_hold(row: Any) -> RunningHold:
    shape, names = _shape_of(row.demand), orjson.loads(row.hosts)
    demand, at_once = shape.demand, shape.at_once
    return RunningHold(
        id=int(row.id),
        request_id=row.request_id,
        owner=row.owner,
        granted=int(row.granted) / 1000,
        amounts=amounts_by_host(
            names,
            demand.granted(int(row.alternative or 0), len(names)).instances,
            device_records.choices(row.devices or ""),
        ),
        demand=demand,
        predicted=_seconds(row.predicted),
        predicted_from=row.predicted_from or "",
        demand_key=row.demand_key or "",
        size=None if row.size is None else int(row.size),
        expected=_seconds(row.expected),
        array=at_once.array if at_once else "",
    )


def _shape_of(text: str) -> Shape:
    return (_parse if len(text) <= _CACHED_CHARACTERS else _parse.__wrapped__)(text)


@lru_cache(4096)
def _parse(text: str) -> Shape:
    return Shape.parse(text)


def _observation(entry: tuple[str, Any]) -> Observation:
    fields = records.pairs(entry[1])
    return Observation(
        fields["owner"],
        fields["demand_key"],
        int(fields["size"]),
        int(fields["milliseconds"]) / 1000,
        _seconds(fields.get("expected") or None),
    )


def _seconds(milliseconds: str | None) -> float | None:
    return None if milliseconds is None else int(milliseconds) / 1000
