"""settle_test.lua: recording how a receiver test went."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from tests.making import TYPE


async def test_an_outcome_is_read_and_one_that_expired_stays_away(broker: Broker) -> None:
    """The cause and the time are there for whoever asked; a late outcome brings no test back."""
    await broker.send_test(TYPE, "t", "http://x/y", "http://x:80")
    await broker.settle_test(TYPE, "t", "timeout", 10_000)
    test = await broker.receiver_test(TYPE, "t")
    assert (test.cause, test.milliseconds) == ("timeout", 10_000)
    await broker.settle_test(TYPE, "gone", "http_200", 1)
    with pytest.raises(errors.ReceiverTestNotFound):
        await broker.receiver_test(TYPE, "gone")
