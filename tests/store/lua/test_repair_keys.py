"""repair_keys.lua: deletes what is of another kind, and nothing else."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.audit_line import WantedLines
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, submit

KEYS = Keys(TYPE)


async def test_only_a_key_of_another_kind_is_deleted(broker: Broker, client: Redis) -> None:
    """A key that is of its kind by now stays; the audit log says how many were deleted."""
    await submit(broker)
    await client.set(KEYS.of("usage"), "no hash")
    ACTOR.set(Actor("cli:me"))
    keys = ["usage", "hash", "status:queued", "zset", "none there", "hash"]
    assert (await broker.runner.run("repair_keys", TYPE, keys=keys)).deleted == 1
    assert await client.exists(KEYS.of("usage")) == 0
    assert await client.zcard(KEYS.of("status", "queued")) == 1
    lines, _ = await broker.audit_log(TYPE, WantedLines(verb="repair_keys"))
    assert [line.after for line in lines] == [{"deleted": 1}]
