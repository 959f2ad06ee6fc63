"""The events of one type, read once for all who follow them in this process.

Each read begins with the last event that was read before. Redis trims a stream from its oldest end,
so if that one is still there, nothing is missing; if it is not, the followers are told of a gap.
Nothing is read while nothing changes: Redis says when the stream does, see Tracking in multiplexer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from rq_broker.domain.errors import BrokerError
from rq_broker.domain.events import LOST, Event, gap, place_of, statuses_of
from rq_broker.store import records
from rq_broker.store.cancellation import raise_if_cancelled
from rq_broker.store.event_turns import EventTurns
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner

BATCH = 500
"""Events that one command reads: some 50 KB, for which Redis serves nobody else a millisecond."""
MOST_KEPT = 1000
"""Events kept for a follower that does not take them. One that is slower is cut: it comes back with
the ID of the last event that it has. More would cost memory for each slow reader."""
RETRY_SECONDS = 0.25
"""Pause after Redis failed to serve a read. A shorter one costs more dials while Redis is away; a
longer one tells of events later once it is back."""
_FIELDS = frozenset(
    {"request_id", "id", "status", "from", "owner", "by", "waited", "held", "size", "amounts"}
)
_LOSSES = frozenset({"state_lost"})
"""Words by which a stream itself tells of a gap."""


class Follower:
    """Takes the events of types, or of one job of one type, until it is ended."""

    def __init__(self, turns: EventTurns) -> None:
        self._turns = turns
        self._is_due = False
        """Whether it is to be woken in its turn."""
        self._feeds: dict[str, Feed] = {}
        """Type → what gives it events."""
        self.starts: dict[str, str] = {}
        """Type → ID of the last event before those that it takes of it."""
        self._events: tuple[Event, ...] = ()
        self._woken = asyncio.Event()
        self.job_id: int | None = None
        """The job whose events it takes; None for all of the type."""
        self.is_ended = False
        """Whether nothing more comes: it was too slow, its client is gone, or the process stops."""

    def begin(self, feed: Feed) -> None:
        """Take the events of a feed, from where it is now."""
        self._feeds[feed.type] = feed
        self.starts[feed.type] = feed.position

    def leave(self) -> None:
        """Take nothing more of any type."""
        for type_ in [*self._feeds]:
            self.leave_type(type_)

    def leave_type(self, type_: str) -> None:
        """Take nothing more of one type."""
        self._feeds.pop(type_).leave(self)
        del self.starts[type_]

    @property
    def start(self) -> str:
        """ID of the last event before those that it takes, of its one type."""
        (start,) = self.starts.values()
        return start

    def narrow(self, job_id: int) -> None:
        """Take the events of one job of its one type from now on, and gaps."""
        if self.job_id is None:
            (feed,) = self._feeds.values()
            feed.narrow(self, job_id)
            self.job_id = job_id
        kept = (each for each in self._events if each.job_id == job_id or each.word == LOST)
        self._events = tuple(kept)

    def take(self, events: tuple[Event, ...]) -> None:
        """Keep events for `events`, and be woken in turn; too many end it with a gap."""
        if self.is_ended:
            return
        room = MOST_KEPT - len(self._events)
        # Followers that have nothing else share one tuple: it is written in bytes once for all.
        self._events = self._events + events[:room] if self._events else events[:room]
        if len(events) > room:
            missed = events[room]
            of_type = (each.id for each in reversed(self._events) if each.type == missed.type)
            last = next(of_type, self.starts.get(missed.type, ""))
            self._events += (gap(missed.type, last, "slow", missed.at),)
            self.is_ended = True
        if not self._is_due:
            self._is_due = True
            self._turns.add(self._take_turn, is_urgent=self.job_id is not None)

    def _take_turn(self) -> None:
        self._is_due = False
        if self._events:  # else it took them before, and may wait for the next ones
            self._woken.set()

    def wake(self) -> None:
        """Let `wait` return at once, this time."""
        self._woken.set()

    def end(self) -> None:
        """Let `wait` return at once, now and later."""
        self.is_ended = True
        self._woken.set()

    async def wait(self, until: float | None = None) -> None:
        """Wait until there are events, it is ended, or the time is over, by the loop's clock."""
        if self._events or self.is_ended:
            return
        self._woken.clear()
        if until is None:  # a timeout of none costs 2 µs, for each of a thousand streams
            await self._woken.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._woken.wait()

    def events(self) -> tuple[Event, ...]:
        """Return the events that came since the last call."""
        events, self._events = self._events, ()
        return events


