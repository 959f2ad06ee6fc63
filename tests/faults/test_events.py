"""Events while Redis is killed and restarted, demoted, and while slots of a Cluster move."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from faulting.strikes import move_slot
from faulting.topologies import ClusterOfSix, SentinelTrio

from rq_broker.api import create_app
from rq_broker.domain.errors import BrokerError
from rq_broker.domain.events import LOST
from rq_broker.domain.jobs import Status
from rq_broker.store import event_hub
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server, free_port
from rq_broker.store.event_feed import Follower
from tests.api.test_events import following, serving
from tests.faults.topologies import RECOVERY_S, contradictions, running
from tests.making import TYPE, submit

TYPES = (TYPE, "gpu", "bench")
"""Types whose slots are on different nodes of a Cluster."""


async def _submitted(broker: Broker, name: str, type_: str = TYPE) -> None:
    """Submit a job, once Redis takes it."""
    async with asyncio.timeout(RECOVERY_S):
        while True:
            with suppress(BrokerError):
                await submit(broker, name, type_)
                return
            await asyncio.sleep(0.05)


async def _names(follower: Follower, last: str) -> list[str]:
    """Return the names of the jobs in the events, or `lost`, up to one of this name."""
    names: list[str] = []
    async with asyncio.timeout(RECOVERY_S):
        while last not in names:
            await follower.wait()
            names += [each.name or each.word for each in follower.events()]
    return names


async def test_a_restart_of_redis_loses_no_event(server: Server, lasting: Broker) -> None:
    """A follower and a waiting read outlive a kill of Redis: all that happened is told, once."""
    await submit(lasting, "waits")
    transport = httpx.ASGITransport(create_app(lasting))
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://test") as api,
        lasting.events.follow(TYPE) as follower,
    ):
        reading = asyncio.create_task(api.get("/v1/vm/waits?wait=60"))
        async with asyncio.timeout(RECOVERY_S):
            while not lasting.events._feeds[TYPE]._by_job:
                await asyncio.sleep(0.005)
        await submit(lasting, "before")
        server.kill()
        server.start()
        await _submitted(lasting, "after")
        assert await _names(follower, "after") == ["before", "after"]
        assert not reading.done()
        await lasting.transition(TYPE, "waits", Status.RUNNING)
        async with asyncio.timeout(RECOVERY_S):
            answer = await reading
        assert answer.json()["data"]["Status"] == "running"
    assert await audit(lasting.runner.client, TYPE) == []


async def _tracking(broker: Broker) -> set[str]:
    """Return the connections over which Redis tells of changes."""
    clients: str = await broker.runner.command("CLIENT", "LIST")
    return {line.split()[0] for line in clients.splitlines() if " flags=t" in line}


async def test_a_demoted_server_is_left(lasting: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to a server that became a replica is given up for a new one, with all that is
    followed over it."""
    monkeypatch.setattr(event_hub, "BEAT_SECONDS", 0.05)
    await submit(lasting, "before")
    async with lasting.events.follow(TYPE) as follower:
        old = await _tracking(lasting)
        await lasting.runner.command("REPLICAOF", "127.0.0.1", free_port())
        async with asyncio.timeout(RECOVERY_S):
            while not (new := await _tracking(lasting)) or new & old:
                await asyncio.sleep(0.02)
        await lasting.runner.command("REPLICAOF", "NO", "ONE")
        await _submitted(lasting, "after")
        assert (await _names(follower, "after"))[-1] == "after"


async def test_followers_find_a_slot_that_moved(tmp_path: Path) -> None:
    """Types of every node of a Cluster are followed, also after a slot has moved to another."""
    async with running(ClusterOfSix, tmp_path / "servers") as servers:
        broker = Broker(connect(servers.url))
        contexts = [broker.events.follow(type_) for type_ in TYPES]
        followers = [await context.__aenter__() for context in contexts]
        for type_, follower in zip(TYPES, followers, strict=True):
            await _submitted(broker, "before", type_)
            assert await _names(follower, "before") == ["before"]
        everything = broker.events.follow_all(lambda _: True)
        of_all = await everything.__aenter__()
        assert of_all.starts.keys() == set(TYPES)
        await asyncio.to_thread(move_slot, servers, servers.primary())
        for type_, follower in zip(TYPES, followers, strict=True):
            await _submitted(broker, "after", type_)
            names = await _names(follower, "after")
            assert names[-1] == "after"
            assert set(names) <= {"after", LOST}
        told = Counter[str]()
        while told["after"] < len(TYPES):
            told.update(await _names(of_all, "after"))
        assert set(told) <= {"after", LOST}
        for context in contexts:
            await context.__aexit__(None, None, None)
        await everything.__aexit__(None, None, None)
        await broker.aclose()
        assert await contradictions(servers, *TYPES) == []


async def test_an_open_stream_of_all_types_outlives_a_kill_of_redis(
    server: Server, lasting: Broker
) -> None:
    """Over HTTP each event comes once, also of a type that comes later; another process of the API
    goes on where this one was."""
    await submit(lasting, "old")
    async with serving(lasting) as api, following(api, "/events") as stream:
        await submit(lasting, "before")
        first = await stream.next()
        server.kill()
        server.start()
        await _submitted(lasting, "after")
        await _submitted(lasting, "first", "late")
        told = [first, *[await stream.next() for _ in range(2)]]
    assert [each["request_id"] for each in told] == ["before", "after", "first"]
    second = Broker(connect(server.url))
    headers = {"Last-Event-ID": first["sse_id"]}
    async with serving(second) as api, following(api, "/events", **headers) as stream:
        again = {(await stream.next())["request_id"] for _ in range(2)}
    assert again == {"after", "first"}
    await second.aclose()
    assert await audit(lasting.runner.client, TYPE) == []


async def test_an_open_stream_outlives_a_failover(tmp_path: Path) -> None:
    """Under Sentinel the stream goes on at the new primary; what that one lost is told."""
    async with running(SentinelTrio, tmp_path) as servers:
        broker = Broker(connect(servers.url))
        await _submitted(broker, "old")
        async with serving(broker) as api, following(api, "/events?type=vm") as stream:
            await _submitted(broker, "before")
            assert (await stream.next())["request_id"] == "before"
            await asyncio.to_thread(servers.primary().kill)
            await _submitted(broker, "after")
            names: list[str] = []
            while "after" not in names:
                told = await stream.next()
                names.append(told.get("request_id", told["event"]))
            assert set(names) <= {"after", LOST}
        await broker.aclose()
        assert await contradictions(servers, TYPE) == []
