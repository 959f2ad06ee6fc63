"""The work of one process in a race: both start at the same time and return their answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import cycle

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from tests.making import TYPE, grant, submit

Answers = list[str]
"""For each attempt 'ok', 'refused' or the code of its error."""


def submit_same(url: str, start: float, field: str, number: int) -> Answers:
    """Submit 32 jobs by way of two brokers, all with one request_id or all with one callback."""

    async def call(broker: Broker, attempt: int) -> object:
        unique = f"{number}-{attempt}"
        if field == "request_id":
            return await submit(broker, "same", callback=f"http://x/{unique}", owner_id=unique)
        return await submit(broker, unique, callback="http://x/same", owner_id=unique)

    return _race(url, start, 32, call)


def grant_all(url: str, start: float, number: int) -> Answers:
    """Try 60 times to grant a queued job on h1; the processes begin at different jobs."""

    async def call(broker: Broker, attempt: int) -> object:
        jobs = (await broker.page(TYPE, status="queued")).jobs
        fence = await grant(broker, jobs[(attempt + 7 * number) % len(jobs)]) if jobs else None
        return fence or "refused"

    return _race(url, start, 60, call)


def withdraw_all(url: str, start: float, number: int) -> Answers:
    """Withdraw each of 40 jobs if `number` is even, else grant each."""

    async def call(broker: Broker, attempt: int) -> object:
        name = f"r{attempt}"
        if number % 2 == 0:
            await broker.withdraw(TYPE, name)
            return None
        return await grant(broker, await broker.read(TYPE, name)) or "refused"

    return _race(url, start, 40, call)


def take_all(url: str, start: float, fences: list[int], number: int) -> Answers:
    """Take each of these offers if `number` is even, else let a sweep end the next ones."""

    async def call(broker: Broker, attempt: int) -> object:
        if number % 2:
            return await broker.sweep(TYPE, 2)
        return await broker.transition(TYPE, f"r{attempt}", Status.RUNNING, fence=fences[attempt])

    return _race(url, start, len(fences), call)


def take_once(url: str, start: float, versions: list[str], _: int) -> Answers:
    """Take each of these offers, if its job has still this version."""

    async def call(broker: Broker, attempt: int) -> object:
        name, version = f"r{attempt}", versions[attempt]
        return await broker.transition(TYPE, name, Status.RUNNING, versions=[version])

    return _race(url, start, len(versions), call)


def move_by(url: str, start: float, line: str, number: int) -> Answers:
    """Move 19 jobs to the front, each if that passes only whom it passed in this version."""

    async def call(broker: Broker, attempt: int) -> object:
        name = f"r{1 + attempt * 2 + number}"
        return await broker.reorder(TYPE, name, "position", "front", line=line)

    return _race(url, start, 19, call)


def move_or_grant(url: str, start: float, number: int) -> Answers:
    """Preview and move each of 40 jobs to place 3 if `number` is even, else grant each."""

    async def call(broker: Broker, attempt: int) -> object:
        name = f"r{attempt}"
        if number % 2:
            return await grant(broker, await broker.read(TYPE, name)) or "refused"
        told = await broker.reorder(TYPE, name, "place", "3", dry_run=True)
        return await broker.reorder(TYPE, name, "place", "3", line=told.line)

    return _race(url, start, 40, call)


def _race(
    url: str, start: float, attempts: int, call: Callable[[Broker, int], Awaitable[object]]
) -> Answers:
    """Make the attempts at once, by way of two brokers, from the time `start` on."""

    async def answer(broker: Broker, attempt: int) -> str:
        try:
            result = await call(broker, attempt)
        except errors.BrokerError as error:
            return error.code
        return "refused" if result == "refused" else "ok"

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
