"""claim.lua: callbacks that are due, and the order in which they are claimed."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from tests.making import TYPE, bring, claim_one, settle
from tests.store.lua.breaking import KEYS, UNHEALTHY, claim_due, grant_at


async def test_a_granted_job_is_claimed_once_a_lease(broker: Broker) -> None:
    """Its delivery has the job as it is now, and is not due again before the lease ends."""
    job = await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker)
    assert delivery.attempt == 1
    assert (delivery.job.request_id, delivery.job.fence) == ("d", job.fence)
    assert delivery.job.hosts == ("h1",)
    wait, again = await broker.claim(TYPE, 60.0, 10)
    assert again == []
    assert wait is not None
    assert 0 < wait <= 60.0


async def test_a_callback_is_due_again_after_its_lease(broker: Broker) -> None:
    """An attempt that outlived its lease does not count; the newest attempt does."""
    await bring(broker, Status.GRANTED)
    late = await claim_one(broker, lease=0.0)
    newest = await claim_one(broker)
    assert newest.attempt == 2
    assert await settle(broker, late, Settlement("failed", cause="late")) == "STALE"
    assert await settle(broker, newest, Settlement("delivered")) == "running"
    assert await settle(broker, newest, Settlement("failed")) == "STALE"


async def test_no_offer_ends_while_its_callback_is_in_flight(broker: Broker) -> None:
    """An attempt claimed before the offer's end may succeed after it, until its lease ends."""
    await broker.set_policy(TYPE, {"offer": 0.3})
    await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker, lease=60.0)
    await asyncio.sleep(0.4)
    assert (await broker.sweep(TYPE))[1] == 0
    assert await settle(broker, delivery, Settlement("delivered")) == "running"


async def test_a_job_whose_attempts_cannot_be_counted_is_claimed_all_the_same(
    client: Redis, broker: Broker
) -> None:
    """A damaged count of attempts begins anew, and stops no other claim of the same call."""
    for name in ("a", "b"):
        await bring(broker, Status.GRANTED, name)
    await client.hset(KEYS.of("job", "a"), "attempts", "many")
    claimed = {delivery.job.request_id: delivery.attempt for delivery in await claim_due(broker)}
    assert claimed == {"a": 1, "b": 1}


async def _proven(broker: Broker, host: str, milliseconds: int = 5) -> None:
    """Let a destination answer one callback, after some milliseconds."""
    await grant_at(broker, host, f"first-{host}")
    settlement = Settlement("delivered", "http_200", milliseconds, health="healthy")
    await settle(broker, await claim_one(broker), settlement)


async def test_unproven_destinations_get_no_more_than_their_share(
    client: Redis, broker: Broker
) -> None:
    """Callbacks to an unproven destination, due long before, leave room for a prompt one."""
    await _proven(broker, "prompt")
    await grant_at(broker, "unknown", *(f"u{n}" for n in range(5)))
    await grant_at(broker, "prompt", "p")
    _, deliveries = await broker.claim(TYPE, 60.0, 4, 2)
    assert [delivery.job.request_id for delivery in deliveries] == ["u0", "u1", "p"]
    assert [delivery.unproven for delivery in deliveries] == [True, True, False]
    wait, none = await broker.claim(TYPE, 60.0, 4, 0)
    assert none == []
    assert wait is not None
    assert wait > 50.0  # no callback that may be claimed is due
    assert len((await broker.claim(TYPE, 60.0, 4, 4))[1]) == 3
    assert await audit(client, TYPE) == []


async def test_first_callbacks_go_before_retries(client: Redis, broker: Broker) -> None:
    """A first callback to an unproven destination does not wait for retries to a failing one."""
    await grant_at(broker, "failing", *(f"i{n}" for n in range(6)))
    for delivery in await claim_due(broker, 3):
        await settle(broker, delivery, UNHEALTHY)  # due again at once
    await grant_at(broker, "new", "n0", "n1")
    names = [delivery.job.request_id for delivery in await claim_due(broker, 4)]
    assert names[:3] == ["i3", "i4", "i5"]  # scheduled before it failed
    await grant_at(broker, "failing", "late")
    await grant_at(broker, "newer", "n2")
    names += [delivery.job.request_id for delivery in await claim_due(broker, 9)]
    assert names[3:6] == ["n0", "n1", "n2"]
    assert sorted(names[6:]) == ["i0", "i1", "i2", "late"]
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize(
    ("settlement", "unproven"),
    [
        (Settlement("retry", "timeout", 5, health="unhealthy"), True),
        (Settlement("retry", "http_429", 5, slow_down=0.001), False),
        (Settlement("retry", "http_404", 1500, health="healthy"), True),
        (Settlement("retry", "http_404", 5, health="healthy"), False),
    ],
    ids=["failing", "spared", "slow", "prompt"],
)
async def test_one_slow_answer_or_failure_makes_a_destination_unproven(
    client: Redis, broker: Broker, settlement: Settlement, unproven: bool
) -> None:
    """Its callbacks, claimed or not, count as unproven from then on."""
    await _proven(broker, "x")
    await grant_at(broker, "x", "a", "b")
    _, (first,) = await broker.claim(TYPE, 60.0, 1, 0)
    await settle(broker, first, settlement)
    await asyncio.sleep(0.01)
    assert (await broker.claim(TYPE, 60.0, 10, 0))[1] == [] if unproven else True
    _, deliveries = await broker.claim(TYPE, 60.0, 10, 10)
    assert {delivery.job.request_id for delivery in deliveries} == {"a", "b"}
    assert {delivery.unproven for delivery in deliveries} == {unproven}
    assert await audit(client, TYPE) == []
