"""Reports in Redis: how far the events of a type are counted, and the hours and days they add to.

`report` has how far, `report:<step>` a step, each of its groups as JSON, and `reports` the names of
the steps, by when they are deleted. Counting costs the scripts that change jobs no command: their
events say how long a granted job waited, and how long an ended grant held what.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from rq_broker.domain.events import place_of
from rq_broker.domain.report_sums import Level, Sums
from rq_broker.domain.reports import LINE, Happening, ReportState, Step, Tally, merge
from rq_broker.store import records
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner

_Event = TypeVar("_Event")

_log = logging.getLogger(__name__)

BATCH = 1000
"""Events counted at once: some 150 KB, for which Redis serves nobody else for two milliseconds.
With fewer, more calls a second are needed where thousands of jobs a second are granted."""
SLICE = 100
"""Events read or counted before the event loop does what else is due: half a millisecond. A whole
batch would hold callbacks up for ten."""
_AT_ONCE = 50
"""Steps read at the same time."""


@dataclass(frozen=True, slots=True)
class ReportHead:
    """How far the events of a type are counted."""

    text: str
    """As it is stored; '' for nothing."""
    state: ReportState
    now: float
    """Redis's clock, seconds since 1970."""
    newest: str
    """ID of the newest event, '' if there is none."""
    is_damaged: bool = False
    """Whether what is stored cannot be read; counting begins anew from now on."""


@dataclass(frozen=True, slots=True)
class NewEvents:
    """Events behind those that were counted."""

    happenings: Sequence[Happening]
    last: str
    """ID of the last one; that of the last counted one if there are none."""
    gap_until: float | None
    """Until when events before them are gone, seconds since 1970; None if none are."""
    has_more: bool


class Reports:
    """Report_state, report_events, roll_up, report_steps, waiting_since."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def report_state(self, type_: str) -> ReportHead:
        """Read how far the events of a type are counted."""
        reply = await self._runner.run("report_state", type_)
        state, is_damaged = ReportState(), False
        if reply.state:
            try:
                state = msgspec.json.decode(reply.state, type=ReportState)
            except (msgspec.DecodeError, ValueError):  # nobody knows what was counted: begin here
                _log.error("type %s: its report is damaged, counting goes on from now", type_)
                is_damaged = True
                state = ReportState(cursor=reply.newest, since=reply.now / 1000)
        return ReportHead(reply.state, state, reply.now / 1000, reply.newest, is_damaged)

    async def report_events(self, type_: str, cursor: str, limit: int = BATCH) -> NewEvents:
        """Read the events behind one, oldest first."""
        key = Keys(type_).of("events")
        entries = await self._runner.command("XRANGE", key, cursor or "-", "+", "COUNT", limit + 1)
        has_more, gap_until = len(entries) > limit, None
        if cursor and not entries:  # the stream was deleted, or is older than what was counted
            entries = await self._runner.command("XRANGE", key, "-", "+", "COUNT", limit + 1)
            has_more = len(entries) > limit
        if cursor and entries:
            if entries[0][0] == cursor:
                entries = entries[1:]
            else:
                gap_until = place_of(entries[0][0])[0] / 1000
        entries = entries[:limit]
        happenings: list[Happening] = []
        async for some in in_slices(entries):
            happenings += records.readable(_happening, some)
        return NewEvents(happenings, entries[-1][0] if entries else cursor, gap_until, has_more)

    async def roll_up(self, type_: str, head: ReportHead, state: ReportState, tally: Tally) -> bool:
        """Add a tally to the steps; returns False, and adds nothing, if another notifier did."""
        steps = sorted(tally.steps)
        stored = await self.report_steps(type_, steps)
        rows = [_row(step, fields, tally) for step, fields in zip(steps, stored, strict=True)]
        reply = await self._runner.run(
            "roll_up",
            type_,
            known=head.text,
            state=msgspec.json.encode(state).decode(),
            now=int(head.now * 1000),
            steps=rows,
        )
        is_counted: bool = reply.is_counted
        return is_counted

    async def report_steps(self, type_: str, steps: Iterable[Step]) -> list[dict[str, str]]:
        """Read steps: group → JSON; empty for one without any."""
        keys = [Keys(type_).of("report", step.name) for step in steps]
        replies: list[Any] = []
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            replies += await asyncio.gather(*(self._runner.command("HGETALL", key) for key in some))
        return [records.pairs(reply) for reply in replies]

    async def waiting_since(self, type_: str, names: Mapping[int, str]) -> dict[int, float]:
        """Read since when jobs wait, by ID; `names`: ID → the job's name."""
        replies = await asyncio.gather(
            *(
                self._runner.command("HMGET", Keys(type_).of("job", name), "created", "joined")
                for name in names.values()
            )
        )
        since = {
            id_: joined or created for id_, (created, joined) in zip(names, replies, strict=True)
        }
        return {id_: int(time) / 1e6 for id_, time in since.items() if time}


async def in_slices(events: Sequence[_Event]) -> AsyncIterator[Sequence[_Event]]:
    """Yield some events at a time; between them the event loop does what else is due."""
    for start in range(0, len(events), SLICE):
        yield events[start : start + SLICE]
        await asyncio.sleep(0)


def sums_of(text: str) -> Sums:
    """Read sums as they are stored; damaged ones are logged, and taken for empty."""
    try:
        return msgspec.json.decode(text, type=Sums)
    except (msgspec.DecodeError, ValueError) as error:
        _log.error("skipping damaged sums of a report in Redis: %.200r: %r", text, error)
        return Sums()


def level_of(fields: Mapping[str, str]) -> Level:
    """Read the level of a step, of its fields; a damaged one likewise."""
    text = fields.get(LINE)
    try:
        return Level() if text is None else msgspec.json.decode(text, type=Level)
    except (msgspec.DecodeError, ValueError) as error:
        _log.error("skipping a damaged level of a report in Redis: %.200r: %r", text, error)
        return Level()


def _row(step: Step, stored: Mapping[str, str], tally: Tally) -> dict[str, Any]:
    groups, gone = merge(stored, tally.sums.get(step, {}), sums_of)
    fields: list[str] = []
    for group, sums in groups.items():
        fields += (group, msgspec.json.encode(_rounded(sums)).decode())
    if (added := tally.levels.get(step)) is not None:
        level = level_of(stored)
        level.add(added)
        fields += (LINE, msgspec.json.encode(level).decode())
    return {"step": step.name, "ends": step.forgotten * 1000, "gone": gone, "sums": fields}


def _rounded(sums: Sums) -> Sums:
    """Round to ms: sums of many spans grow long tails of digits."""
    sums.waited = round(sums.waited, 3)
    sums.held = {name: round(amount, 3) for name, amount in sums.held.items()}
    return sums


def _happening(entry: Any) -> Happening:
    id_, flat = entry
    fields = records.pairs(flat)
    size = fields.get("size")
    return Happening(
        place_of(id_)[0] / 1000,
        fields["status"],
        fields.get("from", ""),
        fields.get("owner", ""),
        int(fields.get("jobs", 1)),
        _seconds(fields.get("waited")),
        _seconds(fields.get("held")),
        int(size) if size else None,
        _amounts(fields.get("amounts")),
    )


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None


def _amounts(text: str | None) -> Mapping[str, int]:
    if not text:
        return {}
    lines = (line.rpartition("/") for line in text.split("\n"))
    return {resource: int(amount) for resource, _, amount in lines}
