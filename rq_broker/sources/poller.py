"""Polls one source and applies its snapshots, while this process holds the source's lock.

Several notifiers may list the same source; one of them at a time holds the lock, see Broker.turn.
The lock has a term, which grows with each change of holder. Redis refuses a snapshot of an earlier
term, so a poller that was taken for dead changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from rq_broker.domain import errors
from rq_broker.domain.capacity import STALE_INTERVALS, Host
from rq_broker.domain.scrubbing import scrubbed
from rq_broker.sources.checking import CheckedSnapshot, check_snapshot, storable
from rq_broker.sources.failures import Faulty, SourceFailed, Unreachable
from rq_broker.sources.feeds import Feed
from rq_broker.sources.trimming import without_devices
from rq_broker.store.broker import Broker, SourceReport

log = logging.getLogger(__name__)

LOCK_SECONDS = 3.0
"""How long other notifiers wait before they take over from a dead one. Shorter costs more renewals,
and lets a process that is merely slow lose the source."""
RENEWALS = 3
"""How often the lock is renewed within LOCK_SECONDS, so that one late renewal does not end it."""
MIN_PATIENCE = 1.0
"""Seconds that a snapshot may take at least before it is told that the source does not answer."""
MAX_SENTENCE = 500
"""Characters of a failure that are kept in Redis; `/readyz` and reasons show them."""


class Poller:
    """Polls one source in one process, while the process holds the source's lock."""

    def __init__(self, broker: Broker, feed: Feed) -> None:
        self._broker = broker
        self._feed = feed
        self._lock = f"source:{feed.name}"
        self._holder = uuid.uuid4().hex
        self._term = 0
        self._label = f"source {feed.name} of {feed.type}"
        self._is_new = False
        """Whether another process may have polled since the last snapshot of this one."""
        self._due = 0.0
        """The time.monotonic() at which the next snapshot begins."""
        self._good_hosts: Mapping[str, Host] = {}
        """The hosts of the last snapshot that could be used, by name."""
        self._trouble = ""
        """What was logged of the last snapshot; empty if nothing was wrong with it."""
        self._clashes = 0
        """Number of hosts that the last snapshot had to leave to other publishers."""

    async def run_once(self) -> float | None:
        """Take and apply a snapshot if one is due and this process holds the lock.

        Returns:
            Seconds until the next snapshot is due; None while another process holds the lock.
        """
        # 1. Take the lock, or renew it.
        term = await self._take_lock()
        if not term:
            return None
        # 2. Take and apply a snapshot, if the interval has passed since the last one began.
        started = time.monotonic()
        if started >= self._due:
            async with self._lock_renewed():
                await self._poll(term)
            self._due = started + self._feed.interval
        return max(0.0, self._due - time.monotonic())

    async def close(self) -> None:
        """Give back the lock, so that another process polls at once, and close the source."""
        with suppress(errors.BrokerError):
            # The first release is refused if another process has asked for the lock meanwhile.
            while await self._broker.turn(
                self._feed.type, self._holder, "give", LOCK_SECONDS, self._lock
            ):
                pass
        await self._feed.source.close()

    async def _take_lock(self) -> int:
        """Take or renew the lock; returns its term, 0 if another process holds it."""
        term = await self._broker.turn(
            self._feed.type, self._holder, "take", LOCK_SECONDS, self._lock
        )
        if term and term != self._term:
            self._is_new = True
            log.info("%s: polled by this process every %g s", self._label, self._feed.interval)
        self._term = term
        return term

    @asynccontextmanager
    async def _lock_renewed(self) -> AsyncIterator[None]:
        """Renew the lock in the background: a snapshot may take longer than LOCK_SECONDS."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(LOCK_SECONDS / RENEWALS)
                with suppress(errors.BrokerError):
                    await self._take_lock()

        task = asyncio.create_task(renew())
        try:
            yield
        finally:
            task.cancel()

    async def _poll(self, term: int) -> None:
        feed, broker = self._feed, self._broker
        # 1. Record in Redis that a snapshot begins, and learn which servers to watch.
        naming = feed.source.naming
        started = await broker.watch(feed.type, feed.name, term, feed.interval, naming)
        if started is None:  # a later term has begun
            return
        # 2. Read the source, and find out which hosts the broker can name and count.
        try:
            await self._recall()
            snapshot = check_snapshot(await self._read(term, started.servers), self._good_hosts)
        except SourceFailed as failure:
            await self._record_failure(term, failure)
            return
        except Exception as error:  # a source may be anybody's code
            await self._record_failure(
                term, SourceFailed(f"{type(error).__name__}: {error}"), error
            )
            return
        self._good_hosts = snapshot.hosts
        snapshot = await self._without_unknown_devices(snapshot)
        # 3. Apply the snapshot as a whole; Redis refuses it if a newer one was applied.
        report = SourceReport(
            snapshot.sequence,
            list(snapshot.hosts.values()),
            snapshot.consumers,
            knows_shares=not started.servers or bool(snapshot.consumers),
            kept=storable(snapshot.bad_hosts),
            keeps_missing=bool(snapshot.unnamed),
            cause=snapshot.cause,
            trouble=_printable(snapshot.trouble),
        )
        applied = await broker.apply(feed.type, feed.name, term, started.begun, report)
        if applied is None:
            text = f"its snapshot {snapshot.sequence} is not newer than its last one"
            await self._record_failure(term, Faulty(text))
            return
        # 4. Log what is new.
        self._log_success(clashes=applied[1], snapshot=snapshot)

    async def _without_unknown_devices(self, snapshot: CheckedSnapshot) -> CheckedSnapshot:
        """Leave out the devices of hosts while a notifier that would misread them serves the type.

        Nobody is granted any of them meanwhile; all else of these hosts is reported as ever.
        """
        try:
            await self._broker.check_devices(self._feed.type, snapshot.hosts.values())
        except errors.OlderNotifiers as refusal:
            hosts, texts = without_devices(snapshot.hosts, str(refusal))
            left_out = dict(snapshot.left_out)
            for name, text in texts.items():
                left_out[name] = f"{left_out[name]}; {text}" if name in left_out else text
            return replace(snapshot, hosts=hosts, left_out=left_out)
        return snapshot

    async def _recall(self) -> None:
        """Tell the source, where another process may have polled it, what that process left."""
        if self._is_new:
            hosts = await self._broker.hosts(self._feed.type)
            self._feed.source.recall(
                [host for host in hosts if host.source == self._feed.name and not host.dropped]
            )
            self._is_new = False

    async def _read(self, term: int, servers: frozenset[str]) -> object:
        """Return what the source returns; tells when it takes so long that it is stale."""
        patience = max(STALE_INTERVALS * self._feed.interval, MIN_PATIENCE)
        reading = asyncio.create_task(self._snapshot(servers))
        try:
            started = time.monotonic()
            while not (await asyncio.wait({reading}, timeout=patience))[0]:
                seconds = time.monotonic() - started
                late = Unreachable(f"it has been asked for a snapshot for {seconds:.0f} s")
                await self._record_failure(term, late)
            if reading.cancelled():
                raise SourceFailed("the source cancelled its own snapshot")
            return reading.result()
        finally:
            reading.cancel()

    async def _snapshot(self, servers: frozenset[str]) -> object:
        try:
            return await self._feed.source.snapshot(servers)
        except SystemExit as error:
            raise SourceFailed("the source asked the process to exit") from error

    async def _record_failure(
        self, term: int, failure: SourceFailed, error: Exception | None = None
    ) -> None:
        """Store why there is no snapshot; the last one stays. A new trouble is logged once.

        `error`: an exception of the source that is no SourceFailed; its traceback is logged.
        """
        cause, sentence = str(failure.cause), _printable(str(failure))
        trouble = f"{cause} {type(error).__name__}" if error else cause
        if trouble != self._trouble:
            log.warning(
                "%s fails (%s), its last snapshot stays: %s",
                self._label,
                cause,
                sentence,
                exc_info=error,
            )
        self._trouble = trouble
        await self._broker.fail(self._feed.type, self._feed.name, term, cause, sentence)

    def _log_success(self, *, clashes: int, snapshot: CheckedSnapshot) -> None:
        # Why something is unread may change with each poll, as by the number of a request.
        trouble = replace(snapshot, unread=dict.fromkeys(snapshot.unread, "")).trouble
        if trouble and trouble != self._trouble:
            log.warning("%s: %s", self._label, _printable(snapshot.trouble))
        if self._trouble and not trouble:
            log.info("%s works again", self._label)
        if clashes and clashes != self._clashes:
            log.warning(
                "%s: %s of its hosts are left as others have published them", self._label, clashes
            )
        self._trouble, self._clashes = trouble, clashes


def _printable(sentence: str) -> str:
    """Return a sentence as it is kept and logged: short, in one line, in UTF-8, without secrets."""
    line = " ".join(scrubbed(sentence[: 4 * MAX_SENTENCE]).split())
    return line[:MAX_SENTENCE].encode(errors="replace").decode()
