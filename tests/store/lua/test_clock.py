"""clock.lua: the type's clock."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring

BASE = Keys(TYPE).base
HOUR = 3_600_000


async def test_the_time_is_the_wall_clocks_with_an_offset(broker: Broker, client: Redis) -> None:
    """Without a step the type's time is Redis's; an offset is added to it."""
    wall = await broker.runner.now()
    assert 0 <= await broker.now(TYPE) - wall < 60
    await client.hset(BASE, "clock_offset", HOUR)
    assert 0 <= await broker.now(TYPE) - wall - HOUR / 1000 < 60


async def test_scripts_note_the_time_seldom(broker: Broker, client: Redis) -> None:
    """The latest time is noted once within a second, however many scripts run."""
    await bring(broker, Status.GRANTED)
    first = await client.hget(BASE, "clock_latest")
    await client.hset(BASE, "clock_latest", int(first or 0) + 500)
    await broker.sweep(TYPE)
    assert await client.hget(BASE, "clock_latest") == str(int(first or 0) + 500)
