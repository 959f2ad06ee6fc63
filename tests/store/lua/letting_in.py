"""What the tests of all scripts do with tokens and sessions."""

from __future__ import annotations

from rq_broker.domain.identity import ANYONE, Role
from rq_broker.domain.sessions import NewSession
from rq_broker.domain.tokens import NewToken
from rq_broker.store.broker import Broker


async def let_in(broker: Broker) -> None:
    """Make a token, replace it, and revoke both; begin a session and end it."""
    await broker.create_token(NewToken(Role.ADMIN, expires=60.0), "me", "a" * 64)
    await broker.rotate_token("me", "b" * 64, 60.0, 0.0)
    await broker.revoke_token("me")
    await broker.create_session(NewSession("b" * 64, ANYONE, "token"), 9.0, 60.0)
    await broker.end_session("b" * 64)
