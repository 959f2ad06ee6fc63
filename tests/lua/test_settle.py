"""settle.lua: how a delivery went."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.audit import audit
from rq_broker.broker import Broker
from rq_broker.broker.deliveries import Settlement
from rq_broker.models import Status
from tests.making import TYPE, bring, claim_one


@pytest.mark.parametrize(
    ("outcome", "status"), [("delivered", Status.RUNNING), ("failed", Status.ERROR)]
)
async def test_an_outcome_ends_the_delivery(
    broker: Broker, client: Redis, outcome: str, status: Status
) -> None:
    """delivered keeps the hold and wipes the cause; failed releases it and keeps the cause."""
    await bring(broker, Status.GRANTED)
    await broker.settle(await claim_one(broker), Settlement("retry", cause="reset"))
    assert await broker.settle(await claim_one(broker), Settlement(outcome, cause="410")) == status
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (status, None if outcome == "delivered" else "410")
    assert bool((await broker.host(TYPE, "h1")).held) == (outcome == "delivered")
    assert await broker.claim(TYPE, 60.0, 10) == (None, [])
    assert await audit(client, TYPE) == []


async def test_retry_waits_and_release_does_not(broker: Broker) -> None:
    """A retry falls due after its delay; a release at once, and its attempt is not counted."""
    await bring(broker, Status.GRANTED)
    assert await broker.settle(await claim_one(broker), Settlement("release")) == "granted"
    delivery = await claim_one(broker)
    assert delivery.attempt == 1
    assert (
        await broker.settle(delivery, Settlement("retry", delay=60.0, cause="reset")) == "granted"
    )
    assert (await broker.claim(TYPE, 60.0, 10))[1] == []
    job = await broker.read(TYPE, "d")
    assert (job.attempts, job.error) == (1, "reset")


@pytest.mark.xfail(strict=True, reason="release gives the attempt's number back")
async def test_who_overran_its_lease_is_never_heard(broker: Broker) -> None:
    """Also not when a later attempt was handed back untried."""
    await bring(broker, Status.GRANTED)
    late = await claim_one(broker, lease=0.0)
    await broker.settle(await claim_one(broker), Settlement("release"))
    assert await broker.settle(late, Settlement("failed", cause="late")) == "STALE"


async def test_a_retry_past_the_offer_fails_now(broker: Broker) -> None:
    """When the next attempt would come after the offer's end, the capacity goes on at once."""
    await broker.set_policy(TYPE, {"offer": 30})
    await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker, lease=5.0)
    assert await broker.settle(delivery, Settlement("retry", delay=60.0, cause="reset")) == "error"
    assert (await broker.read(TYPE, "d")).error == "offer expired: reset"
    assert (await broker.host(TYPE, "h1")).held == {}
