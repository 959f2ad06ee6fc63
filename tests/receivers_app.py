"""A receiver whose response a coroutine decides, callback by callback; and a ledger of grants."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from standins.receivers import Receiver, receiver

Handle = Callable[[str, dict[str, Any]], Awaitable[int]]
"""(webhook-id, the job as the callback shows it) → the status to respond with."""


@asynccontextmanager
async def listening(handle: Handle) -> AsyncIterator[Receiver]:
    """Serve on a free loopback port, and respond with the status that `handle` returns."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Nothing was awaited since this request was read, so it is the last in the lists.
        webhook_id = re.search(
            r"^webhook-id: (.*)\r$", this.heads[-1], re.MULTILINE | re.IGNORECASE
        )
        assert webhook_id
        code = await handle(webhook_id[1], orjson.loads(this.bodies[-1])["data"])
        writer.write(b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % code)

    async with receiver(behave) as this:
        yield this


@dataclass
class Ledger:
    """The capacity that receivers hold: from a grant's first callback until they release it.

    At any instant that is at most what the broker has granted, so if it exceeds a host's capacity,
    the broker has oversold the host.
    """

    capacity: Mapping[str, int]
    """Host → its VCPU."""
    calls: Counter[str] = field(default_factory=Counter)
    """Webhook-id → how many callbacks carried it."""
    held: Counter[str] = field(default_factory=Counter)
    oversold: list[str] = field(default_factory=list)

    def called(self, webhook_id: str, job: dict[str, Any]) -> bool:
        """Record a callback; returns whether it is the first of its grant."""
        self.calls[webhook_id] += 1
        if self.calls[webhook_id] > 1:
            return False
        self._count(job, 1)
        for host, amount in self.held.items():
            if amount > self.capacity[host]:
                self.oversold.append(f"{job['RequestID']} raises {host} to {amount}")
        return True

    def released(self, job: dict[str, Any]) -> None:
        """Record that the receiver is about to call the job done."""
        self._count(job, -1)

    def _count(self, job: dict[str, Any], sign: int) -> None:
        instances = orjson.loads(job["Data"])["instances"]
        for host, instance in zip(job["Hosts"], instances, strict=True):
            self.held[host] += sign * instance["VCPU"]
