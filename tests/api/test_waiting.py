"""Reads that wait: they answer once the job has left its status, at once, or when time is over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app
from rq_broker.api.rate_limit import RateRules
from rq_broker.domain.errors import Unavailable
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.event_hub import EventHub
from tests.api.conftest import refused, submit
from tests.api.tenants import WhoHeader, client as client_of
from tests.making import TYPE, array_submission, bring, grant, publish

LONG = "?wait=60"


@asynccontextmanager
async def asking(api: httpx.AsyncClient, path: str, **options: Any) -> AsyncIterator[Any]:
    """Send a read, and yield its task; it is over at the end."""
    task = asyncio.create_task(api.get(path, **options))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def waiting(broker: Broker, count: int = 1) -> None:
    """Wait until so many reads follow the events of a job."""
    async with asyncio.timeout(30):
        while count_followers(broker) < count:
            await asyncio.sleep(0.002)


def count_followers(broker: Broker) -> int:
    feed = broker.events._feeds.get(TYPE)
    return sum(map(len, feed._by_job.values())) if feed else 0


def status_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["Status"])


async def test_a_job_that_is_not_queued_is_answered_at_once(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Nothing is followed where the status is one that is waited for already."""
    await bring(broker, Status.RUNNING)
    assert status_of(await api.get(f"/v1/vm/d{LONG}")) == "running"
    assert status_of(await api.get(f"/v1/vm/d{LONG}&until=running,done")) == "running"
    assert not broker.events._feeds


async def test_a_grant_answers_the_read(api: httpx.AsyncClient, broker: Broker) -> None:
    """A read is answered as soon as the job is granted; events of other jobs do not end it."""
    await bring(broker, Status.QUEUED)
    async with asking(api, f"/v1/vm/d{LONG}") as read:
        await waiting(broker)
        await submit(api, "other")
        await broker.reorder(TYPE, "d", "priority", "5")
        await publish(broker)
        assert not read.done()
        assert await grant(broker, await broker.read(TYPE, "d"))
        answer = await read
    assert status_of(answer) == "granted"
    assert answer.json()["data"]["Hosts"] == ["h1"]
    assert count_followers(broker) == 0


async def test_other_statuses_are_waited_for(api: httpx.AsyncClient, broker: Broker) -> None:
    """With `until` the read goes on while the job has any other status."""
    await bring(broker, Status.GRANTED)
    async with asking(api, f"/v1/vm/d{LONG}&until=done,error") as read:
        await waiting(broker)
        await broker.transition(TYPE, "d", Status.RUNNING)
        await asyncio.sleep(0)
        assert not read.done()
        await broker.transition(TYPE, "d", Status.DONE)
        assert status_of(await read) == "done"


async def test_when_time_is_over_the_job_is_answered(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """The job is answered as it is, with its place in the line."""
    await bring(broker, Status.QUEUED)
    for query in ("?wait=0", "?wait=1"):
        answer = await api.get(f"/v1/vm/d{query}")
        assert status_of(answer) == "queued"
        assert answer.json()["data"]["Position"] == 1


async def test_a_job_that_is_gone_is_not_found(api: httpx.AsyncClient, broker: Broker) -> None:
    """A read of no job is a 404 at once, and of one that is withdrawn meanwhile is one then."""
    refused(await api.get(f"/v1/vm/none{LONG}"), 404, "job_not_found")
    await bring(broker, Status.QUEUED)
    async with asking(api, f"/v1/vm/d{LONG}") as read:
        await waiting(broker)
        await broker.withdraw(TYPE, "d")
        refused(await read, 404, "job_not_found")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("wait=61", "wait"),
        ("wait=-1", "wait"),
        ("wait=1.5", "wait"),
        ("wait=", "wait"),
        ("wait=1&until=", "until"),
        ("wait=1&until=gone", "until"),
        ("wait=1&until=done,gone", "until"),
    ],
)
async def test_a_wrong_value_is_refused_by_its_name(
    api: httpx.AsyncClient, broker: Broker, query: str, name: str
) -> None:
    """The sentence of the refusal begins with the parameter."""
    await bring(broker, Status.QUEUED)
    answer = await api.get(f"/v1/vm/d?{query}")
    refused(answer, 400, "invalid_request", f"{name} must be ")


