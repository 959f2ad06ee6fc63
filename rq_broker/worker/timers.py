"""Calls that are due later, at most one a key: a type with nothing to do costs no task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

LONGEST_SECONDS = 3600.0
"""Seconds after which a call is made at the latest. A deadline is told as a span, so it moves when
Redis's clock is stepped: with a longer time, that is noticed later."""


class Timers:
    """Calls by key; of two calls with one key, the earlier one stays."""

    def __init__(self) -> None:
        self._handles: dict[Hashable, asyncio.TimerHandle] = {}

    def call(
        self, key: Hashable, delay: float, function: Callable[..., object], *args: Any
    ) -> None:
        """Call the function in `delay` seconds, unless an earlier call with this key is due."""
        loop = asyncio.get_running_loop()
        when = loop.time() + min(delay, LONGEST_SECONDS)
        if handle := self._handles.get(key):
            if handle.when() <= when:
                return
            handle.cancel()
        self._handles[key] = loop.call_at(when, self._fire, key, function, args)

    def _fire(self, key: Hashable, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        del self._handles[key]
        function(*args)

    def __len__(self) -> int:
        return len(self._handles)

    def cancel(self) -> None:
        """Cancel all calls."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()
