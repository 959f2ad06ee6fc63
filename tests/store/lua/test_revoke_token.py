"""revoke_token.lua: a token is refused from now on."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.store.broker import Broker


async def test_every_token_of_the_name_ends(broker: Broker, client: Redis) -> None:
    """The token and those that it replaced are refused, are told for 30 days, and free the name."""
    await broker.create_token(NewToken(Role.VIEWER), "ci", "a" * 64)
    await broker.create_token(NewToken(Role.VIEWER), "other", "o" * 64)
    await broker.rotate_token("ci", "b" * 64, None, 600.0)
    await broker.revoke_token("ci")
    now = (await client.time())[0] + 1
    states = {token.id[0]: token.state(now) for token in await broker.tokens()}
    assert states == {"a": "revoked", "b": "revoked", "o": "valid"}
    for letter in "ab":
        stays = await client.ttl(f"rqb:{{/}}:token:{letter * 32}")
        assert stays == pytest.approx(30 * 86400, abs=60)
    assert (await broker.create_token(NewToken(Role.ADMIN), "ci", "c" * 64)).name == "ci"


async def test_nothing_to_revoke(broker: Broker) -> None:
    """A name without a token is an error, as a typo would leave the token valid."""
    with pytest.raises(errors.TokenNotFound):
        await broker.revoke_token("ci")
