"""reset.lua: a breaker closed by hand."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, claim_one, grant, submit
from tests.store.lua.test_destinations import HERE, fail


async def test_a_reset_closes_the_breaker(broker: Broker) -> None:
    """Parked callbacks are due at once, and grants are made again."""
    await bring(broker, Status.GRANTED)
    await fail(broker, 5)
    assert (await broker.claim(TYPE, 60.0, 10))[1] == []
    await broker.reset(TYPE, HERE)
    assert (await broker.destinations(TYPE))[1][0].state == "closed"
    assert (await claim_one(broker)).job.request_id == "d"
    assert await grant(broker, await submit(broker, "e")) is not None


async def test_an_unknown_destination_is_not_found(broker: Broker) -> None:
    """Only a destination that a job was granted for can be reset."""
    with pytest.raises(errors.NotFound):
        await broker.reset(TYPE, HERE)
