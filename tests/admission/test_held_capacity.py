"""held_capacity.py: running holds in the order of their expected ends, learnt from ended ones."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.admission.held_capacity import HeldCapacity
from rq_broker.domain.holding_times import FIRST_GUESS
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, publish, submit


async def running(
    broker: Broker, name: str, predicted: float = 60.0, expected: float | None = None
) -> None:
    """Bring a job to running, predicted to hold for some seconds."""
    await publish(broker, VCPU=100)
    await grant(broker, await submit(broker, name, expected=expected), predicted=predicted)
    await broker.transition(TYPE, name, Status.RUNNING)


async def aged(client: Redis, name: str, seconds: int) -> None:
    """Make a job have been granted so many seconds earlier than it was."""
    await client.hincrby(Keys(TYPE).of("job", name), "granted", -1000 * seconds)


async def test_holds_come_in_the_order_of_their_expected_ends(broker: Broker) -> None:
    """Each read has the holds of now, as the grants and later words of their clients predict."""
    held = HeldCapacity(broker, TYPE)
    for name, predicted in (("long", 90.0), ("short", 30.0), ("middle", 60.0)):
        await running(broker, name, predicted)
    now, holds = await broker.now(TYPE), (await held.read()).holds
    assert [hold.request_id for hold in holds] == ["short", "middle", "long"]
    assert holds[0].ends == pytest.approx(now + 30, abs=5)
    assert holds[0].amounts == {"h1": {"VCPU": 1}}
    await broker.transition(TYPE, "middle", Status.DONE)
    await broker.set_expected(TYPE, "long", 10.0)
    names = [hold.request_id for hold in (await held.read()).holds]
    assert names == ["long", "short"]


async def test_history_is_what_ended_jobs_held(broker: Broker, client: Redis) -> None:
    """What the next job of an owner will hold follows what its last ones did, read by read."""
    held = HeldCapacity(broker, TYPE)
    assert (await held.read_history()).mean == FIRST_GUESS
    for count, seconds in enumerate((100, 300), 1):
        await running(broker, f"d{count}")
        await aged(client, f"d{count}", seconds)
        await broker.transition(TYPE, f"d{count}", Status.DONE)
        assert len(await held.read_history()) == count
    assert (await held.read_history()).mean == pytest.approx(200, abs=5)


async def test_a_hold_that_outlived_its_prediction_gets_a_longer_one(
    broker: Broker, client: Redis
) -> None:
    """Its expected end is never in the past, however old it is."""
    await running(broker, "old", 60.0)
    await aged(client, "old", 1000)
    now = await broker.now(TYPE)
    (hold,) = (await HeldCapacity(broker, TYPE).read()).holds
    assert hold.ends > now


async def test_an_owner_that_lied_is_predicted_from_its_own_history(
    broker: Broker, client: Redis
) -> None:
    """Once its jobs outlived what it said, another word of it moves no expected end."""
    for number in range(3):
        await running(broker, f"d{number}", 60.0, expected=60.0)
        await aged(client, f"d{number}", 1000)
        await broker.transition(TYPE, f"d{number}", Status.DONE)
    await running(broker, "d3", 1000.0)
    await broker.set_expected(TYPE, "d3", 5.0)
    now = await broker.now(TYPE)
    (hold,) = (await HeldCapacity(broker, TYPE).read()).holds
    assert hold.ends == pytest.approx(now + 1000, abs=10)
