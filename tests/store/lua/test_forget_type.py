"""forget_type.lua: an empty type leaves nothing behind; one in use stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import TYPES, Keys
from tests.making import TYPE, bring, publish, submit

KEYS = Keys(TYPE)
DAY_MS = 86_400_000


async def _make_quiet(client: Redis) -> None:
    """Let the last thing that happened in the type be long ago."""
    await client.delete(KEYS.of("events"))
    await client.xadd(KEYS.of("events"), {"status": "deleted"}, id="1-1")


async def _keys(client: Redis) -> set[str]:
    return {key async for key in client.scan_iter(f"{KEYS.base}*")}


async def test_a_name_once_tried_leaves_nothing(broker: Broker, client: Redis) -> None:
    """After a submit to a type without hosts is withdrawn, its counters and that are left."""
    await submit(broker)
    await broker.withdraw(TYPE, "d")
    await _make_quiet(client)
    assert await broker.forget_type(TYPE)
    assert await _keys(client) <= {KEYS.base, KEYS.of("withdrawn"), KEYS.of("withdrawals")}
    assert await client.smembers(TYPES) == set()


async def test_a_type_that_granted_keeps_its_counters(broker: Broker, client: Redis) -> None:
    """Fences go on after the type was forgotten and is used again."""
    granted = await bring(broker, Status.GRANTED)
    await broker.withdraw(TYPE, "d")
    await broker.drop_host(TYPE, "h1")
    await client.delete(KEYS.of("destinations"))  # as a sweep does a day later
    await _make_quiet(client)
    assert await broker.forget_type(TYPE)
    assert ((await bring(broker, Status.GRANTED)).fence or 0) > (granted.fence or 0)
    assert await broker.names() == [TYPE]


async def test_what_just_happened_is_kept(broker: Broker) -> None:
    """A type is not forgotten while the readers of its events may not have read the last one."""
    await submit(broker)
    await broker.withdraw(TYPE, "d")
    assert not await broker.forget_type(TYPE)
    assert await broker.names() == [TYPE]


async def _policy(broker: Broker) -> None:
    await broker.set_policy(TYPE, {"paused": True})
    await broker.set_policy(TYPE, {"paused": False})


async def _keys_of_owner(broker: Broker) -> None:
    await broker.set_keys(TYPE, "*", ["whsec_x"])


async def _source(broker: Broker) -> None:
    await broker.watch(TYPE, "lab", 1, 5.0)


async def _done(broker: Broker) -> None:
    await submit(broker)
    await broker.transition(TYPE, "d", Status.ERROR)


async def _queued(broker: Broker) -> None:
    await submit(broker)


@pytest.mark.parametrize(
    "use", [_queued, _done, publish, _policy, _keys_of_owner, _source], ids=lambda use: use.__name__
)
async def test_a_type_in_use_stays(
    broker: Broker, client: Redis, use: Callable[[Broker], Awaitable[object]]
) -> None:
    """A job of any status, a host, a policy, signing keys and a source keep a type as it is."""
    await use(broker)
    await _make_quiet(client)
    await broker.list_type(TYPE)
    before = await _keys(client)
    assert not await broker.forget_type(TYPE)
    assert await _keys(client) == before
    assert await broker.names() == [TYPE]


async def test_a_forgotten_type_is_not_told_as_lost(broker: Broker, client: Redis) -> None:
    """Whoever has read all its events misses nothing when it is forgotten, now and later; whoever
    has not is told of a gap, which is no loss of Redis."""
    await submit(broker)
    await broker.withdraw(TYPE, "d")
    await client.delete(KEYS.of("events"))
    await client.xadd(KEYS.of("events"), {"request_id": "d", "id": 1, "status": "done"}, id="1-1")
    await client.xadd(KEYS.of("events"), {"request_id": "d", "id": 1, "status": "done"}, id="1-2")

    async def words_after(entry: str) -> list[str]:
        words = []
        async for events in broker.events.history(TYPE, entry, ""):
            words += [dict(event.details).get("reason", event.word) for event in events]
        return words

    async with broker.events.follow(TYPE) as follower:
        assert await broker.forget_type(TYPE)
        assert (await words_after("1-2"), await words_after("1-1")) == ([], ["trimmed"])
        await submit(broker, "e")
        async with asyncio.timeout(30):
            await follower.wait()
        assert [event.name for event in follower.events()] == ["e"]
    await client.flushall()
    assert await words_after("1-2") == ["state_lost"]
