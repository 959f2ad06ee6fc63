"""create_session.lua: who has signed in, and for how long."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.identity import Identity, Role
from rq_broker.domain.sessions import NewSession
from rq_broker.store import sessions
from rq_broker.store.broker import Broker
from tests.redis_reads import key_names

LAB = Identity("jwt:lin", Role.CLIENT, frozenset({"lab-7"}), frozenset({"vm"}))


async def test_a_session_is_read_as_it_was_begun(broker: Broker) -> None:
    """An identity comes back whole, and a digest that only begins alike is another session."""
    await broker.create_session(NewSession("a" * 64, LAB, "oidc"), 60.0, 600.0)
    session = await broker.session("a" * 64)
    assert session is not None
    assert (session.identity, session.way, session.digest) == (LAB, "oidc", "a" * 64)
    assert (session.token, session.sealed) == ("", "")
    assert await broker.session("b" * 64) is None


async def test_an_identity_has_a_bounded_number(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one more, the one that ends first goes; those of another identity stay, and all that is
    left in Redis ends by itself."""
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 2)
    for number, letter in enumerate("abc"):
        await broker.create_session(NewSession(letter * 64, LAB, "oidc"), 60.0, 600.0 + number)
    other = Identity("token:me", Role.ADMIN)
    await broker.create_session(NewSession("d" * 64, other, "token", "t" * 64), 60.0, 30.0)
    kept = [letter for letter in "abcd" if await broker.session(letter * 64)]
    assert kept == ["b", "c", "d"]
    assert await client.zcard("rqb:{/}:sessions:jwt:lin") == 2
    lives = {name: await client.ttl(name) for name in await key_names(client)}
    assert all(0 < life <= 602 for life in lives.values()), lives
    assert 0 < lives[f"rqb:{{/}}:session:{'d' * 32}"] <= 30
