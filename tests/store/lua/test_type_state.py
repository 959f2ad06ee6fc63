"""type_state.lua: reading only what changed."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, publish


async def test_a_view_kept_up_to_date_equals_a_new_one(broker: Broker) -> None:
    """A state that reads only changes equals one that reads everything, after any change."""
    known = await broker.type_state(TYPE)
    for step in (
        publish(broker, "h1"),
        publish(broker, "h2"),
        bring(broker, Status.GRANTED),
        broker.drop_host(TYPE, "h2"),
        broker.drop_host(TYPE, "h1"),
        broker.transition(TYPE, "d", Status.DONE),
        broker.set_policy(TYPE, {"paused": True}),
    ):
        await step
        known = await broker.type_state(TYPE, known)
        assert known == await broker.type_state(TYPE)