class Feed:
    """Reads the stream of one type for its followers."""

    def __init__(self, runner: Runner, type_: str, turns: EventTurns) -> None:
        self.type = type_
        self._turns = turns
        self.key = Keys(type_).of("events")
        self.position = ""
        """ID of the last event read; '' where the stream was empty."""
        self.idle_since: float | None = None
        """Since when nobody follows, by the loop's clock."""
        self._runner = runner
        self._given = 0
        """Events given since all followers had a turn."""
        self._stale = asyncio.Event()
        """Set while the stream may have events that were not read."""
        self._of_all: set[Follower] = set()
        self._by_job: dict[int, set[Follower]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._beginning: asyncio.Task[None] | None = None

    # Followers

    async def follow(self, follower: Follower) -> None:
        """Give a follower all events from now on. Raises Unavailable if Redis is away."""
        self.idle_since = None  # who waits for it to begin shall not lose it
        try:
            if self._reading is None:
                if self._beginning is None:
                    self._beginning = asyncio.create_task(self._begin())
                await asyncio.shield(self._beginning)
        except BaseException:
            self._note_idle()
            raise
        follower.begin(self)
        self._of_all.add(follower)
        self.idle_since = None

    async def show(self, follower: Follower) -> None:
        """Tell a follower where the stream ends, give it nothing, and begin to read nothing."""
        self.position = await newest_event(self._runner, self.key)
        follower.begin(self)

    def leave(self, follower: Follower) -> None:
        """Give a follower nothing more."""
        self._of_all.discard(follower)
        if follower.job_id is not None and (followers := self._by_job.get(follower.job_id)):
            followers.discard(follower)
            if not followers:
                del self._by_job[follower.job_id]
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._of_all and not self._by_job:
            self.idle_since = asyncio.get_running_loop().time()

    def narrow(self, follower: Follower, job_id: int) -> None:
        """Give a follower the events of one job only."""
        if follower in self._of_all:
            self._of_all.remove(follower)
            self._by_job.setdefault(job_id, set()).add(follower)

    def end(self) -> None:
        """End all followers, and read no more."""
        for task in (self._reading, self._beginning):
            if task:
                task.cancel()
        for follower in self._followers():
            follower.end()

    def _followers(self) -> list[Follower]:
        return [*self._of_all, *self._of_jobs()]

    def _of_jobs(self) -> list[Follower]:
        return [each for some in self._by_job.values() for each in some]

    # Reading

    def changed(self) -> None:
        """Read the stream soon: it may have changed."""
        self._stale.set()

    async def _begin(self) -> None:
        try:
            self.position = await self._newest()
        finally:
            self._beginning = None
        self._reading = asyncio.create_task(read_when(self._stale, self._read_all))

    async def _read_all(self) -> None:
        while await self._read():
            pass

    async def _newest(self) -> str:
        entries = await self._runner.tracked("XREVRANGE", self.key, "+", "-", "COUNT", 1)
        return _id_of(entries)

    async def _read(self) -> bool:
        """Read some events, and give them to the followers; returns whether more are left."""
        entries = await self._runner.tracked(
            "XRANGE", self.key, self.position or "-", "+", "COUNT", BATCH + 1
        )
        found = len(entries)
        if self.position:
            if entries and entries[0][0] == self.position:
                entries = entries[1:]
            elif why := await why_missing(
                self._runner, self.type, self.position, has_later=bool(entries)
            ):
                await self._skip_gap(why, is_gone=not entries)
            elif not entries:
                self.position = ""
        self._give(tuple(readable(self.type, entries)))
        if entries:
            self.position = str(entries[-1][0])
        self._given += len(entries)
        if self._given >= BATCH:  # else a follower could be cut that had no turn
            await self._turns.over()
            self._given = 0
        return found > BATCH

    async def _skip_gap(self, why: str, *, is_gone: bool) -> None:
        """Tell all followers of a gap; if later events are gone too, go on behind what is left."""
        lost = gap(self.type, self.position, why, place_of(self.position)[0] * 1000)
        if is_gone:
            self.position = await self._newest()
        for follower in self._followers():
            follower.take((lost,))

    def _give(self, events: tuple[Event, ...]) -> None:
        if not events:
            return
        for follower in self._of_all:
            follower.take(events)
        for event in events:
            is_gap = event.word == LOST
            of_jobs = self._of_jobs() if is_gap else self._by_job.get(event.job_id, ())
            for follower in of_jobs:
                follower.take((event,))


async def read_when(stale: asyncio.Event, read: Callable[[], Awaitable[None]]) -> None:
    """Read each time that `stale` is set, and once more after a while where Redis failed to serve.

    It ends by its cancellation only.
    """
    while True:
        raise_if_cancelled()
        await stale.wait()
        stale.clear()
        try:
            await read()
        except BrokerError:  # the cause is logged where calls are made, see trouble
            await asyncio.sleep(RETRY_SECONDS)
            stale.set()


async def why_missing(runner: Runner, type_: str, after: str, *, has_later: bool) -> str:
    """Return why events may be missing behind an entry that a stream has no more.

    Args:
        runner: Reads Redis.
        type_: The type.
        after: The entry.
        has_later: Whether the stream has entries behind it.

    Returns:
        `trimmed` or `state_lost`; '' if it was the last event of a type that was deleted since.
    """
    last = await runner.command("HGET", Keys(type_).base, "last_event") or ""
    if last == after:
        return ""
    return "trimmed" if has_later or place_of(after) < place_of(last) else "state_lost"


async def newest_event(runner: Runner, key: str) -> str:
    """Return the ID of the last entry of a stream; '' where it is empty."""
    return _id_of(await runner.command("XREVRANGE", key, "+", "-", "COUNT", 1))


def _id_of(newest: Sequence[Any]) -> str:
    return str(newest[0][0]) if newest else ""


def readable(type_: str, entries: Sequence[Any]) -> list[Event]:
    """Read entries of a stream; a damaged one is logged and left out."""
    return records.readable(lambda entry: _event(type_, entry), entries)


def _event(type_: str, entry: Any) -> Event:
    id_, flat = entry
    fields = records.pairs(flat)
    word, name, at = fields["status"], fields["request_id"], place_of(id_)[0] * 1000
    if word in _LOSSES:
        return gap(type_, id_, word, at)
    old, new = statuses_of(word, fields.get("from"))
    return Event(
        id_,
        word,
        type_,
        at,
        name,
        int(fields["id"] or 0),
        fields.get("owner"),
        old,
        new,
        fields.get("by"),
        tuple((field, value) for field, value in fields.items() if field not in _FIELDS),
    )
