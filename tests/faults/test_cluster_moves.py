"""A Cluster of three primaries and three replicas: slots move, nodes die, nothing runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import Path

import pytest
from faulting.servers import VALKEY
from faulting.strikes import move_slot, move_slot_at_once
from faulting.topologies import ClusterOfSix, ValkeyClusterOfSix
from standins.receivers import receiver, responding

from rq_broker.cli.egress import egress_of
from rq_broker.cli.starting import await_redis
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from tests.faults.topologies import RECOVERY_S, Submits, contradictions, reaches, running, status_of
from tests.making import TYPE, publish, submit
from tests.processes import Children

OTHER = "gpu"
GRANTED = "bench"
"""Types whose slots are on other nodes; the second has a host."""
LOG_BYTES = 10_000
"""More than a notifier may write of a slot that is open for some seconds."""


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[ClusterOfSix]:
    async with running(ClusterOfSix, tmp_path / "servers") as servers:
        yield servers


@pytest.fixture
async def broker(servers: ClusterOfSix) -> AsyncIterator[Broker]:
    broker = Broker(connect(servers.url))
    yield broker
    await broker.aclose()


async def test_a_slot_open_towards_an_unknown_node(
    servers: ClusterOfSix, broker: Broker, spawn: Children
) -> None:
    """While it is open its type alone is refused, as resharding; the notifier serves the other."""
    notifier = spawn.notifier(servers.url)
    for type_ in (TYPE, GRANTED):
        await publish(broker, type_=type_, VCPU=100_000)
        await submit(broker, "before", type_)
        await reaches(broker, "before", "granted", type_)
    newcomer, source = await servers.join(), servers.primary()
    names = [node.call("CLUSTER", "MYID") for node in (source, newcomer)]
    newcomer.call("CLUSTER", "SETSLOT", servers.slot, "IMPORTING", names[0])
    source.call("CLUSTER", "SETSLOT", servers.slot, "MIGRATING", names[1])
    submits, others = Submits(broker), Submits(broker, OTHER)
    await submits.refused("resharding")
    await others.more(50)
    assert submits.answers.keys() == {"resharding"}
    assert others.answers.keys() == {"created"}
    await submit(broker, "meanwhile", GRANTED)
    await reaches(broker, "meanwhile", "granted", GRANTED)
    source.call("CLUSTER", "SETSLOT", servers.slot, "STABLE")
    await submits.more()
    await submits.stop()
    await others.stop()
    await reaches(broker, submits.acknowledged[0], "granted")
    assert "Traceback" not in notifier.output()
    assert len(notifier.output()) < LOG_BYTES
    assert await contradictions(servers, TYPE, OTHER, GRANTED) == []


async def test_a_busy_slot_moves(servers: ClusterOfSix, broker: Broker) -> None:
    """Moved under submits, a slot is refused as resharding for a while; nothing is half-written."""
    submits = Submits(broker)
    await submits.more(100)
    source = servers.primary()
    await asyncio.to_thread(move_slot, servers, source)
    await submits.more(50)
    await submits.stop()
    assert servers.primary() is not source
    assert submits.answers.keys() <= {"created", "resharding"}
    assert submits.answers["resharding"]
    assert await contradictions(servers, TYPE) == []
    for name in submits.acknowledged:
        assert await status_of(broker, name) == "queued"


async def test_a_busy_slot_of_valkey_moves_at_once(tmp_path: Path, spawn: Children) -> None:
    """Moved there and back under submits, grants and callbacks, no job is gone or repeated."""
    assert VALKEY.exists(), "run scripts/install.sh version valkey"
    async with (
        running(ValkeyClusterOfSix, tmp_path / "servers") as servers,
        aclosing(Broker(connect(servers.url))) as broker,
        receiver(responding(200)) as sink,
    ):
        notifier = spawn.notifier(servers.url)
        await publish(broker, VCPU=100_000)
        submits = Submits(broker, clients=16, destination=sink.url(path=""))
        others = Submits(broker, OTHER)
        await submits.more(100)
        for _ in range(2):
            source = servers.primary()
            await asyncio.to_thread(move_slot_at_once, servers, source)
            await submits.more(100)
        await submits.stop()
        await others.stop()
        # The calls of the instant may go to the old node, which answers none of them.
        assert submits.answers.keys() <= {"created", "redis_unavailable"}
        assert others.answers.keys() == {"created"}
        for name in submits.acknowledged:
            await reaches(broker, name, "running")
        assert len(notifier.output()) < LOG_BYTES
        assert "Traceback" not in notifier.output()
        assert await contradictions(servers, TYPE, OTHER) == []


@pytest.mark.parametrize("how", ["killed", "planned"])
async def test_no_submit_is_answered_as_its_own_duplicate(
    servers: ClusterOfSix, broker: Broker, how: str
) -> None:
    """Through a failover each submit is carried out once at most; calls go on by themselves."""
    submits, others = Submits(broker, clients=16), Submits(broker, OTHER)
    await submits.more(100)
    old = servers.primary()
    if how == "killed":
        old.kill()
        await submits.refused("redis_unavailable")
    else:
        await asyncio.to_thread(servers.move_primary)
    await submits.more(100)
    await others.more()
    await submits.stop()
    await others.stop()
    assert "duplicate_request_id" not in submits.answers
    assert submits.answers.keys() <= {"created", "redis_unavailable", "redis_cluster_down"}
    assert others.answers.keys() <= {"created", "redis_cluster_down"}
    assert await asyncio.to_thread(servers.primary) is not old
    assert await contradictions(servers, TYPE, OTHER) == []


async def test_every_node_is_closed_to_callbacks(servers: ClusterOfSix) -> None:
    """The notifier learns the nodes that its URL does not name, replicas too, at its start."""
    async with asyncio.timeout(RECOVERY_S):  # replicas are known to all after a while
        while len(found := await await_redis(servers.url, "notifier")) < len(servers.nodes):
            await asyncio.sleep(0.1)
    settings = Settings(redis=servers.url, callback_allow=("127.0.0.0/8",))
    egress = egress_of(settings, servers=found)
    for node in servers.nodes:
        verdict = egress.check(ip_address("127.0.0.1"), node.proxy_port)
        assert (verdict.allowed, verdict.reason) == (False, "own_service")
