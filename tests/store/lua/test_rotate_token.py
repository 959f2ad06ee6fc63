"""rotate_token.lua: a token that takes the place of another."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.store.broker import Broker

NEW = NewToken(Role.CLIENT, None, ["lab"], ["vm"], ["hooks"], 600.0)


async def test_the_new_one_proves_the_same(broker: Broker) -> None:
    """Role and limits stay; it lives as long as the old one did, unless something else is said."""
    old = await broker.create_token(NEW, "ci", "a" * 64)
    new = await broker.rotate_token("ci", "b" * 64, None, 0.0)
    assert (new.identity, new.digest) == (old.identity, "b" * 64)
    assert new.expires is not None
    assert new.expires - new.created == pytest.approx(600.0)
    longer = await broker.rotate_token("ci", "c" * 64, 6000.0, 0.0)
    assert longer.expires is not None
    assert longer.expires - longer.created == pytest.approx(6000.0)


async def test_the_old_one_ends_with_the_overlap(broker: Broker) -> None:
    """The old one is refused from the end of the overlap on, and never later than it expires."""
    old = await broker.create_token(NEW, "ci", "a" * 64)
    new = await broker.rotate_token("ci", "b" * 64, None, 60.0)
    kept = await broker.token("a" * 64)
    assert kept is not None
    assert kept.ended == pytest.approx(new.created + 60.0)
    assert (kept.state(new.created), kept.state(new.created + 61)) == ("valid", "revoked")
    await broker.rotate_token("ci", "c" * 64, None, 86400.0)
    again = await broker.token("a" * 64)
    assert again is not None
    assert again.ended == kept.ended
    second = await broker.token("b" * 64)
    assert second is not None
    assert old.expires is not None
    assert (second.ended, second.state(old.expires + 60)) == (None, "expired")


async def test_a_name_without_a_token(broker: Broker) -> None:
    """A token that never was, and one that was revoked, cannot be rotated."""
    with pytest.raises(errors.TokenNotFound):
        await broker.rotate_token("ci", "b" * 64, None, 0.0)
    await broker.create_token(NEW, "ci", "a" * 64)
    await broker.revoke_token("ci")
    with pytest.raises(errors.TokenNotFound):
        await broker.rotate_token("ci", "b" * 64, None, 0.0)
    assert await broker.token("b" * 64) is None
