"""audit_callbacks.lua: which job the index gives each callback to."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, digest
from tests.making import TYPE, submit


async def test_each_callback_has_its_job(broker: Broker, client: Redis) -> None:
    """The answer is in the order of the digests; unknown ones and a damaged hash have no job."""
    await submit(broker, "d")
    known, unknown = digest("http://x/d"), digest("http://x/other")
    walk = Walk(client, TYPE)
    assert await walk.indexed_jobs([unknown, known]) == ["", "d"]
    await client.set(Keys(TYPE).of("callbacks", unknown[:2]), "damaged")
    assert await walk.indexed_jobs([known, unknown]) == ["d", ""]
