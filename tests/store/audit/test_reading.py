"""How the audit reads: without a write, and what it found once more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import Finding, audit
from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner
from tests.making import TYPE, bring, submit

KEYS = Keys(TYPE)


@pytest.fixture
async def jobs(broker: Broker) -> dict[Status, Job]:
    """Bring one job to each status; its request_id is the status."""
    return {status: await bring(broker, status, status) for status in Status}


def _member(job: Job) -> str:
    return f"{job.id:016d}:{job.request_id}"


async def test_an_audit_runs_while_redis_refuses_writes(redis_server: Server) -> None:
    """At maxmemory nothing may be written; the audit is clean, and finds a fault all the same."""
    client = connect(redis_server.url)
    assert isinstance(client, Redis)
    await client.flushall()
    broker = Broker(client)
    for status in Status:
        await bring(broker, status, status)
    await client.config_set("maxmemory", 1)
    try:
        with pytest.raises(errors.Unavailable):
            await submit(broker, "refused")
        assert await audit(client, TYPE) == []
    finally:
        await client.config_set("maxmemory", 0)
        await broker.aclose()


async def test_only_what_a_second_reading_confirms_is_found(
    client: Redis, jobs: dict[Status, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mended between the two readings is no finding; the second reads only what had one."""
    await client.zrem(KEYS.of("owner", "o"), _member(jobs[Status.DONE]))
    read = Walk.page_of
    asked: list[Sequence[str]] = []

    async def mended(self: Walk, status: str, members: Sequence[str]) -> Any:
        if members:
            asked.append(members)
            await client.zadd(KEYS.of("owner", "o"), {_member(jobs[Status.DONE]): 2**52 + 1})
            score = await client.zscore(KEYS.of("status", "done"), _member(jobs[Status.DONE]))
            await client.zadd(KEYS.of("owner", "o"), {_member(jobs[Status.DONE]): score or 0})
        return await read(self, status, members)

    monkeypatch.setattr(Walk, "page_of", mended)
    assert await audit(client, TYPE) == []
    assert asked
    assert all(list(members) == [_member(jobs[Status.DONE])] for members in asked)


async def test_an_audit_beside_a_busy_broker_finds_nothing(redis_server: Server) -> None:
    """While jobs are submitted, granted and withdrawn, five audits have no findings."""
    client, mine = connect(redis_server.url), connect(redis_server.url)
    await client.flushall()
    broker, done = Broker(client), asyncio.Event()

    async def work(name: str) -> None:
        while not done.is_set():
            await bring(broker, Status.RUNNING, name)
            await broker.withdraw(TYPE, name)
            await broker.claim(TYPE, 60.0, 1)  # without a courier grants would stop

    workers = [asyncio.create_task(work(f"w{number}")) for number in range(4)]
    findings: list[Finding] = []
    for _ in range(5):
        findings += await audit(mine, TYPE)
    done.set()
    await asyncio.gather(*workers)
    await broker.aclose()
    await mine.aclose()
    assert findings == []


async def test_an_audit_says_when_redis_is_away() -> None:
    """Without Redis the audit raises Unavailable, as every verb does."""
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(errors.Unavailable):
        await audit(client, TYPE)
    await client.aclose()
    assert Runner(client)


async def test_a_job_that_is_no_hash_ends_no_audit(broker: Broker, client: Redis) -> None:
    """It is named as one that cannot be read, and the rest of the type is checked."""
    await bring(broker, Status.RUNNING, "broken")
    await bring(broker, Status.RUNNING, "fine")
    await client.set(Keys(TYPE).of("job", "broken"), "damaged")
    await client.hset(Keys(TYPE).of("host", "h1"), "held:VCPU", 9)
    texts = [str(finding) for finding in await audit(client, TYPE)]
    assert any("key job:broken is no hash" in text for text in texts)
    assert any("host h1 has VCPU 9 held" in text for text in texts), texts
