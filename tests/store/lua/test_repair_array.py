"""repair_array.lua, and what the audit finds of arrays."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.audit_line import WantedLines
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, array_submission, grant, publish

KEYS = Keys(TYPE)
DAMAGES = {
    "too few left": lambda c: c.hset(KEYS.of("array", "s"), "left", 2),
    "a damaged number": lambda c: c.hset(KEYS.of("array", "s"), "left", "many"),
    "a holder is not counted": lambda c: c.srem(KEYS.of("holding", "s"), member(1, "s[0]")),
    "one that waits is counted": lambda c: c.sadd(KEYS.of("holding", "s"), member(2, "s[1]")),
    "nobody is counted": lambda c: c.sadd(KEYS.of("holding", "s"), member(99, "s[9]")),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_is_found_and_mended(broker: Broker, client: Redis, name: str) -> None:
    """The audit names it, and is clean after one repair, of which the audit log has a line; then
    the array ends as ever."""
    await publish(broker)
    new = array_submission(3, at_once=1)
    await broker.submit_array(TYPE, new)
    assert await grant(broker, await broker.read(TYPE, "s[0]"), new.shape(0))
    assert await audit(client, TYPE) == []
    await DAMAGES[name](client)
    findings = await audit(client, TYPE)
    assert findings
    ACTOR.set(Actor("cli:me"))
    await broker.repair(TYPE, findings)
    assert await audit(client, TYPE) == []
    lines, _ = await broker.audit_log(TYPE, WantedLines(verb="repair_array"))
    assert [line.subject for line in lines] == ["s[*]"] * any(f.kind == "array" for f in findings)
    assert await broker.holding(TYPE, ["s"]) == {"s": 1}
    await broker.withdraw_array(await broker.read_array(TYPE, "s"))
    assert await client.exists(KEYS.of("array", "s"), KEYS.of("holding", "s")) == 0
