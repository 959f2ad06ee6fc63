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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host, checked
from rq_broker.sources.failures import SourceFailed
from rq_broker.sources.feeds import Feed
from rq_broker.sources.source import SourceSnapshot
from rq_broker.store.broker import Broker, SourceReport

log = logging.getLogger(__name__)

LOCK_SECONDS = 3.0
"""How long other notifiers wait before they take over from a dead one. Shorter costs more renewals,
and lets a process that is merely slow lose the source."""
RENEWALS = 3
"""How often the lock is renewed within LOCK_SECONDS, so that one late renewal does not end it."""
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
        self._due = 0.0
        """The time.monotonic() at which the next snapshot begins."""
        self._valid_hosts: dict[str, Host] = {}
        """Name → host of the last snapshot; a host that did not change is not checked again."""
        self._cause = ""
        """Why the last snapshot failed; empty if it did not."""
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
        started = await broker.watch(feed.type, feed.name, term, feed.interval)
        if started is None:  # a later term has begun
            return
        # 2. Read the source.
        try:
            snapshot = await feed.source.snapshot(started.servers)
        except SourceFailed as failure:
            await self._record_failure(term, failure)
            return
        except Exception as error:  # a source may be anybody's code
            log.exception("%s raised an exception other than SourceFailed", self._label)
            await self._record_failure(term, SourceFailed(f"{type(error).__name__}: {error}"))
            return
        # 3. Leave out the hosts that the broker cannot name or count.
        hosts = self._valid(snapshot)
        # 4. Apply the snapshot as a whole; Redis refuses it if a newer one was applied.
        knows_shares = not started.servers or bool(snapshot.consumers)
        report = SourceReport(snapshot.sequence, hosts, snapshot.consumers, knows_shares)
        applied = await broker.apply(feed.type, feed.name, term, started.begun, report)
        # 5. Log what is new.
        self._log_success(clashes=applied[1] if applied else 0)

    def _valid(self, snapshot: SourceSnapshot) -> list[Host]:
        """Return the hosts that the broker can name and count; logs the others."""
        valid = {}
        for host in snapshot.hosts:
            if self._valid_hosts.get(host.name) == host or self._is_valid(host):
                valid[host.name] = host
        self._valid_hosts = valid
        return list(valid.values())

    def _is_valid(self, host: Host) -> bool:
        try:
            checked(host)
        except errors.Invalid as error:
            log.warning("%s: host %.100r is left out: %s", self._label, host.name, error)
            return False
        return True

    async def _record_failure(self, term: int, failure: SourceFailed) -> None:
        """Store why there is no snapshot; the last one stays. A new cause is logged once."""
        if failure.cause != self._cause:
            log.warning(
                "%s fails (%s), its last snapshot stays: %s", self._label, failure.cause, failure
            )
        self._cause = failure.cause
        sentence = str(failure)[:MAX_SENTENCE]
        await self._broker.fail(self._feed.type, self._feed.name, term, failure.cause, sentence)

    def _log_success(self, *, clashes: int) -> None:
        if self._cause:
            log.info("%s works again", self._label)
        if clashes and clashes != self._clashes:
            log.warning(
                "%s: %s of its hosts are left as others have published them", self._label, clashes
            )
        self._cause, self._clashes = "", clashes
