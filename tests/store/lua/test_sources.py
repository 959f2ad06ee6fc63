"""sources.lua: the state of a type's sources."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from rq_broker.api.views import SourceView
from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests.making import TYPE


async def _show(broker: Broker, name: str, *hosts: Host, interval: float = 60.0) -> None:
    watched = await broker.watch(TYPE, name, 1, interval)
    assert watched is not None
    await broker.apply(TYPE, name, 1, watched.begun, SourceReport(1, hosts, {}))


async def test_a_source_without_a_snapshot_for_three_intervals_is_stale(broker: Broker) -> None:
    """Each source has its own interval; its age counts from the begin of its last snapshot."""
    await _show(broker, "slow")
    await _show(broker, "quick", interval=0.01)
    await broker.watch(TYPE, "never", 1, 0.01)
    await asyncio.sleep(0.06)
    never, quick, slow = await broker.sources(TYPE)
    assert (never.stale, quick.stale, slow.stale) == (True, True, False)
    assert never.age is None
    assert quick.age is not None
    assert 0.05 < quick.age < 30
    assert SourceView.of(quick).age == quick.age


async def test_an_unpolled_source_without_hosts_is_forgotten(broker: Broker, client: Redis) -> None:
    """It is forgotten an hour after its last poll; a source with hosts stays, as stale."""
    await _show(broker, "empty")
    await _show(broker, "full", Host("h1", {"VCPU": 1}))
    for name in ("empty", "full"):
        await client.hset(Keys(TYPE).of("source", name), "tried", "0")
    assert [state.name for state in await broker.sources(TYPE)] == ["full"]
    await broker.sweep(TYPE)
    assert await client.exists(Keys(TYPE).of("source", "empty")) == 0
