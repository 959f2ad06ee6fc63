"""The types that one notifier knows of: those listed in Redis, or those it was told to serve."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from rq_broker.store.broker import Broker
from rq_broker.worker.fleet import Fleet

LIST_SECONDS = 30.0
"""Seconds between two reads of the list. New types are met by their first wake-up; the list only
tells of those whose wake-up was missed. More often costs time where there are ten thousand."""
_AT_ONCE = 500
"""Types ranked without a pause: half a millisecond for five notifiers."""


class KnownTypes:
    """The known types that this notifier serves."""

    def __init__(self, broker: Broker, served: Collection[str]) -> None:
        self._broker = broker
        self._served = frozenset(served)
        self._listed: set[str] = set()
        self._next_read = 0.0

    def __contains__(self, type_: object) -> bool:
        return type_ in self._listed or type_ in self._served

    def is_listed(self, type_: str) -> bool:
        """Tell whether readers see this type in the list."""
        return type_ in self._listed

    async def add(self, type_: str) -> None:
        """Put a type that was met into the list."""
        self._listed.add(type_)
        await self._broker.list_type(type_)

    async def forget(self, type_: str) -> None:
        """Delete what is left of an empty type, and take it out of the list."""
        if await self._broker.forget_type(type_):
            self._listed.discard(type_)

    async def of_first(self, fleet: Fleet, *, now: bool = False) -> list[str]:
        """List the types of which this notifier is the first; with `now`, read the list anew."""
        if now or self._next_read < time.monotonic():
            self._listed = set(await self._broker.names())
            self._next_read = time.monotonic() + LIST_SECONDS
        types = sorted(self._served or self._listed)
        first = []
        for start in range(0, len(types), _AT_ONCE):
            first += [type_ for type_ in types[start : start + _AT_ONCE] if fleet.rank(type_) == 0]
            await asyncio.sleep(0)
        return first
