"""watch.lua: the time of a snapshot, and the servers whose shares it must tell."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring


async def test_servers_of_running_jobs_are_watched_under_until_seen(broker: Broker) -> None:
    """They are listed while their job is running, and never under the policy until_done."""
    for name in ("d", "e"):
        await bring(broker, Status.GRANTED, name)
        await broker.transition(TYPE, name, Status.RUNNING)
        await broker.transition(TYPE, name, Status.RUNNING, servers=(f"{name}1", f"{name}2"))

    async def watched_servers() -> frozenset[str]:
        started = await broker.watch(TYPE, "lab", 1, 5.0)
        assert started is not None
        return started.servers

    assert await watched_servers() == frozenset()
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    assert await watched_servers() == {"d1", "d2", "e1", "e2"}
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("d3",))
    await broker.transition(TYPE, "e", Status.QUEUED)
    assert await watched_servers() == {"d3"}


async def test_a_snapshot_begins_at_the_time_of_redis(broker: Broker) -> None:
    """The time is Redis's, in ms, so it compares with the times of jobs on any machine."""
    before = await broker.now(TYPE)
    started = await broker.watch(TYPE, "lab", 1, 5.0)
    assert started is not None
    assert before * 1000 - 1 <= started.begun <= await broker.now(TYPE) * 1000
