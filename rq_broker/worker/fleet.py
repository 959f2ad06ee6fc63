"""The live notifiers, and which of them comes first for a type.

Every notifier reports itself each second and reads who else does. All rank the notifiers of a type
by a hash of both names (rendezvous hashing): they agree without asking each other, and when one
comes or goes, only its own share of the types moves.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from hashlib import blake2b

from rq_broker.domain import errors
from rq_broker.store.broker import Broker, NotifierReport

REPORT_SECONDS = 1.0
"""Seconds between two reports. More often costs Redis calls; less often delays the take-over."""
DEAD_SECONDS = 3.0
"""Seconds without a report after which a notifier counts as dead. With fewer, one that is merely
slow loses its types for a moment; with more, the deadlines of a dead one wait longer."""
FORGET_SECONDS = 60.0
"""Seconds after which a dead notifier is taken off the list; readers see it until then."""


class Fleet:
    """The live notifiers as one of them sees them."""

    def __init__(
        self, broker: Broker, types: Collection[str], callbacks: str | None = None
    ) -> None:
        """Take what this notifier reports of itself.

        Args:
            broker: The store.
            types: Those that it serves; empty: all.
            callbacks: The options that say where its callbacks may go; None: not told.
        """
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._broker = broker
        self._types = frozenset(types)
        self._callbacks = callbacks
        self.on_left: Callable[[], object] = lambda: None
        """Called when another notifier has retired or died."""
        self._others: dict[str, frozenset[str]] = {}
        """Live notifier, other than this one → the types it serves; empty: all."""

    @property
    def size(self) -> int:
        """How many notifiers are alive."""
        return 1 + len(self._others)

    def rank(self, type_: str) -> int | None:
        """Return how many live notifiers come before this one for a type.

        0 means that this one is the first; None that it does not serve the type.
        """
        if self._types and type_ not in self._types:
            return None
        own = _weight(self.name, type_)
        return sum(
            _weight(name, type_) > own
            for name, types in self._others.items()
            if not types or type_ in types
        )

    def count(self, type_: str) -> int:
        """Return how many live notifiers serve a type, this one included."""
        return 1 + sum(not types or type_ in types for types in self._others.values())

    async def run_once(self) -> float:
        """Report this notifier, and read which others are alive; returns seconds until the next."""
        await self._broker.report_notifier(self.name, self._types, self._callbacks)
        _, reports = await asyncio.gather(self._broker.beat(self.name), self._broker.notifiers())
        others = [each for each in reports if each.name != self.name and not each.has_left]
        await self._forget_dead(others)
        live = {report.name: frozenset(report.types) for report in others if _is_live(report)}
        someone_left = self._others.keys() - live.keys()
        self._others = live
        if someone_left:
            self.on_left()
        return REPORT_SECONDS

    async def _forget_dead(self, others: Collection[NotifierReport]) -> None:
        for report in others:
            if report.age > FORGET_SECONDS:
                await self._broker.retire_notifier(report.name)

    async def retire(self) -> None:
        """Take this notifier off the list, so that others take over its types at once."""
        with suppress(errors.BrokerError):
            await self._broker.retire_notifier(self.name)


def _is_live(report: NotifierReport) -> bool:
    return report.age <= DEAD_SECONDS


def _weight(name: str, type_: str) -> bytes:
    return blake2b(f"{name} {type_}".encode(errors="surrogateescape"), digest_size=8).digest()
