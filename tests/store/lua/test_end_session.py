"""end_session.lua: who signs out is known no longer."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.identity import ACTOR, Actor, Identity, Role
from rq_broker.domain.sessions import NewSession
from rq_broker.store.broker import Broker
from tests.redis_reads import key_names

ME = Identity("token:me", Role.OPERATOR)


async def test_one_session_ends_once(broker: Broker, client: Redis) -> None:
    """Others of the identity go on; the audit log has one line, and a repetition adds none."""
    for letter in "ab":
        await broker.create_session(NewSession(letter * 64, ME, "token", "t" * 64), 60.0, 600.0)
    acting = ACTOR.set(Actor("token:me", "10.9.9.9"))
    for _ in range(2):
        await broker.end_session("a" * 64)
    ACTOR.reset(acting)
    assert await broker.session("a" * 64) is None
    assert await broker.session("b" * 64)
    assert await client.zrange("rqb:{/}:sessions:token:me", 0, -1) == ["b" * 32]
    ((line,), _) = await broker.audit_log("/")
    assert (line.verb, line.subject, line.before) == ("end_session", "token:me", {"way": "token"})
    await broker.use_session("a" * 64, 60.0)  # as another process may, late
    assert f"rqb:{{/}}:session:{'a' * 32}" not in await key_names(client)
