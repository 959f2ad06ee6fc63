"""running_holds.lua: the jobs that hold capacity, in parts."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, RunningHold
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, shape, submit

KEYS = Keys(TYPE)


async def test_a_hold_has_all_that_its_grant_gave_it(broker: Broker, client: Redis) -> None:
    """Amounts are added up by host; what the grant was not given is None or empty."""
    await publish(broker, "h1")
    await publish(broker, "h2")
    wanted = shape({"VCPU": 2, "GPU": 0}, {"VCPU": 3}, {"VCPU": 1})
    job = await submit(broker, shape=wanted, expected=90.5)
    await grant(broker, job, wanted, "h1", "h1", "h2")
    kept: Any = {
        "predicted": "7500",
        "predicted_from": "owner",
        "demand_key": "demand",
        "size": "-3",
    }
    await client.hset(KEYS.of("job", "d"), mapping=kept)
    await bring(broker, Status.RUNNING, "plain")
    await client.hdel(KEYS.of("job", "plain"), *kept)
    (cursor, (hold,)) = await broker.running_holds(TYPE, Status.GRANTED)
    granted = int(await client.hget(KEYS.of("job", "d"), "granted") or 0) / 1000
    amounts = {"h1": {"VCPU": 5, "GPU": 0}, "h2": {"VCPU": 1}}
    assert hold == RunningHold(
        *(job.id, "d", "o", granted, amounts, wanted.demand, 7.5, "owner", "demand", -3, 90.5)
    )
    (cursor, (plain,)) = await broker.running_holds(TYPE, Status.RUNNING)
    assert cursor == "0"
    assert (plain.predicted, plain.predicted_from, plain.demand_key) == (None, "", "")
    assert (plain.size, plain.expected) == (None, None)


async def test_parts_have_every_hold(broker: Broker) -> None:
    """Read part by part, each running job that holds is there; one without a grant is not."""
    await publish(broker, VCPU=1000)
    names = {f"r{number}" for number in range(200)}
    for name in names:
        await grant(broker, await submit(broker, name))
        await broker.transition(TYPE, name, Status.RUNNING)
    await bring(broker, Status.QUEUED, "by hand")
    await broker.transition(TYPE, "by hand", Status.RUNNING)
    read, cursor, parts = set[str](), "0", 0
    while parts == 0 or cursor != "0":
        cursor, part = await broker.running_holds(TYPE, Status.RUNNING, cursor, limit=50)
        assert len(part) < 200
        read |= {hold.request_id for hold in part}
        parts += 1
    assert read == names


async def test_what_a_source_counts_as_used_stays_in_the_hold(
    broker: Broker, client: Redis
) -> None:
    """Under until_seen a running job keeps its whole grant, though nothing of it is held."""
    await broker.set_policy(TYPE, {"holds": "until_seen", "settle": 0})
    await bring(broker, Status.RUNNING)
    await client.rename(KEYS.of("holds", "d"), KEYS.of("seen", "d"))
    _, (hold,) = await broker.running_holds(TYPE, Status.RUNNING)
    assert hold.amounts == {"h1": {"VCPU": 1}}
