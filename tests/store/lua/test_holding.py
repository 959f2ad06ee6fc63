"""holding.lua, and `at_once`: how many jobs of an array hold capacity at a time."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, array_submission, grant, publish, submit


@pytest.mark.parametrize("end", [Status.DONE, Status.ERROR, Status.QUEUED, "withdrawn"])
async def test_no_more_hold_than_may(broker: Broker, client: Redis, end: str) -> None:
    """A grant beyond the number is refused, whatever was planned, until one of them ends."""
    await publish(broker)
    new = array_submission(4, at_once=2)
    await broker.submit_array(TYPE, new)
    jobs = [await broker.read(TYPE, f"s[{number}]") for number in range(4)]
    assert [bool(await grant(broker, job, new.shape(0))) for job in jobs] == [
        True,
        True,
        False,
        False,
    ]
    await broker.transition(TYPE, "s[1]", Status.RUNNING)
    assert await broker.holding(TYPE, ["s", "t"]) == {"s": 2, "t": 0}
    assert not await grant(broker, jobs[2], new.shape(0))
    if end == "withdrawn":
        await broker.withdraw(TYPE, "s[1]")
    else:
        await broker.transition(TYPE, "s[1]", Status(end))
    assert await broker.holding(TYPE, ["s"]) == {"s": 1}
    assert await grant(broker, jobs[2], new.shape(0))
    assert await audit(client, TYPE) == []


async def test_the_granter_goes_on_when_one_ends(broker: Broker, client: Redis) -> None:
    """`at_once` is kept over passes, and a job behind the array goes past it."""
    await publish(broker, VCPU=6)
    await broker.submit_array(TYPE, array_submission(4, at_once=2))
    await submit(broker, "later")
    granter = Granter(broker, TYPE)
    assert await granter.run_once() == 3
    page = await broker.page(TYPE, status="granted")
    assert [job.request_id for job in page.jobs] == ["s[0]", "s[1]", "later"]
    await broker.transition(TYPE, "s[0]", Status.DONE)
    assert await granter.run_once() == 1
    assert (await broker.read(TYPE, "s[2]")).status is Status.GRANTED
    assert await audit(client, TYPE) == []
