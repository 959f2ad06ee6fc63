"""watch.lua: when a snapshot was begun, and whose shares it should tell."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring


async def test_servers_of_running_jobs_are_watched_under_until_seen(broker: Broker) -> None:
    """They are told from the status on until the job runs no more, and never under until_done."""
    for name in ("d", "e"):
        await bring(broker, Status.GRANTED, name)
        await broker.transition(TYPE, name, Status.RUNNING)
        await broker.transition(TYPE, name, Status.RUNNING, servers=(f"{name}1", f"{name}2"))

    async def watched() -> frozenset[str]:
        found = await broker.watch(TYPE, "lab", 1, 5.0)
        assert found is not None
        return found.servers

    assert await watched() == frozenset()
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    assert await watched() == {"d1", "d2", "e1", "e2"}
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("d3",))
    await broker.transition(TYPE, "e", Status.QUEUED)
    assert await watched() == {"d3"}


async def test_begin_is_told_by_the_clock_of_redis(broker: Broker) -> None:
    """The time is Redis's, in ms, so that any poller's snapshots compare with any job's times."""
    before = await broker.now()
    found = await broker.watch(TYPE, "lab", 1, 5.0)
    assert found is not None
    assert before * 1000 - 1 <= found.begun <= await broker.now() * 1000
