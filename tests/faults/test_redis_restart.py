"""Redis is killed, stopped and restarted while one broker keeps running."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pytest

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Wake
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.listening import beating
from tests.making import TYPE, bring, grant, submit

DEADLINE = 10.0
"""Seconds after which a call counts as hanging; each should fail long before."""


def _signal(server: Server, number: signal.Signals) -> None:
    assert server.process
    server.process.send_signal(number)


async def _recovered(broker: Broker) -> None:
    """Wait until calls of the broker succeed again."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with suppress(errors.Unavailable):
                await broker.ping()
                return
            await asyncio.sleep(0.05)


async def test_acknowledged_jobs_outlive_a_kill(server: Server, lasting: Broker) -> None:
    """Killed during submits and grants, Redis restarts with every acknowledged job."""
    acknowledged: set[str] = set()
    busy = asyncio.Event()
    fence = (await bring(lasting, Status.GRANTED, "granted")).fence

    async def client(number: int) -> None:
        with suppress(errors.Unavailable):
            for turn in range(10_000):
                name = f"{number}-{turn}"
                await submit(lasting, name)
                acknowledged.add(name)
                if len(acknowledged) > 200:
                    busy.set()

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    async with asyncio.timeout(DEADLINE):
        await busy.wait()
    await asyncio.to_thread(server.kill)
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*clients)
    await asyncio.to_thread(server.start)
    await _recovered(lasting)
    for name in acknowledged:
        assert (await lasting.read(TYPE, name)).status == Status.QUEUED
    job = await lasting.read(TYPE, "granted")
    assert (job.status, job.fence) == (Status.GRANTED, fence)
    other = connect(server.url)
    assert await audit(other, TYPE) == []
    await other.aclose()
    assert (await grant(lasting, await submit(lasting, "after")) or 0) > (fence or 0)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_calls_are_unavailable_while_redis_is_away(
    server: Server, lasting: Broker, how: str
) -> None:
    """With Redis killed or stopped, each verb raises Unavailable in time, and works afterwards."""
    await submit(lasting, "before")
    if how == "killed":
        await asyncio.to_thread(server.kill)
    else:
        _signal(server, signal.SIGSTOP)
    calls = [
        lasting.ping(),
        submit(lasting, "d"),
        lasting.read(TYPE, "before"),
        lasting.page(TYPE),
        lasting.types(),
        lasting.type_state(TYPE),
        lasting.sweep(TYPE),
        lasting.due(TYPE),
    ]
    async with asyncio.timeout(DEADLINE):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [errors.Unavailable] * len(calls)
    if how == "killed":
        await asyncio.to_thread(server.start)
    else:
        _signal(server, signal.SIGCONT)
    await _recovered(lasting)
    assert (await lasting.read(TYPE, "before")).status == Status.QUEUED
    assert (await submit(lasting, "after")).status == Status.QUEUED


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_lost_subscription_is_told(server: Server, lasting: Broker, how: str) -> None:
    """With Redis killed or stopped a listener gets Unavailable, and can listen again later."""
    async with beating(lasting, "me"):
        heard = asyncio.Queue[Wake]()
        subscribed = asyncio.Event()
        listening = asyncio.create_task(lasting.listen("me", heard.put_nowait, subscribed.set))
        async with asyncio.timeout(DEADLINE):
            await subscribed.wait()
            if how == "killed":
                await asyncio.to_thread(server.kill)
            else:
                _signal(server, signal.SIGSTOP)
            with pytest.raises(errors.Unavailable):
                await listening
        if how == "killed":
            await asyncio.to_thread(server.start)
        else:
            _signal(server, signal.SIGCONT)
        subscribed.clear()
        listening = asyncio.create_task(lasting.listen("me", heard.put_nowait, subscribed.set))
        async with asyncio.timeout(DEADLINE):
            await subscribed.wait()
            await submit(lasting, "d", "quiet")
            assert await heard.get() == Wake("quiet", "grant")
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
