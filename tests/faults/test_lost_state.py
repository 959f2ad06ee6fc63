"""Redis comes back with an older state, or none: nothing is named again, and the loss is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rq_broker.delivery.message import message_id
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.making import TYPE, grant, publish, settle, submit
from tests.processes import until


class Receiver:
    """Uses the capacity of a grant once, however often it is told of it, by webhook-id."""

    def __init__(self) -> None:
        self.webhook_ids: set[str] = set()
        self.fences: list[int] = []
        self.uses: set[str] = set()
        self.repeats = 0

    async def receive_all(self, broker: Broker) -> None:
        """Receive the callbacks that are due, and answer 200 to each."""
        for delivery in (await broker.claim(TYPE, 60.0, 500))[1]:
            job = delivery.job
            if message_id(job) in self.webhook_ids:
                self.repeats += 1
            else:
                self.webhook_ids.add(message_id(job))
                self.fences.append(job.fence or 0)
                self.uses.add(job.request_id)
            await settle(broker, delivery, Settlement("delivered", "http_200", health="healthy"))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Start a server that keeps its last SAVE only."""
    server = Server(tmp_path, ["--appendonly", "no"])
    await asyncio.to_thread(server.start)
    yield server
    server.kill()


async def _serve(broker: Broker, receiver: Receiver, *names: str) -> None:
    """Submit, grant and deliver jobs."""
    for name in names:
        await _grant(broker, receiver, await submit(broker, name))
    await receiver.receive_all(broker)


async def _grant(broker: Broker, receiver: Receiver, job: Job) -> None:
    """Grant a job; callbacks that grants have to wait for are received first."""
    async with asyncio.timeout(20):
        while await grant(broker, job) is None:
            await receiver.receive_all(broker)


@pytest.mark.parametrize("way", ["older", "none"])
async def test_nothing_is_held_for_nobody(server: Server, way: str) -> None:
    """After a restore no webhook-id and no fence comes again, and each running job is used."""
    broker, receiver = Broker(connect(server.url)), Receiver()
    await publish(broker, VCPU=1000)
    await _serve(broker, receiver, *(f"early{number}" for number in range(20)))
    queued = [await submit(broker, f"queued{number}") for number in range(20)]
    if way == "older":
        await broker.runner.command("SAVE")
    for job in queued:
        await _grant(broker, receiver, job)
    await _serve(broker, receiver, *(f"late{number}" for number in range(20)))
    given = set(receiver.fences)
    highest = (await broker.read(TYPE, "late19")).id
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await until(lambda: _answers(broker), "Redis")
    receiver.uses = {name for name in receiver.uses if await _is_there(broker, name)}
    await broker.notice_losses()
    (loss,) = await broker.losses(TYPE)
    assert loss.last_id == highest
    assert loss.id_there == (40 if way == "older" else 0)
    await publish(broker, VCPU=1000)
    for job in (await broker.page(TYPE, status="queued")).jobs:
        await _grant(broker, receiver, job)
    await _serve(broker, receiver, *(f"new{number}" for number in range(20)))
    assert receiver.repeats == 0
    assert given.isdisjoint(receiver.fences[len(given) :])
    running = (await broker.page(TYPE, status="running")).jobs
    assert {job.request_id for job in running} <= receiver.uses
    assert min(job.id for job in running if job.request_id.startswith("new")) > highest
    await broker.aclose()
    auditor = connect(server.url)
    findings = await audit(auditor, TYPE)
    assert {finding.severity for finding in findings} == {Severity.NOTE}
    await auditor.aclose()


async def test_an_idle_process_tells_that_its_last_submit_was_lost(server: Server) -> None:
    """It looks for it once it has a new connection, though another job has the ID by then."""
    idle, busy = Broker(connect(server.url)), Broker(connect(server.url))
    await submit(idle, "kept")
    await busy.runner.command("SAVE")
    lost = await submit(idle, "lost")
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    await until(lambda: _answers(busy), "Redis")
    assert (await submit(busy, "other")).id == lost.id
    await submit(busy, "later")
    assert await busy.losses(TYPE) == []
    await idle.ping()
    await until(lambda: _is_told(busy), "a loss that is told")
    await idle.aclose()
    await busy.aclose()


async def _is_told(broker: Broker) -> bool:
    return bool(await broker.losses(TYPE))


async def _answers(broker: Broker) -> bool:
    """Call over every connection that is shared."""
    calls = await asyncio.gather(*(broker.ping() for _ in range(50)), return_exceptions=True)
    return not any(calls)


async def _is_there(broker: Broker, name: str) -> bool:
    try:
        return (await broker.read(TYPE, name)).status is Status.RUNNING
    except errors.JobNotFound:
        return False
