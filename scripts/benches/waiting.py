"""What ten thousand waiting reads and a thousand event streams cost one API process."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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
SUBMITS = 400
"""Submits whose times are measured, one after the other."""
SPACED = 20
"""Events that come one by one, so that what one of them costs can be told."""
OPENED_AT_ONCE = 200
SETTLE_SECONDS = 20
QUIET_SECONDS = 3
BUSY_COMMANDS = 50
"""Redis commands a second above which reads are still beginning to wait."""
MOST_TIMES_ALONE = 5.0
"""So many times as long as alone may the slowest of a hundred submits take beside the streams."""


def waiting(size: Size) -> list[Figure]:
    """Reads that wait for 60 s and streams of a type, all over connections of their own."""
    reads, streams, port = size.of(10_000, 1_000), size.of(1_000, 1_000), free_port()
    raised_descriptor_limit()
    with kit.store() as server:
        kit.fill(server, reads)
        options = ("--redis", server.url, "--port", port, *kit.LOOPBACK_ONLY)
        limit = ("--max-connections-per-address", reads + streams + 100)
        with kit.process(*kit.command("api", *options, *limit)) as pid:
            kit.until_serves(port)
            return uvloop.run(_measured(server.url, port, pid, reads, streams))


class Waiter(asyncio.Protocol):
    """One connection with one request; notes when the first bytes of the answer came."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, _: bytes) -> None:
        if not self.answered.done():
            self.answered.set_result(time.perf_counter())


async def opened(port: int, paths: Sequence[str]) -> list[Waiter]:
    """Connect once for each path, and ask for it."""
    loop = asyncio.get_running_loop()

    async def open_one(path: str) -> Waiter:
        _, waiter = await loop.create_connection(lambda: Waiter(path), "127.0.0.1", port)
        return waiter

    waiters: list[Waiter] = []
    for start in range(0, len(paths), OPENED_AT_ONCE):
        waiters += await asyncio.gather(*map(open_one, paths[start : start + OPENED_AT_ONCE]))
    return waiters


async def _measured(url: str, port: int, pid: int, reads: int, streams: int) -> list[Figure]:
    broker, store = Broker(connect(url)), redis.Redis.from_url(url)
    names = await _names(broker)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        await _submits(http, 0)  # a warm-up
        alone = await _submits(http, 1000)
        before = kit.resident(pid)
        async with _streams(port, streams):
            paths = [f"/v1/{quote(kit.TYPE)}/{quote(name)}?wait=60" for name in names[:reads]]
            waiters = await opened(port, paths)
            await _settled(store)
            taken = (kit.resident(pid) - before) / (reads + streams)
            idle = await _idle(store, pid)
            latencies = []
            for name, waiter in zip(names[:CHANGED], waiters, strict=False):
                started = time.perf_counter()
                await broker.transition(kit.TYPE, name, Status.RUNNING)
                latencies.append(await waiter.answered - started)
            beside = await _submits(http, 2000)
            told = await _told(broker, pid, names[CHANGED:], idle[1]) / streams
    await broker.aclose()
    what = f"{reads:,} reads and {streams:,} streams"
    return [
        Figure(f"waiting: memory of {what}", f"{taken / 1024:.1f} KiB each"),
        Figure("waiting: Redis commands a second meanwhile", f"{idle[0]:.1f}"),
        Figure("waiting: CPU meanwhile", f"{100 * idle[1]:.1f} %"),
        Figure("waiting: CPU of one event for each stream", f"{told * 1e6:.0f} µs"),
        Figure("waiting: from a change to its read's answer", kit.spread(latencies)),
        Figure("waiting: a submit alone", kit.spread(alone)),
        _compared(alone, beside),
    ]


def _compared(alone: list[float], beside: list[float]) -> Figure:
    """Render submits beside the streams, their p99 as a ratio to that of submits alone."""
    ratio = kit.p99_of(beside) / kit.p99_of(alone)
    row = kit.rated("", "", [ratio], most=MOST_TIMES_ALONE)
    name = "waiting: a submit beside them, each told to all streams"
    return Figure(name, kit.spread(beside), f"{ratio:.2f}", row.wanted)


async def _names(broker: Broker) -> list[str]:
    names: list[str] = []
    page = await broker.page(kit.TYPE, limit=500)
    while page.jobs:
        names += [job.request_id for job in page.jobs]
        if page.next is None:
            break
        page = await broker.page(kit.TYPE, after=page.next, limit=500)
    return names


@asynccontextmanager
async def _streams(port: int, count: int) -> AsyncIterator[None]:
    """Follow the type by so many streams meanwhile, read by another process."""
    role = kit.role("follow", port, f"/types/{quote(kit.TYPE)}/events", count)
    child: Process = await asyncio.create_subprocess_exec(*role, cwd=kit.SCRIPTS, stdout=PIPE)
    try:
        assert child.stdout
        assert await child.stdout.readline(), "the streams are not open"
        yield
    finally:
        child.terminate()
        await child.wait()


async def _settled(store: redis.Redis) -> None:
    """Wait until the last read has begun to wait: one quiet second may be another's doing."""
    quiet = 0
    for _ in range(SETTLE_SECONDS):
        commands = _commands(store)
        await asyncio.sleep(1)
        quiet = quiet + 1 if _commands(store) - commands < BUSY_COMMANDS else 0
        if quiet == QUIET_SECONDS:
            return


async def _idle(store: redis.Redis, pid: int) -> tuple[float, float]:
    """Return Redis commands and seconds of CPU a second while nothing happens."""
    commands, used = _commands(store), kit.cpu(pid)
    await asyncio.sleep(5)
    return (_commands(store) - commands) / 5, (kit.cpu(pid) - used) / 5


async def _told(broker: Broker, pid: int, names: Sequence[str], idle: float) -> float:
    """Return the seconds of CPU that the API takes for one event."""
    started, used = time.perf_counter(), kit.cpu(pid)
    for name in names[:SPACED]:
        await broker.transition(kit.TYPE, name, Status.RUNNING)
        await asyncio.sleep(0.25)
    passed = time.perf_counter() - started
    return (kit.cpu(pid) - used - idle * passed) / SPACED


async def _submits(http: aiohttp.ClientSession, first: int) -> list[float]:
    """Submit one after the other; returns the seconds of each."""
    seconds = []
    for number in range(20_000_000 + first, 20_000_000 + first + SUBMITS):
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
