"""repair_job.lua: the indexes of one job; tests/store/test_repair.py damages each of them."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, bring

KEYS = Keys(TYPE)


async def test_a_job_without_a_status_is_left_as_it_is(broker: Broker, client: Redis) -> None:
    """What a job is cannot be guessed: one whose hash does not say is not touched."""
    job = await bring(broker, Status.RUNNING)
    await client.hdel(KEYS.of("job", "d"), "status")
    before = await client.zrange(KEYS.of("status", "running"), 0, -1)
    reply = await broker.runner.run(
        "repair_job", TYPE, member=member(job.id, "d"), callback=None, sets=[]
    )
    assert not reply.repaired
    assert await client.zrange(KEYS.of("status", "running"), 0, -1) == before
