"""What every verb needs: the runner, the set of types, the clock."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis, RedisCluster

from rq_broker.store.keys import TYPES, Keys
from rq_broker.store.runner import Runner

_HINT_SECONDS = 5.0
_FIT = f"{TYPES}:fit"
"""Never exists: writing nothing at its start is refused where writing would be."""


class Base:
    """Runs scripts on types."""

    def __init__(self, client: Redis | RedisCluster) -> None:
        self._runner = Runner(client)
        self._hinted: dict[str, float] = {}

    def _run(self, verb: str, type_: str, *args: Any) -> Awaitable[Any]:
        return self._runner.run(verb, Keys(type_).base, *args)

    async def _hint(self, type_: str) -> None:
        """Keep the set of types true, at most once in a few seconds a process and type."""
        now = time.monotonic()
        if self._hinted.get(type_, 0.0) < now:
            await self._runner.command("SADD", TYPES, type_)
            self._hinted[type_] = now + _HINT_SECONDS

    async def aclose(self) -> None:
        """Close the connections."""
        await self._runner.aclose()

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers and takes writes."""
        await self._runner.command("SETRANGE", _FIT, 0, "")

    async def now(self) -> float:
        """Read Redis's clock, seconds since 1970: the one time all processes share."""
        seconds, microseconds = await self._runner.command("TIME")
        return int(seconds) + int(microseconds) / 1e6

    async def wait(self, type_: str, seconds: float) -> str | None:
        """Block until a marker says that a loop has work, on a connection of its own."""
        return await self._runner.wait(Keys(type_).of("wake"), seconds)
