"""A plain receiver of callbacks that thinks about each: by event, with the status it wants."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.receivers import Receiver, receiver

Handle = Callable[[str, dict[str, Any]], Awaitable[int]]
"""(webhook-id, the job as called back) → the status to answer with."""


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[Receiver]:
    """Serve on a free loopback port, answering what `handle` says once it has said it."""

    async def manner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Nothing was awaited since the request was read, so the newest is the one to answer.
        found = re.search(r"^webhook-id: (.*)\r$", this.heads[-1], re.MULTILINE | re.IGNORECASE)
        assert found
        code = await handle(found[1], orjson.loads(this.bodies[-1])["data"])
        writer.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % code)

    async with receiver(manner) as this:
        yield this


@dataclass
class Ledger:
    """What receivers know to be held: from the first callback of a grant until they give it up.

    Less than what the broker holds at any instant, so more than a host has is an oversold unit.
    """

    capacity: Mapping[str, int]
    """Host → its VCPU."""
    calls: Counter[str] = field(default_factory=Counter)
    """Webhook-id → how often it was called."""
    held: Counter[str] = field(default_factory=Counter)
    oversold: list[str] = field(default_factory=list)

    def called(self, webhook_id: str, job: dict[str, Any]) -> bool:
        """Note a callback; returns whether it is the first of its grant."""
        self.calls[webhook_id] += 1
        if self.calls[webhook_id] > 1:
            return False
        self._count(job, 1)
        for host, amount in self.held.items():
            if amount > self.capacity[host]:
                self.oversold.append(f"{job['RequestID']} makes it {amount} on {host}")
        return True

    def given_up(self, job: dict[str, Any]) -> None:
        """Note that the receiver is about to say done."""
        self._count(job, -1)

    def _count(self, job: dict[str, Any], sign: int) -> None:
        instances = orjson.loads(job["Data"])["instances"]
        for host, instance in zip(job["Hosts"], instances, strict=True):
            self.held[host] += sign * instance["VCPU"]
