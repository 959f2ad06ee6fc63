"""record_drop.lua: the drop of a type in the log of what belongs to no type."""

from __future__ import annotations

from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.broker import Broker
from rq_broker.store.keys import INSTALLATION
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
