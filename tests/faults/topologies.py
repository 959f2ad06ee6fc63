"""Real Redis servers for the tests of failovers, and submits that go on meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from faulting.servers import Topology

from rq_broker.domain.errors import BrokerError
from rq_broker.store.audit import Finding, Severity, audit
from rq_broker.store.broker import Broker
from rq_broker.store.cancellation import raise_if_cancelled
from rq_broker.store.connection import connect
from tests.making import TYPE, shape, submit

RECOVERY_S = 20.0
"""How long a failover may take before a test fails; the servers' own timeout is 2 s."""
PAUSE_S = 0.01
"""Between two submits of one client."""
T = TypeVar("T", bound=Topology)


@asynccontextmanager
async def running(way: Callable[[Path], T], folder: Path) -> AsyncIterator[T]:
    """Yield the started servers; at the end they are killed."""
    servers = way(folder)
    try:
        await servers.start()
        yield servers
    finally:
        await servers.stop()


class Submits:
    """Jobs of ever new names, submitted until stopped; each is sent once."""

    def __init__(
        self,
        broker: Broker,
        type_: str = TYPE,
        clients: int = 4,
        destination: str = "http://x:80",
    ) -> None:
        """Start the clients; the callbacks go to `destination`."""
        self.answers: Counter[str] = Counter()
        """Code of an answer, `created` for success → how many there were."""
        self.acknowledged: list[str] = []
        self._broker = broker
        self._type = type_
        self._destination = destination
        self._count = 0
        self._tasks = [asyncio.create_task(self._run()) for _ in range(clients)]

    async def _run(self) -> None:
        while True:
            raise_if_cancelled()
            self._count += 1
            name = f"{self._type}-{self._count}"
            try:
                callback = f"{self._destination}/{name}"
                wanted = shape(destination=self._destination)
                await submit(self._broker, name, self._type, callback=callback, shape=wanted)
            except BrokerError as error:
                self.answers[error.code] += 1
            else:
                self.answers["created"] += 1
                self.acknowledged.append(name)
            await asyncio.sleep(PAUSE_S)

    async def more(self, count: int = 20) -> None:
        """Wait until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(RECOVERY_S):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(PAUSE_S)

    async def refused(self, code: str) -> None:
        """Wait until one more is refused so."""
        wanted = self.answers[code] + 1
        async with asyncio.timeout(RECOVERY_S):
            while self.answers[code] < wanted:
                await asyncio.sleep(PAUSE_S)

    async def stop(self) -> None:
        """Submit no more."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task


async def status_of(broker: Broker, request_id: str, type_: str = TYPE) -> str:
    """Return a job's status; the code of the error where it cannot be read."""
    try:
        return (await broker.read(type_, request_id)).status.value
    except BrokerError as error:
        return error.code


async def reaches(broker: Broker, request_id: str, status: str, type_: str = TYPE) -> None:
    """Wait until a job has a status."""
    async with asyncio.timeout(RECOVERY_S):
        while await status_of(broker, request_id, type_) != status:
            await asyncio.sleep(0.05)


async def contradictions(servers: Topology, *types: str) -> list[Finding]:
    """Audit types; a note is no contradiction: Redis may lose its last writes in a failover."""
    client = connect(servers.url)
    findings = [finding for type_ in types for finding in await audit(client, type_)]
    await client.aclose()
    return [finding for finding in findings if finding.severity is Severity.FAULT]
