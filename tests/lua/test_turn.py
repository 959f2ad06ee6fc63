"""turn.lua: who plans."""

from __future__ import annotations

from rq_broker.broker import Broker
from tests.making import TYPE


async def test_one_planner_at_a_time(broker: Broker) -> None:
    """Who is refused the turn leaves word: the holder keeps it once more before giving it back."""
    assert await broker.turn(TYPE, "a", "take", 60)
    assert not await broker.turn(TYPE, "b", "take", 60)
    assert await broker.turn(TYPE, "a", "give", 60)
    assert not await broker.turn(TYPE, "a", "give", 60)
    assert await broker.turn(TYPE, "b", "take", 60)
