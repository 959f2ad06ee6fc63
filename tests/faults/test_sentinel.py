"""Redis behind three Sentinels: its primary is killed, and one Sentinel hangs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from faulting.topologies import SentinelTrio

from rq_broker.cli.starting import await_redis
from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from tests.faults.topologies import Submits, contradictions, running
from tests.making import TYPE


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[SentinelTrio]:
    async with running(SentinelTrio, tmp_path) as servers:
        yield servers


async def test_the_primary_that_sentinels_name_is_found(servers: SentinelTrio) -> None:
    """Killed with -9, a primary is followed by the one that the Sentinels elect; none is double."""
    broker = Broker(connect(servers.url))
    submits = Submits(broker)
    await submits.more()
    old = servers.primary()
    old.kill()
    await submits.refused("redis_unavailable")
    await submits.more()
    await submits.stop()
    assert submits.answers.keys() <= {"created", "redis_unavailable", "redis_read_only"}
    assert await asyncio.to_thread(servers.primary) is not old
    assert await contradictions(servers, TYPE) == []
    await broker.aclose()


async def test_a_sentinel_that_hangs_is_passed_over(servers: SentinelTrio) -> None:
    """Two of three Sentinels are stopped: the third names the primary within the time of a call."""
    for sentinel in servers._sentinels[:2]:
        sentinel.send_signal(signal.SIGSTOP)
    broker = Broker(connect(servers.url))
    await broker.ping()
    await broker.aclose()


async def test_a_service_that_no_sentinel_watches_is_unavailable(servers: SentinelTrio) -> None:
    """The caller gets no name and no address; the log has the cause."""
    broker = Broker(connect(servers.url.replace("/broker/", "/other/")))
    with pytest.raises(errors.Unavailable) as refused:
        await broker.ping()
    assert str(refused.value) == "Redis does not answer"
    assert refused.value.__cause__
    assert "other" in str(refused.value.__cause__.__cause__)
    await broker.aclose()


async def test_the_servers_behind_sentinels_are_known(servers: SentinelTrio) -> None:
    """The notifier closes them to callbacks: the primary and both replicas."""
    found = await await_redis(servers.url, "notifier")
    assert {port for _, port in found} == {node.proxy_port for node in servers.nodes}
