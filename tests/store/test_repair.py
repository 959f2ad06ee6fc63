"""Repair: what the audit finds is mended, where the truth can be known."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, bring, grant, publish, submit

KEYS = Keys(TYPE)
Damage = Callable[[Redis, Callable[[str], str]], Awaitable[object]]
STRAY = member(999, "stray")


async def _other_status(client: Redis, name: Callable[[str], str]) -> None:
    await client.zrem(KEYS.of("status", "running"), name("running"))
    await client.zadd(KEYS.of("status", "done"), {name("running"): 5})


def _no_deadline(request_id: str) -> Damage:
    async def damage(client: Redis, name: Callable[[str], str]) -> None:
        await client.zrem(KEYS.of("deadlines"), name(request_id))
        await client.zrem(KEYS.of("owner", "o"), name(request_id))

    return damage


DAMAGES: dict[str, Damage] = {
    "no queue": lambda c, m: c.zrem(KEYS.of("status", "queued"), m("queued")),
    "no owner": lambda c, m: c.zrem(KEYS.of("owner", "o"), m("queued")),
    "no head": lambda c, _: c.delete(KEYS.of("heads")),
    "no status": lambda c, m: c.zrem(KEYS.of("status", "done"), m("done")),
    "another status": _other_status,
    "no delivery": lambda c, m: c.zrem(KEYS.of("deliveries"), m("granted")),
    "a delivery too many": lambda c, m: c.zadd(KEYS.of("deliveries"), {m("done"): 1}),
    "no owner of an ended job, no deadline": _no_deadline("done"),
    "no owner of an offer, no deadline": _no_deadline("granted"),
    "a deadline of nobody": lambda c, _: c.zadd(KEYS.of("deadlines"), {STRAY: 1}),
    "an owner's stray": lambda c, _: c.zadd(KEYS.of("owner", "o"), {STRAY: 1}),
    "a queued stray": lambda c, _: c.zadd(KEYS.of("status", "queued"), {STRAY: 1}),
    "too much held": lambda c, _: c.hset(KEYS.of("host", "h1"), "held:VCPU", 9),
    "damaged held": lambda c, _: c.hset(KEYS.of("host", "h1"), "held:VCPU", "many"),
    "no held": lambda c, _: c.hdel(KEYS.of("host", "h1"), "held:VCPU"),
    "usage": lambda c, _: c.hset(KEYS.of("usage"), "VCPU/o", 1),
    "usage of nobody": lambda c, _: c.hset(KEYS.of("usage"), "VCPU/x", 1),
    "holds of a done job": lambda c, _: c.hset(KEYS.of("holds", "done"), "h1/VCPU", 1),
    "a status that there is none of": lambda c, _: c.hset(KEYS.of("job", "queued"), "status", "x"),
    "a lost host": lambda c, _: c.delete(KEYS.of("host", "h1")),
    "an unlisted host": lambda c, _: c.zrem(KEYS.of("hosts"), "h1"),
    "the ID counter": lambda c, _: c.hset(KEYS.base, "id", 2),
    "the fence counter": lambda c, _: c.hdel(KEYS.base, "fence"),
    "a callback of nobody": lambda c, _: c.hset(KEYS.of("callbacks", "AA"), "x" * 14, "gone"),
}


@pytest.mark.parametrize("name", DAMAGES)
async def test_damage_is_mended(broker: Broker, client: Redis, name: str) -> None:
    """After a repair the audit is clean and grants go on; another repair changes nothing."""
    jobs = [
        await bring(broker, Status.DONE, "done"),
        await bring(broker, Status.RUNNING, "running"),
    ]
    jobs += [await bring(broker, Status.GRANTED, "granted"), await submit(broker, "queued")]
    members = {job.request_id: member(job.id, job.request_id) for job in jobs}
    await DAMAGES[name](client, members.__getitem__)
    findings = await audit(client, TYPE)
    assert findings
    await broker.repair(TYPE, findings)
    assert await audit(client, TYPE) == []
    before = {key: await client.dump(key) for key in sorted(map(str, await client.keys()))}
    await broker.repair(TYPE, findings)
    after = {key: await client.dump(key) for key in sorted(map(str, await client.keys()))}
    changing = {KEYS.base, KEYS.of("later"), KEYS.of("wake")}
    assert {key for key in after if after[key] != before.get(key)} <= changing
    await publish(broker)  # of a lost host only its publisher knows the capacity
    await broker.claim(TYPE, 60.0, 10)  # else nothing is granted once a callback is late
    assert await grant(broker, await broker.read(TYPE, "queued"))
    assert await audit(client, TYPE) == []
