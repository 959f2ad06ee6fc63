"""A primary is demoted behind an address that moves, and no connection is closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from faulting.topologies import Single

from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from tests.faults.topologies import RECOVERY_S, Submits, contradictions, reaches, running
from tests.making import TYPE, publish, submit
from tests.processes import Children


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Single]:
    async with running(Single, tmp_path / "servers") as servers:
        yield servers


@pytest.fixture
async def broker(servers: Single) -> AsyncIterator[Broker]:
    broker = Broker(connect(servers.url))
    yield broker
    await broker.aclose()


def _replicaof(servers: Single) -> None:
    """Demote the primary by hand; the address moves first."""
    servers.move_primary()


def _failover(servers: Single) -> None:
    """Have Redis itself swap the roles; the address moves afterwards."""
    primary, standby = servers.primary(), servers.replica()
    primary.call("FAILOVER")
    while servers._role(standby) != "master":
        pass
    servers.nodes[0].proxy.target = standby.port


@pytest.mark.parametrize("demote", [_replicaof, _failover])
async def test_a_demoted_primary_is_left(
    servers: Single, broker: Broker, demote: Callable[[Single], None]
) -> None:
    """Calls reach the new primary though the connections to the old one stay open."""
    submits = Submits(broker)
    await submits.more()
    await asyncio.to_thread(demote, servers)
    await submits.more(100)
    await submits.stop()
    assert submits.answers.keys() <= {"created", "redis_read_only", "redis_unavailable"}
    assert await contradictions(servers, TYPE) == []


async def test_a_notifier_follows_its_redis(
    servers: Single, broker: Broker, spawn: Children
) -> None:
    """A notifier grants before and after its Redis was demoted, and is still the same process."""
    notifier = spawn.notifier(servers.url)
    await publish(broker)
    await submit(broker, "before", callback="http://127.0.0.1:9/before")
    await reaches(broker, "before", "granted")
    await asyncio.to_thread(servers.move_primary)
    async with asyncio.timeout(RECOVERY_S):
        while True:
            try:
                await submit(broker, "after", callback="http://127.0.0.1:9/after")
                break
            except errors.RedisReadOnly:
                await asyncio.sleep(0.05)
    await reaches(broker, "after", "granted")
    assert notifier.process.poll() is None
    assert "Traceback" not in notifier.output()
