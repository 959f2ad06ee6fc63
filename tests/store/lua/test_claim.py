"""claim.lua: callbacks that are due."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from tests.making import TYPE, bring, claim_one, settle
from tests.store.lua.breaking import KEYS, UNHEALTHY, claims, granted_to


async def test_a_grant_owes_one_callback(broker: Broker) -> None:
    """A granted job's delivery is claimed once a lease, with the job as it is."""
    job = await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker)
    assert delivery.attempt == 1
    assert (delivery.job.request_id, delivery.job.fence) == ("d", job.fence)
    assert delivery.job.hosts == ("h1",)
    wait, again = await broker.claim(TYPE, 60.0, 10)
    assert again == []
    assert wait is not None
    assert 0 < wait <= 60.0


async def test_a_lease_that_ended_lets_the_next_claim(broker: Broker) -> None:
    """Who overran its lease is not heard; the newest attempt is."""
    await bring(broker, Status.GRANTED)
    late = await claim_one(broker, lease=0.0)
    newest = await claim_one(broker)
    assert newest.attempt == 2
    assert await settle(broker, late, Settlement("failed", cause="late")) == "STALE"
    assert await settle(broker, newest, Settlement("delivered")) == "running"
    assert await settle(broker, newest, Settlement("failed")) == "STALE"


async def test_no_offer_ends_while_a_callback_is_on_its_way(broker: Broker) -> None:
    """An attempt claimed inside the offer may end after it, as long as its lease lasts."""
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
    claimed = {delivery.job.request_id: delivery.attempt for delivery in await claims(broker)}
    assert claimed == {"a": 1, "b": 1}


async def _proven(broker: Broker, host: str, milliseconds: int = 5) -> None:
    """Have a destination answer one callback, in so long."""
    await granted_to(broker, host, f"first-{host}")
    came = Settlement("delivered", "http_200", milliseconds, health="healthy")
    await settle(broker, await claim_one(broker), came)


async def test_the_unproven_get_no_more_than_their_share(client: Redis, broker: Broker) -> None:
    """Callbacks to whom nobody knows, due long before, leave room for one to a prompt receiver."""
    await _proven(broker, "prompt")
    await granted_to(broker, "unknown", *(f"u{n}" for n in range(5)))
    await granted_to(broker, "prompt", "p")
    _, found = await broker.claim(TYPE, 60.0, 4, 2)
    assert [each.job.request_id for each in found] == ["u0", "u1", "p"]
    assert [each.unproven for each in found] == [True, True, False]
    wait, none = await broker.claim(TYPE, 60.0, 4, 0)
    assert none == []
    assert wait is not None
    assert wait > 50.0  # nothing that could go is due: no claimer asks again at once
    assert len((await broker.claim(TYPE, 60.0, 4, 4))[1]) == 3
    assert await audit(client, TYPE) == []


async def test_who_does_not_fail_goes_before_who_does(client: Redis, broker: Broker) -> None:
    """A first callback to an unknown destination waits for no number of others' next tries."""
    await granted_to(broker, "ill", *(f"i{n}" for n in range(6)))
    for delivery in await claims(broker, 3):
        await settle(broker, delivery, UNHEALTHY)  # to be tried again at once
    await granted_to(broker, "new", "n0", "n1")
    found = [each.job.request_id for each in await claims(broker, 4)]
    assert found[:3] == ["i3", "i4", "i5"]  # nobody knew of it when they came
    await granted_to(broker, "ill", "late")
    await granted_to(broker, "newer", "n2")
    found += [each.job.request_id for each in await claims(broker, 9)]
    assert found[3:6] == ["n0", "n1", "n2"]
    assert sorted(found[6:]) == ["i0", "i1", "i2", "late"]
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize(
    ("came", "unproven"),
    [
        (Settlement("retry", "timeout", 5, health="unhealthy"), True),
        (Settlement("retry", "http_429", 5, slow_down=0.001), False),
        (Settlement("retry", "http_404", 1500, health="healthy"), True),
        (Settlement("retry", "http_404", 5, health="healthy"), False),
    ],
    ids=["failing", "spared", "slow", "prompt"],
)
async def test_a_destination_is_prompt_as_long_as_it_answers_so(
    client: Redis, broker: Broker, came: Settlement, unproven: bool
) -> None:
    """One failure or one slow answer, and what it is owed, claimed or not, is unproven again."""
    await _proven(broker, "x")
    await granted_to(broker, "x", "a", "b")
    _, (first,) = await broker.claim(TYPE, 60.0, 1, 0)
    await settle(broker, first, came)
    await asyncio.sleep(0.01)
    assert (await broker.claim(TYPE, 60.0, 10, 0))[1] == [] if unproven else True
    _, found = await broker.claim(TYPE, 60.0, 10, 10)
    assert {each.job.request_id for each in found} == {"a", "b"}
    assert {each.unproven for each in found} == {unproven}
    assert await audit(client, TYPE) == []
