"""turn.lua: one process at a time plans a type, or polls a source."""

from __future__ import annotations

from rq_broker.store.broker import Broker
from tests.making import TYPE


async def test_one_planner_at_a_time(broker: Broker) -> None:
    """A process that is refused the lock makes its holder keep it once more before giving it."""
    assert await broker.turn(TYPE, "a", "take", 60)
    assert not await broker.turn(TYPE, "b", "take", 60)
    assert await broker.turn(TYPE, "a", "give", 60)
    assert not await broker.turn(TYPE, "a", "give", 60)
    assert await broker.turn(TYPE, "b", "take", 60)


async def test_a_term_is_kept_by_its_holder_and_never_given_twice(broker: Broker) -> None:
    """Taking a lock again keeps its term; every change of holder of any lock has a greater one."""
    first = await broker.turn(TYPE, "a", "take", 60, "source:lab")
    assert await broker.turn(TYPE, "a", "take", 60, "source:lab") == first
    assert not await broker.turn(TYPE, "a", "give", 60, "source:lab")
    subjects = ("source:lab", "plan")
    terms = [await broker.turn(TYPE, "b", "take", 60, subject) for subject in subjects]
    assert first < terms[0] < terms[1]
    assert not await broker.turn(TYPE, "a", "take", 60, "source:lab")
