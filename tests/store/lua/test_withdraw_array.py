"""withdraw_array.lua: the end of an array."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.domain.terms import AtOnce
from rq_broker.store.arrays import PAGE
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, array_submission, grant, publish, queue, shape, submit

KEYS = Keys(TYPE)


async def test_nothing_is_left(broker: Broker, client: Redis) -> None:
    """Jobs in every status are gone with what they held; others stay, and the names are free."""
    await publish(broker)
    new = array_submission(PAGE + 5, at_once=2)
    await broker.submit_array(TYPE, new, "key")
    for number, status in enumerate((Status.GRANTED, Status.RUNNING)):
        assert await grant(broker, await broker.read(TYPE, f"s[{number}]"), new.shape(0))
        if status is Status.RUNNING:
            await broker.transition(TYPE, f"s[{number}]", status)
    await broker.transition(TYPE, "s[2]", Status.DONE)
    await broker.withdraw(TYPE, "s[3]")
    await submit(broker, "s[3]", callback="http://x/again")
    assert not await broker.withdraw_array(await broker.read_array(TYPE, "s"))
    assert await queue(broker) == ["s[3]"]
    assert (await broker.host(TYPE, "h1")).held == {}
    assert await client.exists(KEYS.of("array", "s"), KEYS.of("holding", "s")) == 0
    assert await audit(client, TYPE) == []
    with pytest.raises(errors.JobNotFound):
        await broker.read_array(TYPE, "s")
    await broker.withdraw(TYPE, "s[3]")
    await broker.submit_array(TYPE, new, "key")


async def test_the_last_job_takes_the_record_along(broker: Broker, client: Redis) -> None:
    """Withdrawn one by one, or forgotten after their retention, they leave nothing either."""
    await broker.set_policy(TYPE, {"retention": 0})
    await broker.submit_array(TYPE, array_submission(2), "key")
    await broker.withdraw(TYPE, "s[0]")
    await broker.transition(TYPE, "s[1]", Status.DONE)
    await broker.sweep(TYPE)
    assert await client.exists(KEYS.of("array", "s")) == 0
    assert await client.keys("*submit_keys*") == []
    assert await audit(client, TYPE) == []


async def test_names_per_owner(broker: Broker, client: Redis) -> None:
    """Two owners have arrays of one name, callbacks and limit, and neither sees the other's."""
    await broker.set_policy(TYPE, {"names": "per_owner"})
    await publish(broker)
    for owner in ("o", "p"):
        shapes = (shape(owner=owner),)
        at_once = (replace(shapes[0], at_once=AtOnce("s", 1)),)
        new = array_submission(2, owner_id=owner, shapes=at_once, at_once=1)
        await broker.submit_array(TYPE, new, "key", [owner])
    assert await Granter(broker, TYPE).run_once() == 2
    assert await audit(client, TYPE) == []
    mine = await broker.read_array(TYPE, "s", ["o"])
    assert (mine.request_id, mine.owner_id, mine.counts[Status.GRANTED]) == ("s[*]", "o", 1)
    jobs, _ = await broker.page_array(TYPE, "s", owners=["p"])
    assert [(job.request_id, job.owner_id) for job in jobs] == [("p/s[0]", "p"), ("p/s[1]", "p")]
    await broker.withdraw_array(mine, "key", ["o"])
    with pytest.raises(errors.JobNotFound):
        await broker.read_array(TYPE, "s", ["o"])
    assert sum((await broker.read_array(TYPE, "s", ["p"])).counts.values()) == 2
    assert await audit(client, TYPE) == []
