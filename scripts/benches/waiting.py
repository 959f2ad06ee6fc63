"""What ten thousand waiting reads and a thousand event streams cost one API process."""

from __future__ import annotations

import asyncio
import time
from typing import cast
from urllib.parse import quote

import aiohttp
import redis
import uvloop

from benches import kit
from benches.kit import Figure, Size
from rq_broker.cli.process import raised_descriptor_limit
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import free_port

CHANGED = 200
"""Jobs that start to run while their reads wait."""
OPENED_AT_ONCE = 200
SETTLE_SECONDS = 20


def waiting(size: Size) -> list[Figure]:
    """Reads that wait for 60 s and streams of a type, all over connections of their own."""
    reads, streams, port = size.of(10_000, 1_000), size.of(1_000, 100), free_port()
    raised_descriptor_limit()
    with kit.store() as server:
        kit.fill(server, reads)
        options = ("--redis", server.url, "--port", port, *kit.LOOPBACK_ONLY)
        limit = ("--max-connections-per-address", reads + streams + 100)
        with kit.process(*kit.command("api", *options, *limit)) as pid:
            kit.until_serves(port)
            return uvloop.run(_measured(server.url, port, pid, reads, streams))


class _Waiter(asyncio.Protocol):
    """One connection with one request; notes when the first bytes behind the head came."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, _: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(time.perf_counter())


async def _measured(url: str, port: int, pid: int, reads: int, streams: int) -> list[Figure]:
    broker, store = Broker(connect(url)), redis.Redis.from_url(url)
    loop, type_ = asyncio.get_running_loop(), quote(kit.TYPE)
    names: list[str] = []
    page = await broker.page(kit.TYPE, limit=500)
    while page.jobs:
        names += [job.request_id for job in page.jobs]
        if page.next is None:
            break
        page = await broker.page(kit.TYPE, after=page.next, limit=500)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        alone = await _submits(http, 0, 200)
        before = kit.resident(pid)

        async def opened(path: str) -> _Waiter:
            _, waiter = await loop.create_connection(lambda: _Waiter(path), "127.0.0.1", port)
            return waiter

        paths = [f"/types/{type_}/events"] * streams
        paths += [f"/v1/{type_}/{quote(name)}?wait=60" for name in names[:reads]]
        waiters: list[_Waiter] = []
        for start in range(0, len(paths), OPENED_AT_ONCE):
            some = paths[start : start + OPENED_AT_ONCE]
            waiters += await asyncio.gather(*map(opened, some))
        for _ in range(SETTLE_SECONDS):  # until the last has begun to wait
            commands = _commands(store)
            await asyncio.sleep(1)
            if _commands(store) - commands < 20:
                break
        taken = (kit.resident(pid) - before) / len(waiters)
        commands, used = _commands(store), kit.cpu(pid)
        await asyncio.sleep(5)
        idle = (_commands(store) - commands) / 5, (kit.cpu(pid) - used) / 5
        latencies = []
        reading = dict(zip(names, waiters[streams:], strict=False))
        for name in names[:CHANGED]:
            started = time.perf_counter()
            await broker.transition(kit.TYPE, name, Status.RUNNING)
            latencies.append(await reading[name].answered - started)
        beside = await _submits(http, 1000, 200)
    await broker.aclose()
    what = f"{reads:,} reads and {streams:,} streams"
    return [
        Figure(f"waiting: memory of {what}", f"{taken / 1024:.1f} KiB each"),
        Figure("waiting: Redis commands a second meanwhile", f"{idle[0]:.1f}"),
        Figure("waiting: CPU meanwhile", f"{100 * idle[1]:.1f} %"),
        Figure("waiting: from a change to its read's answer", kit.spread(latencies)),
        Figure("waiting: a submit alone", kit.spread(alone)),
        Figure("waiting: a submit beside them, each told to all streams", kit.spread(beside)),
    ]


async def _submits(http: aiohttp.ClientSession, first: int, count: int) -> list[float]:
    """Submit one after the other; returns the seconds of each."""
    seconds = []
    for number in range(20_000_000 + first, 20_000_000 + first + count):
        started = time.perf_counter()
        async with http.post(f"/v1/{quote(kit.TYPE)}", json=kit.body(number)) as answer:
            assert answer.status == 201, await answer.text()
        seconds.append(time.perf_counter() - started)
    return seconds


def _commands(store: redis.Redis) -> int:
    """Return how many commands the server has carried out."""
    info = store.info("stats")
    assert isinstance(info, dict)
    return int(info["total_commands_processed"])
