"""Keeps the set of types that readers list."""

from __future__ import annotations

import time

from rq_broker.store.keys import TYPES
from rq_broker.store.runner import Runner

_INTERVAL = 5.0
"""Seconds between two writes of one type's name. With a longer interval, a set lost with
Redis's data stays incomplete longer. A shorter one costs more calls that change nothing."""


class Registry:
    """Adds type names to the set of types."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._next_writes: dict[str, float] = {}
        """Type → monotonic time from which its name is written again."""

    async def register(self, type_: str) -> None:
        """Add a type, at most once in a few seconds per process."""
        now = time.monotonic()
        if self._next_writes.get(type_, 0.0) < now:
            await self._runner.command("SADD", TYPES, type_)
            self._next_writes[type_] = now + _INTERVAL
