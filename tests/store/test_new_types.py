"""Which types clients may make: so many, and none that looks like another; and so many hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import Invalid, TooManyHosts, TooManyTypes
from rq_broker.store.broker import Broker
from tests import making

MAKERS: list[Callable[[Broker, str], Awaitable[object]]] = [
    lambda broker, type_: making.submit(broker, type_=type_),
    lambda broker, type_: broker.set_policy(type_, {"paused": True}),
    lambda broker, type_: broker.set_host(type_, Host("h", {"VCPU": 1})),
    lambda broker, type_: broker.set_keys(type_, "o", ["whsec_" + "A" * 32]),
]
"""Every call by which a client makes a type."""


async def test_only_so_many_types_are_made(client: Redis) -> None:
    """Beyond the limit no call makes a type, tried again or not; those that are there go on."""
    await making.submit(Broker(client), type_="a")
    await making.submit(Broker(client), type_="b")
    broker = Broker(client, most_types=2)
    for make in MAKERS:
        for _ in range(2):
            with pytest.raises(TooManyTypes, match="--max-types"):
                await make(broker, "c")
    assert not await client.keys("rqb:{c}*")
    await making.submit(broker, "e", type_="a")
    for name in ("d", "e"):
        await broker.withdraw("a", name)
    await broker.drop_type("a")
    await making.submit(broker, type_="c")
    with pytest.raises(TooManyTypes):
        await making.submit(broker, type_="a")


async def test_a_new_type_has_one_spelling(client: Redis) -> None:
    """A type that looks like another is not made; one that was there before goes on."""
    await client.sadd("rqb:types", "old ")
    broker = Broker(client)
    for make in MAKERS:
        for name in ("vm ", "vm\u200b", "\u212b"):
            with pytest.raises(Invalid, match="type must"):
                await make(broker, name)
        await make(broker, "old ")
    assert await client.smembers("rqb:types") == {"old "}


async def test_only_so_many_hosts_are_published(broker: Broker) -> None:
    """Beyond the policy's `most_hosts` a new host is refused, and one that is there is replaced."""
    await broker.set_policy("vm", {"most_hosts": 2})
    for name in ("a", "b", "a"):
        await making.publish(broker, name)
    with pytest.raises(TooManyHosts, match="most_hosts allows, 2"):
        await making.publish(broker, "c")
    await broker.drop_host("vm", "a")
    await making.publish(broker, "c")
