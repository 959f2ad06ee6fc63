"""record_drop.lua: the drop of a type in the log of what belongs to no type."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.broker import Broker
from rq_broker.store.keys import INSTALLATION, Keys
from tests.making import TYPE


async def test_a_drop_by_somebody_is_in_both_logs(broker: Broker) -> None:
    """A drop that deletes something is told there and in the log of the type; by nobody in none."""
    await broker.set_policy(TYPE, {"paused": True})
    await broker.drop_type(TYPE)
    assert await broker.audit_log(INSTALLATION) == ([], None)
    await broker.set_policy(TYPE, {"paused": True})
    ACTOR.set(Actor("somebody"))
    await broker.drop_type(TYPE)
    await broker.drop_type(TYPE)
    (line,), _ = await broker.audit_log(INSTALLATION)
    (own,), _ = await broker.audit_log(TYPE)
    told = [(each.who, each.verb, each.subject, each.before) for each in (line, own)]
    assert told == [("somebody", "drop_type", TYPE, {"policy:paused": True})] * 2


async def test_a_drop_that_was_cut_off_is_told_when_it_is_repeated(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between the two lines leaves the second to whoever repeats the call."""
    await broker.set_policy(TYPE, {"paused": True})
    ACTOR.set(Actor("somebody"))
    run = broker.runner.run

    async def dying(verb: str, *args: Any, **arguments: Any) -> Any:
        if verb == "record_drop":
            raise errors.Unavailable("away")
        return await run(verb, *args, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(broker.runner, "run", dying)
        with pytest.raises(errors.Unavailable):
            await broker.drop_type(TYPE)
    assert await broker.audit_log(INSTALLATION) == ([], None)
    for _ in range(2):
        await broker.drop_type(TYPE)
    (line,), _ = await broker.audit_log(INSTALLATION)
    assert (line.subject, line.before) == (TYPE, {"policy:paused": True})
    assert len((await broker.audit_log(TYPE))[0]) == 1
    assert await client.hget(Keys(TYPE).base, "dropped") is None
