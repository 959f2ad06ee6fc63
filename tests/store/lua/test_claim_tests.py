"""claim_tests.lua: taking the receiver tests that wait."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE

URL, HERE = "http://x/y", "http://x:80"
KEYS = ("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5",)


async def test_each_is_taken_once_with_its_owners_keys(broker: Broker) -> None:
    """An owner's keys sign its tests, those of every owner the others; what is left wakes again."""
    await broker.set_keys(TYPE, "lab-7", KEYS)
    for name, owner in (("a", "lab-7"), ("b", "")):
        await broker.send_test(TYPE, name, URL, HERE, owner)
    (first,) = await broker.claim_tests(TYPE, 1)
    assert (first.test, first.callback, first.owner, first.keys) == ("a", URL, "lab-7", KEYS)
    assert (await broker.receiver_test(TYPE, "a")).is_sent
    assert await broker.has_marker(TYPE, "test")
    (second,) = await broker.claim_tests(TYPE, 10)
    assert (second.test, second.keys) == ("b", ())
    assert not await broker.has_marker(TYPE, "test")
    assert await broker.claim_tests(TYPE, 10) == []


async def test_what_has_expired_is_not_sent(broker: Broker, client: Redis) -> None:
    """A notifier that comes late sends nothing that nobody waits for any more."""
    await broker.send_test(TYPE, "old", URL, HERE)
    await client.zadd(Keys(TYPE).of("tests"), {"old": 1})
    await broker.send_test(TYPE, "gone", URL, HERE)
    await client.delete(Keys(TYPE).of("test", "gone"))
    assert await broker.claim_tests(TYPE, 10) == []
