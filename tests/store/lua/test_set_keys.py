"""set_keys.lua: the keys that callbacks are signed with."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, claim_one


async def test_a_delivery_has_the_keys_of_its_owner_or_of_all(broker: Broker) -> None:
    """An owner's own keys go before those of all owners; without either there are none."""
    await bring(broker, Status.GRANTED)
    assert (await claim_one(broker, lease=0.0)).keys == ()
    await broker.set_keys(TYPE, "*", ["new", "old"])
    assert (await claim_one(broker, lease=0.0)).keys == ("new", "old")
    await broker.set_keys(TYPE, "o", ["own"])
    assert (await claim_one(broker, lease=0.0)).keys == ("own",)
    assert await broker.keys(TYPE) == {"*": ("new", "old"), "o": ("own",)}
    await broker.set_keys(TYPE, "o", [])
    assert await broker.keys(TYPE) == {"*": ("new", "old")}
