"""What a rival process does in a race: it starts at a given time, as others do, and reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import cycle

from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from tests.making import TYPE, grant, submit

Answers = list[str]
"""One code an attempt, 'ok' for success."""


def submit_same(url: str, start: float, field: str, number: int) -> Answers:
    """Submit 16 jobs through each of two brokers, all of one request_id or of one callback."""

    async def one(broker: Broker, attempt: int) -> object:
        own = f"{number}-{attempt}"
        if field == "request_id":
            return await submit(broker, "same", callback=f"http://x/{own}", owner_id=own)
        return await submit(broker, own, callback="http://x/same", owner_id=own)

    return _race(url, start, 32, one)


def grant_all(url: str, start: float, number: int) -> Answers:
    """Try to grant every queued job on h1, each rival from another place of the line on."""

    async def one(broker: Broker, attempt: int) -> object:
        jobs = (await broker.page(TYPE, status="queued")).jobs
        fence = await grant(broker, jobs[(attempt + 7 * number) % len(jobs)]) if jobs else None
        return fence or "refused"

    return _race(url, start, 60, one)


def withdraw_all(url: str, start: float, number: int) -> Answers:
    """Withdraw each of 40 jobs, the even rival; grant each, the odd one."""

    async def one(broker: Broker, attempt: int) -> object:
        name = f"r{attempt}"
        if number % 2 == 0:
            return await broker.withdraw(TYPE, name)
        return await grant(broker, await broker.read(TYPE, name)) or "refused"

    return _race(url, start, 40, one)


def _race(
    url: str, start: float, attempts: int, one: Callable[[Broker, int], Awaitable[object]]
) -> Answers:
    async def answer(broker: Broker, attempt: int) -> str:
        try:
            said = await one(broker, attempt)
        except errors.BrokerError as refusal:
            return refusal.code
        return "refused" if said == "refused" else "ok"

    async def run() -> Answers:
        brokers = [Broker(connect(url)), Broker(connect(url))]
        for broker in brokers:
            await broker.ping()
        time.sleep(max(0.0, start - time.time()))  # noqa: ASYNC251 nothing else may start earlier
        pairs = zip(range(attempts), cycle(brokers), strict=False)
        answers = await asyncio.gather(*(answer(broker, attempt) for attempt, broker in pairs))
        for broker in brokers:
            await broker.aclose()
        return list(answers)

    return asyncio.run(run())
