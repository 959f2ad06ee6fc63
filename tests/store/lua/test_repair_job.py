"""repair_job.lua: the indexes of one job; tests/store/test_repair.py damages each of them."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, bring

KEYS = Keys(TYPE)


@pytest.mark.parametrize(
    ("listed", "status"),
    [
        (["running"], "running"),
        ([], None),
        (["running", "done"], None),
        (["done"], None),  # it holds capacity, which a done job does not
    ],
)
async def test_a_job_without_a_status_gets_that_of_the_one_set_which_lists_it(
    broker: Broker, client: Redis, listed: list[str], status: str | None
) -> None:
    """What a job is cannot be guessed: if its sets and holds do not agree, it stays as it is."""
    job = await bring(broker, Status.RUNNING)
    name = member(job.id, "d")
    await client.hdel(KEYS.of("job", "d"), "status")
    await client.zrem(KEYS.of("status", "running"), name)
    for each in listed:
        await client.zadd(KEYS.of("status", each), {name: 5})
    before = {key: await client.dump(key) for key in await client.keys()}
    reply = await broker.runner.run("repair_job", TYPE, member=name, callback=None, sets=[])
    assert reply.repaired == (status is not None)
    assert await client.hget(KEYS.of("job", "d"), "status") == status
    if status is None:
        assert {key: await client.dump(key) for key in await client.keys()} == before
