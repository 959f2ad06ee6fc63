"""turn.lua: who plans."""

from __future__ import annotations

from rq_broker.store.broker import Broker
from tests.making import TYPE


async def test_one_planner_at_a_time(broker: Broker) -> None:
    """Who is refused the turn leaves word: the holder keeps it once more before giving it back."""
    assert await broker.turn(TYPE, "a", "take", 60)
    assert not await broker.turn(TYPE, "b", "take", 60)
    assert await broker.turn(TYPE, "a", "give", 60)
    assert not await broker.turn(TYPE, "a", "give", 60)
    assert await broker.turn(TYPE, "b", "take", 60)


async def test_a_term_is_kept_by_its_holder_and_never_given_twice(broker: Broker) -> None:
    """Taking again keeps the term; every change of holder, at anything, has a greater one."""
    first = await broker.turn(TYPE, "a", "take", 60, "source:lab")
    assert await broker.turn(TYPE, "a", "take", 60, "source:lab") == first
    assert not await broker.turn(TYPE, "a", "give", 60, "source:lab")
    terms = [await broker.turn(TYPE, "b", "take", 60, about) for about in ("source:lab", "plan")]
    assert first < terms[0] < terms[1]
    assert not await broker.turn(TYPE, "a", "take", 60, "source:lab")
