"""Has one source's snapshots applied: of all notifiers that know it, one at a time polls it.

Whoever holds the turn at the source does; the turn's term grows with each change of holder, and
Redis takes nothing from an earlier term, so a poller that was thought dead can do no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host, checked
from rq_broker.sources import SourceFailed, SourceSnapshot
from rq_broker.sources.feeds import Feed
from rq_broker.store.broker import Broker, SourceReport

log = logging.getLogger(__name__)

TURN_SECONDS = 3.0
"""How long a dead poller keeps others from polling."""


class Poller:
    """The poller of one source in one process."""

    def __init__(self, broker: Broker, feed: Feed) -> None:
        self._broker = broker
        self._feed = feed
        self._about = f"source:{feed.name}"
        self._name = uuid.uuid4().hex
        self._due = 0.0
        self._sound: dict[str, Host] = {}
        self._it = f"source {feed.name} of {feed.type}"
        self._trouble = ""
        self._clashes = 0

    async def run_once(self) -> float | None:
        """Take a snapshot if it is time and ours to do; returns seconds until our next, if any."""
        term = await self._turn("take")
        if not term:
            return None
        started = time.monotonic()
        if started >= self._due:
            async with self._kept():
                await self._poll(term)
            self._due = started + self._feed.interval
        return max(0.0, self._due - time.monotonic())

    async def close(self) -> None:
        """Let another have the turn at once, and close the source."""
        with suppress(errors.BrokerError):
            while await self._turn("give"):
                pass
        await self._feed.source.close()

    async def _turn(self, what: str) -> int:
        return await self._broker.turn(self._feed.type, self._name, what, TURN_SECONDS, self._about)

    @asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        """Keep the turn meanwhile: a snapshot may take longer than a turn lasts."""

        async def keep() -> None:
            while True:
                await asyncio.sleep(TURN_SECONDS / 3)
                with suppress(errors.BrokerError):
                    await self._turn("take")

        keeping = asyncio.create_task(keep())
        try:
            yield
        finally:
            keeping.cancel()

    async def _poll(self, term: int) -> None:
        feed, broker = self._feed, self._broker
        watched = await broker.watch(feed.type, feed.name, term, feed.interval)
        if watched is None:
            return
        try:
            found = await feed.source.snapshot(watched.servers)
        except SourceFailed as failure:
            await self._fail(term, failure)
            return
        except Exception as error:  # a source may be anybody's code
            log.exception("%s failed as no source should", self._it)
            await self._fail(term, SourceFailed(f"{type(error).__name__}: {error}"))
            return
        tells = not watched.servers or bool(found.consumers)
        seen = SourceReport(found.sequence, self._hosts(found), found.consumers, tells)
        applied = await broker.apply(feed.type, feed.name, term, watched.begun, seen)
        self._say(applied[1] if applied else 0)

    async def _fail(self, term: int, failure: SourceFailed) -> None:
        """Leave the last snapshot, and say why there is no newer; the log hears it once."""
        if self._trouble != failure.cause:
            log.warning(
                "%s fails (%s), its last snapshot stays: %s", self._it, failure.cause, failure
            )
        self._trouble = failure.cause
        text = str(failure)[:500]
        await self._broker.fail(self._feed.type, self._feed.name, term, failure.cause, text)

    def _say(self, clashes: int) -> None:
        if self._trouble:
            log.info("%s works again", self._it)
        if clashes and clashes != self._clashes:
            log.warning("%s: %s hosts left alone, others published them", self._it, clashes)
        self._trouble, self._clashes = "", clashes

    def _hosts(self, found: SourceSnapshot) -> list[Host]:
        """Take the hosts the broker can name and count; one that it cannot is in nobody's way."""
        sound = {}
        for host in found.hosts:
            if self._sound.get(host.name) == host or self._is_sound(host):
                sound[host.name] = host
        self._sound = sound
        return list(sound.values())

    def _is_sound(self, host: Host) -> bool:
        try:
            checked(host)
        except errors.Invalid as error:
            log.warning("%s: host %.100r passed over: %s", self._it, host.name, error)
            return False
        return True