async def test_until_goes_with_wait_and_neither_with_an_array(
    broker: Broker,
) -> None:
    """Both are refused where they mean nothing."""
    async with called(broker) as api:
        await broker.submit_array(TYPE, array_submission(2))
        for path, sentence in (
            ("/v1/vm/s[0]?until=done", "until goes with wait"),
            ("/v1/vm/s[*]?wait=1", "wait is for one job"),
        ):
            refused(await api.get(path), 400, "invalid_request", sentence)


@asynccontextmanager
async def called(broker: Broker, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an API on the broker."""
    transport = httpx.ASGITransport(create_app(broker, **options))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as api:
        yield api


async def test_no_wake_up_is_lost(broker: Broker) -> None:
    """However the read and the change interleave, the answer has the change."""
    async with called(broker) as api:
        dice = random.Random(7)
        for number in range(60):
            name = f"d{number}"
            await bring(broker, Status.QUEUED, name)
            async with asking(api, f"/v1/vm/{name}?wait=30") as read, asyncio.timeout(20):
                for _ in range(dice.randrange(30)):
                    await asyncio.sleep(0)
                await broker.transition(TYPE, name, Status.RUNNING)
                assert status_of(await read) == "running"


async def test_a_change_between_the_read_and_the_following_is_seen(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that changes just before its events are followed is read again."""
    await bring(broker, Status.QUEUED)
    follow = EventHub.follow

    @asynccontextmanager
    async def late(hub: EventHub, type_: str) -> AsyncIterator[Any]:
        await broker.transition(type_, "d", Status.RUNNING)
        async with follow(hub, type_) as follower:
            yield follower

    monkeypatch.setattr(EventHub, "follow", late)
    async with called(broker) as api, asyncio.timeout(20):
        assert status_of(await api.get("/v1/vm/d?wait=30")) == "running"


async def test_a_change_while_redis_fails_the_read_is_seen(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that Redis fails is made again: its event has passed by then."""
    await bring(broker, Status.QUEUED)
    read, reads = broker.read, 0

    async def failing(*args: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads == 2:
            await broker.transition(TYPE, "d", Status.RUNNING)
            raise Unavailable("for a moment")
        return await read(*args)

    monkeypatch.setattr(broker, "read", failing)
    async with called(broker) as api, asyncio.timeout(20):
        assert status_of(await api.get("/v1/vm/d?wait=30")) == "running"
    assert reads == 3


async def test_lost_state_answers_who_waits(broker: Broker, client: Redis) -> None:
    """After a FLUSHALL the job is gone: who waits for it is told at once."""
    await bring(broker, Status.QUEUED)
    async with called(broker) as api, asking(api, f"/v1/vm/d{LONG}") as read:
        await waiting(broker)
        await client.flushall()
        async with asyncio.timeout(30):
            refused(await read, 404, "job_not_found")


async def test_the_end_of_the_process_answers_who_waits(broker: Broker) -> None:
    """When the API stops, all reads are answered at once, and later ones too."""
    await bring(broker, Status.QUEUED)
    async with called(broker) as api, asking(api, f"/v1/vm/d{LONG}") as read, asyncio.timeout(20):
        await waiting(broker)
        broker.events.close()
        assert status_of(await read) == "queued"
        assert status_of(await api.get(f"/v1/vm/d{LONG}")) == "queued"


async def test_an_identity_may_wait_so_often_at_once(broker: Broker) -> None:
    """One more than --wait-limit is a 429; another identity may, and so may who has waited."""
    who = WhoHeader(client_of("a", "o"), client_of("b", "o"))
    await bring(broker, Status.QUEUED)
    options: dict[str, Any] = {"authenticators": [who], "rates": RateRules(waits=1)}
    async with called(broker, **options) as api:
        own, other = {"X-Who": "a"}, {"X-Who": "b"}
        async with asking(api, f"/v1/vm/d{LONG}", headers=own) as read:
            await waiting(broker)
            answer = await api.get("/v1/vm/d?wait=1", headers=own)
            refused(answer, 429, "too_many_waits", "1 reads and streams of a wait")
            assert answer.headers["retry-after"] == "5"
            answer = await api.get("/v1/vm/d/events", headers=own)
            refused(answer, 429, "too_many_waits")
            assert status_of(await api.get("/v1/vm/d?wait=1", headers=other)) == "queued"
            await broker.transition(TYPE, "d", Status.RUNNING)
            assert status_of(await read) == "running"
        assert status_of(await api.get("/v1/vm/d?wait=1&until=done", headers=own)) == "running"
