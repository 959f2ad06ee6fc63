"""create_token.lua: what a new token proves."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.store.broker import Broker
from tests.redis_reads import key_names

DAY = 86400.0
BASE = "rqb:{/}"


async def test_one_name_stands_for_one_token(broker: Broker, client: Redis) -> None:
    """A name is refused while its token is valid, and is free once that has expired."""
    await broker.create_token(NewToken(Role.VIEWER, expires=DAY), "me", "a" * 64)
    with pytest.raises(errors.Conflict):
        await broker.create_token(NewToken(Role.ADMIN), "me", "b" * 64)
    assert await broker.token("b" * 64) is None
    await client.hset(f"{BASE}:token:{'a' * 32}", "expires", 1)
    token = await broker.create_token(NewToken(Role.ADMIN), "me", "b" * 64)
    assert (token.name, token.role, token.expires) == ("me", Role.ADMIN, None)
    assert [token.id for token in await broker.tokens()] == ["a" * 32, "b" * 32]


async def test_records_go_by_themselves(broker: Broker, client: Redis) -> None:
    """What expires is gone 30 days later, its name and its place in the list too."""
    await broker.create_token(NewToken(Role.VIEWER, expires=DAY), "me", "a" * 64)
    await broker.create_token(NewToken(Role.VIEWER), "ever", "e" * 64)
    for name, stays in {
        f"{BASE}:token:{'a' * 32}": 31 * DAY,
        f"{BASE}:token_name:me": 31 * DAY,
        f"{BASE}:token:{'e' * 32}": -1,
        f"{BASE}:token_name:ever": -1,
    }.items():
        assert await client.ttl(name) == pytest.approx(stays, abs=60)
    await client.zadd(f"{BASE}:tokens", {"a" * 32: 1})
    await client.delete(f"{BASE}:token:{'a' * 32}")
    assert [token.name for token in await broker.tokens()] == ["ever"]
    await broker.create_token(NewToken(Role.VIEWER), "me", "b" * 64)
    assert await client.zrange(f"{BASE}:tokens", 0, -1) == ["b" * 32, "e" * 32]
    assert all(name.startswith(BASE) for name in await key_names(client))
