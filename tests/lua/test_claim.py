"""claim.lua: callbacks that are due."""

from __future__ import annotations

import asyncio

from rq_broker.broker import Broker
from rq_broker.broker.deliveries import Settlement
from rq_broker.models import Status
from tests.making import TYPE, bring, claim_one, settle


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
