"""The one reader of event streams of a process: whoever waits for events follows them here.

It reads a stream when Redis says that it changed, and else never, however many clients wait. All
streams of a server share one connection. It begins with the first follower; some time after the
last one it stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from itertools import islice

from rq_broker.domain.events import Event, gap, place_of
from rq_broker.store.cancellation import raise_if_cancelled
from rq_broker.store.event_feed import (
    BATCH,
    Feed,
    Follower,
    newest_event,
    readable,
    why_missing,
)
from rq_broker.store.event_turns import EventTurns
from rq_broker.store.event_types import AllFollower, TypeNames, Uses, add_each
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner, write_check

LINGER_SECONDS = 10.0
"""For how long a stream is still read when nobody follows it. A client that polls again and again
would otherwise make each poll begin anew, with a call of its own."""
BEAT_SECONDS = 1.0
"""Time between two checks that a server still serves and its connection carries messages. A shorter
one costs more calls, a longer one tells of events later after a failover."""
ROUND_BEATS = 15
"""Beats in which every followed stream is read once though Redis told of no change. It finds a
stream whose slot moved before anything was in it: no node tells of that."""
POLL_SECONDS = 0.02
"""Time between two reads of all streams in fakeredis, which tells of no change."""


class EventHub:
    """Follows the events of types."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._turns = EventTurns()
        self._feeds: dict[str, Feed] = {}
        self._by_key: dict[str, Feed] = {}
        self._beating: asyncio.Task[None] | None = None
        self._names: TypeNames | None = None
        """The set of types, while somebody follows all."""
        self._beats = 0
        self._is_closed = False
        runner.on_change = self._changed

    @asynccontextmanager
    async def follow(self, *types: str) -> AsyncIterator[Follower]:
        """Follow the events of types from now on; once the process stops, nothing comes.

        Raises:
            Unavailable: Redis does not answer.
        """
        follower = Follower(self._turns)
        try:
            await add_each(self.add, follower, types)
            yield follower
        finally:
            follower.leave()

    @asynccontextmanager
    async def follow_all(self, uses: Uses) -> AsyncIterator[AllFollower]:
        """Follow the events of every type for which `uses` is true, also of those to come.

        Raises:
            Unavailable: Redis does not answer.
            Invalid: There are more types than one stream may follow.
        """
        names = self._names
        if names is None:
            names = self._names = TypeNames(self._runner, self._turns)
        follower = AllFollower(self._turns, names, self.add, uses)
        try:
            if not self._is_closed:
                self._start_beating()
            await names.follow(follower)
            await follower.add_new()
            if self._is_closed:  # perhaps since, and perhaps there is no type yet
                follower.end()
            yield follower
        finally:
            names.leave(follower)
            follower.leave()
            if self._is_closed:
                names.end()

    async def add(self, follower: Follower, type_: str) -> None:
        """Let a follower follow one more type from now on. Raises Unavailable."""
        if self._is_closed:
            await Feed(self._runner, type_, self._turns).show(follower)
            follower.end()
            return
        feed = self._feeds.get(type_)
        if feed is None:
            feed = self._feeds[type_] = Feed(self._runner, type_, self._turns)
            self._by_key[feed.key] = feed
            feed.idle_since = asyncio.get_running_loop().time()
        self._start_beating()
        await feed.follow(follower)
        if self._is_closed:  # since
            follower.end()

    def _start_beating(self) -> None:
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())

    async def newest(self, type_: str) -> str:
        """Return the ID of the last event of a type that is stored now; '' for none."""
        return await newest_event(self._runner, Keys(type_).of("events"))

    async def history(self, type_: str, after: str, until: str) -> AsyncIterator[tuple[Event, ...]]:
        """Yield the events behind an entry, to another one, some at a time.

        The first is a gap if the stream has the entry no more: events behind it may be gone too.
        Behind '' and `0` are all that are kept, which is no gap.
        """
        key, first = Keys(type_).of("events"), True
        after = after if any(place_of(after)) else ""
        last = place_of(until)
        while place_of(after) < last or first:
            entries = await self._runner.command(
                "XRANGE", key, after or "-", "+", "COUNT", BATCH + 1
            )
            is_there = bool(entries) and entries[0][0] == after
            found = readable(type_, entries[is_there:])
            events = [event for event in found if event.place <= last]
            if after and not is_there:
                why = await why_missing(self._runner, type_, after, has_later=bool(entries))
                if why:
                    now = round(await self._runner.now() * 1_000_000)
                    events.insert(0, gap(type_, after, why, min(place_of(after)[0] * 1000, now)))
            yield tuple(events)
            if len(entries) <= BATCH:
                return
            after, first = str(entries[-1][0]), False

    def close(self) -> None:
        """End all followers, now and later: the process stops."""
        self._is_closed = True
        for feed in self._feeds.values():
            feed.end()
        if self._names:
            self._names.end()

    async def aclose(self) -> None:
        """Close, and await the end of the tasks."""
        self.close()
        if self._beating:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    # What Redis says

    def _changed(self, keys: Sequence[str] | None) -> None:
        """Read the streams that changed; all of them if a connection was lost."""
        feeds = self._feeds.values() if keys is None else map(self._by_key.get, keys)
        for feed in feeds:
            if feed:
                feed.changed()
        if self._names and (keys is None or self._names.key in keys):
            self._names.changed()

    async def _beat(self) -> None:
        """Check the servers, read a part of the streams anew, and drop those without followers."""
        try:
            while self._feeds or self._names:
                raise_if_cancelled()
                await asyncio.sleep(BEAT_SECONDS if self._runner.tracks else POLL_SECONDS)
                self._drop_idle()
                if self._runner.tracks:
                    await self._check_servers()
                    self._mark_stale(-(-len(self._feeds) // ROUND_BEATS))
                    self._beats += 1
                    if self._names and self._beats % ROUND_BEATS == 0:
                        self._names.changed()
                else:
                    self._changed(None)
        finally:
            self._beating = None
        await self._runner.stop_tracking()

    def _mark_stale(self, count: int) -> None:
        """Read so many streams anew, by turns."""
        for type_ in list(islice(self._feeds, count)):
            feed = self._feeds.pop(type_)
            self._feeds[type_] = feed
            feed.changed()

    def _drop_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        for feed in list(self._feeds.values()):
            if feed.idle_since is not None and now - feed.idle_since >= LINGER_SECONDS:
                feed.end()
                del self._feeds[feed.type]
                del self._by_key[feed.key]
        if self._names and self._names.is_idle:
            self._names.end()
            self._names = None

    async def _check_servers(self) -> None:
        """Try a write on each connection: on one of a server that was demoted, a new one is made.

        A server that does not answer is given up. Both make all streams be read again, and so does
        a slot that was found to have moved.
        """
        keys: dict[Hashable, str] = {
            self._runner.server_of(feed.key): feed.key for feed in self._feeds.values()
        }
        if self._names:
            keys[self._runner.server_of(self._names.key)] = self._names.key
        calls = [self._runner.tracked(*write_check(key)) for key in keys.values()]
        await asyncio.gather(*calls, return_exceptions=True)
        if any(self._runner.server_of(key) != server for server, key in keys.items()):
            self._changed(None)
