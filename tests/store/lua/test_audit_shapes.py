"""audit_shapes.lua: what stands of each shape, in the order of the digests."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker
from rq_broker.store.keys import digest
from tests.making import TYPE, shape, submit


async def test_each_shape_has_its_demand_and_its_first_job(broker: Broker, client: Redis) -> None:
    """A shape with waiting jobs has all three; an unknown one has nothing."""
    await submit(broker, "a", priority=7)
    await submit(broker, "b", priority=5)
    canonical = shape().canonical()
    unknown, known = await Walk(client, TYPE).shapes(["unknown", digest(canonical)])
    assert unknown == ("", "", "")
    assert (known.demand, float(known.head), float(known.first)) == (canonical, 5, 5)
