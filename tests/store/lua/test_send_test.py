"""send_test.lua: asking for one test message to a receiver."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE

URL, HERE = "http://x/y", "http://x:80"


async def test_a_test_waits_and_expires_by_itself(broker: Broker, client: Redis) -> None:
    """It can be read, wakes a notifier, and leaves nothing behind that has no end."""
    sent = await broker.send_test(TYPE, "t", URL, HERE, "lab-7")
    assert sent == await broker.receiver_test(TYPE, "t")
    assert (sent.destination, sent.owner, sent.is_sent, sent.cause) == (HERE, "lab-7", False, None)
    assert await broker.has_marker(TYPE, "test")
    for name in (Keys(TYPE).of("test", "t"), Keys(TYPE).of("tests")):
        assert 0 < await client.pttl(name) <= 60_000


async def test_the_same_name_is_not_sent_again(broker: Broker) -> None:
    """A repeated call answers what became of the first."""
    await broker.send_test(TYPE, "t", URL, HERE)
    assert len(await broker.claim_tests(TYPE, 10)) == 1
    await broker.settle_test(TYPE, "t", "http_204", 7)
    again = await broker.send_test(TYPE, "t", "http://elsewhere/", "http://elsewhere:80")
    assert (again.destination, again.cause, again.milliseconds) == (HERE, "http_204", 7)
    assert await broker.claim_tests(TYPE, 10) == []


async def test_no_more_wait_than_may(broker: Broker, client: Redis) -> None:
    """Where no notifier takes them more are refused; those that have expired do not count."""
    for number in range(20):
        await broker.send_test(TYPE, f"t{number}", URL, HERE)
    with pytest.raises(errors.TooManyReceiverTests):
        await broker.send_test(TYPE, "more", URL, HERE)
    await client.zadd(Keys(TYPE).of("tests"), {"t0": 1})
    await broker.send_test(TYPE, "more", URL, HERE)
