"""What a whole listing of a queue takes, and what submits to the same API notice of it."""

from __future__ import annotations

import asyncio
import time
from statistics import median

import aiohttp

from benches import kit
from benches.asking import JOBS, submits
from benches.kit import Figure, Size
from rq_broker.store.embedded import free_port

_ROUNDS = 3
_ALONE_SECONDS = 8.0
"""For so long submits are measured without a listing, before each of them."""


def listing(size: Size) -> list[Figure]:
    """A list of every job without a limit, with submits beside it against submits alone."""
    jobs, port = size.of(1_000_000, 200_000), free_port()
    with kit.store() as server:
        kit.fill(server, jobs)
        options = ("--redis", server.url, "--port", port, *kit.LOOPBACK_ONLY)
        with kit.process(*kit.command("api", *options)):
            kit.until_serves(port)
            rounds = [asyncio.run(_round(port)) for _ in range(_ROUNDS)]
    alone, beside, walls = (list(column) for column in zip(*rounds, strict=True))
    name = "listing: a submit's p99 beside it, alone"
    value = kit.against([x * 1e3 for x in beside], [x * 1e3 for x in alone], "ms")
    return [
        Figure(f"listing: {jobs:,} jobs", f"{median(walls):,.0f} s"),
        kit.rated(name, value, kit.ratios(beside, alone)),
    ]


async def _round(port: int) -> tuple[float, float, float]:
    """Return the p99 of submits alone and beside a listing, and the seconds that this took."""
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(url) as http:
        await submits(http, 1.0)  # a warm-up
        alone = await submits(http, _ALONE_SECONDS)
        reader = await asyncio.create_subprocess_exec(
            *kit.role("read", f"{url}{JOBS}"), cwd=kit.SCRIPTS
        )
        started, beside = time.perf_counter(), list[float]()
        reading = asyncio.create_task(reader.wait())
        while not reading.done():
            beside += await submits(http, 0.1)
        seconds = time.perf_counter() - started
        if reading.result():
            raise RuntimeError("the list could not be read")
    return kit.p99_of(alone), kit.p99_of(beside), seconds
