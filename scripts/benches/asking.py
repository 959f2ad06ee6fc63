"""What questions about waiting jobs take, and what they cost submits beside them."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from statistics import median
from typing import Any
from urllib.parse import quote

import aiohttp

from benches import kit
from benches.granting import DESTINATION, HOSTS, shaped
from benches.kit import Figure, Size
from rq_broker.admission.granter import Granter
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server, free_port

CLIENTS = 8
"""Concurrent clients; each sends its next query as soon as the last one is answered."""
EXPLAINED, PAGES = 100, 20
"""Questions asked one after the other."""
_PAUSE = 0.01
JOBS = f"/v1/{quote(kit.TYPE)}"
_NUMBERS = itertools.count(10_000_000)


def asking(size: Size) -> list[Figure]:
    """Submits to a type of 1,000 hosts, 100 shapes and 50,000 jobs, with and without queries."""
    seconds, port = size.of(8, 4), free_port()
    with kit.store() as server:
        kit.run(server.url, publish)
        kit.fill(server, size.of(50_000, 20_000), shaped)
        kit.run(server.url, partial(history, server))
        options = ("--redis", server.url, "--port", port, *kit.LOOPBACK_ONLY)
        with kit.process(*kit.command("api", *options)):
            kit.until_serves(port)
            return asyncio.run(_beside(port, seconds))


async def publish(broker: Broker) -> None:
    """Publish the hosts."""
    hosts = [Host(f"host{number}", {"VCPU": 16, "Memory": 1 << 20}) for number in range(HOSTS)]
    await kit.fan(range(HOSTS), 100, lambda number: broker.set_host(kit.TYPE, hosts[number]))


async def history(server: Server, broker: Broker) -> None:
    """Grant all that fits, and finish some jobs: a forecast needs holding times."""
    granter = Granter(broker, kit.TYPE)
    with kit.plain(server) as client:
        while await granter.run_once():
            kit.drop_callbacks(client, DESTINATION)
    for job in (await broker.page(kit.TYPE, status=Status.GRANTED, limit=300)).jobs:
        await broker.transition(kit.TYPE, job.request_id, Status.DONE)


async def _beside(port: int, seconds: float) -> list[Figure]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        page = await _get(http, f"{JOBS}?status=queued&limit=500")
        names = [quote(job["RequestID"]) for job in page["data"]]
        await submits(http, 1.0)  # a warm-up
        alone = await submits(http, seconds)
        figures = [
            *await _questions(http, names),
            Figure("asking: a submit alone", kit.spread(alone)),
        ]
        for query, path in (("read waiting jobs", ""), ("ask for explanations", "/explain")):
            async with _queries(http, names, path) as answered:
                busy = await submits(http, seconds)
            name = f"asking: a submit beside {CLIENTS} clients that {query}, alone"
            ratio = [median(busy) / median(alone)]
            figures.append(kit.rated(name, kit.spread(busy), ratio, most=1.2))
            figures.append(
                kit.timed(f"asking: {CLIENTS} clients that {query}", answered, middle=300)
            )
        return figures


async def _questions(http: aiohttp.ClientSession, names: list[str]) -> list[Figure]:
    """Ask about one job at a time, first without and then with a forecast; then for pages."""
    first = await _times(http, [f"{JOBS}/{names[0]}/explain"])
    while (await _get(http, f"{JOBS}/{names[0]}/explain"))["data"]["eta"]["p90"] is None:
        await asyncio.sleep(_PAUSE)
    explanations = await _times(http, [f"{JOBS}/{name}/explain" for name in names[:EXPLAINED]])
    pages = await _times(http, [f"{JOBS}?status=queued&limit=100&eta=1"] * PAGES)
    return [
        Figure("asking: the first explanation of a type", f"{first[0] * 1000:.0f} ms", "", "~ 1 s"),
        kit.timed("asking: an explanation", explanations, p99=50),
        kit.timed("asking: a page of 100 jobs with ETAs", pages, p99=200),
    ]


async def _times(http: aiohttp.ClientSession, paths: list[str]) -> list[float]:
    """Ask one question after the other; returns how long each took."""
    latencies = []
    for path in paths:
        started = time.perf_counter()
        await _get(http, path)
        latencies.append(time.perf_counter() - started)
        await asyncio.sleep(_PAUSE)
    return latencies


async def submits(http: aiohttp.ClientSession, seconds: float) -> list[float]:
    """Submit one job after the other for `seconds`; returns the latency of each."""
    latencies, end = [], time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        async with http.post(JOBS, json=kit.body(next(_NUMBERS))) as answer:
            await answer.read()
        latencies.append(time.perf_counter() - started)
        await asyncio.sleep(_PAUSE)
    return latencies


@asynccontextmanager
async def _queries(
    http: aiohttp.ClientSession, names: list[str], path: str
) -> AsyncIterator[list[float]]:
    """Query random waiting jobs meanwhile; yields the latencies of the answers."""
    answered, over = list[float](), asyncio.Event()

    async def client() -> None:
        while not over.is_set():
            started = time.perf_counter()
            await _get(http, f"{JOBS}/{random.choice(names)}{path}")
            answered.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
        yield answered
        over.set()


async def _get(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(path) as answer:
        answer.raise_for_status()
        return await answer.json()
