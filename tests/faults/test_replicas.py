"""Writes that replicas must acknowledge before their call returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import httpx
import pytest
from faulting.topologies import Single

from rq_broker.api.app import create_app
from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from tests.faults.topologies import running
from tests.making import TYPE, submission, submit
from tests.processes import until

DEADLINE = 20.0


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Single]:
    """Start a primary with one replica."""
    async with running(Single, tmp_path) as servers:
        yield servers


@pytest.fixture
async def broker(servers: Single) -> AsyncIterator[Broker]:
    broker = Broker(connect(servers.url), min_replicas_acked=1)
    yield broker
    await broker.aclose()


def _waits(servers: Single) -> int:
    """Return how many WAITs the primary was sent."""
    stats = servers.primary().call("INFO", "commandstats")
    return int(stats["cmdstat_wait"]["calls"]) if "cmdstat_wait" in stats else 0


async def test_an_acknowledged_write_is_on_the_replica(servers: Single, broker: Broker) -> None:
    """A hundred submits at once ask a few times; each is on the replica when it returns."""
    replica = servers.replica()
    await asyncio.gather(*(submit(broker, f"d{number}") for number in range(100)))
    on_replica = replica.call("ZCARD", f"rqb:{{{TYPE}}}:status:queued")
    assert on_replica == 100
    assert 0 < _waits(servers) < 60
    waits = _waits(servers)
    assert (await broker.read(TYPE, "d1")).status is Status.QUEUED
    assert _waits(servers) == waits, "a read does not wait"


async def test_too_few_replicas_are_told(servers: Single, broker: Broker) -> None:
    """Without its replica a write is carried out and refused; a refusal and a read do not wait."""
    await submit(broker, "before")
    servers.replica().kill()
    with pytest.raises(errors.NotReplicated, match="was carried out, but too few replicas"):
        await submit(broker, "d")
    assert (await broker.read(TYPE, "d")).status is Status.QUEUED
    with pytest.raises(errors.DuplicateRequestId):
        await broker.submit(TYPE, submission("d", callback="http://x/other"))
    (spell,) = broker.runner.trouble.present
    assert spell.error is errors.NotReplicated


async def test_an_idle_process_is_ready_and_says_so(servers: Single) -> None:
    """Readiness of an API that has written nothing tells of a lost replica."""
    sentence = "fewer replicas than --min-replicas-acked acknowledge writes in time"
    async with aclosing(Broker(connect(servers.url), min_replicas_acked=1)) as idle:
        transport = httpx.ASGITransport(create_app(idle))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:

            async def says(wanted: str) -> bool:
                answer = await api.get("/readyz")
                return (answer.status_code, answer.json()["data"]["redis"]) == (200, wanted)

            assert await says("ok")
            servers.replica().kill()
            # The primary may answer before it reads that the replica's connection has ended.
            await until(partial(says, sentence), "readiness to tell of the lost replica")


async def test_a_call_that_is_given_up_harms_no_other(broker: Broker) -> None:
    """Cancelled while replicas are asked, a submit leaves the others of the same write alone."""
    calls = [asyncio.create_task(submit(broker, f"d{number}")) for number in range(8)]
    await asyncio.sleep(0)
    calls[3].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(answer) for answer in refused] == [asyncio.CancelledError]


async def test_no_broker_asks_unless_told(servers: Single) -> None:
    """Without the option Redis is sent no WAIT."""
    async with aclosing(Broker(connect(servers.url))) as broker:
        await submit(broker, "d")
        assert _waits(servers) == 0
