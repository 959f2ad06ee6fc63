"""turn.lua: one process at a time plans a type, or polls a source."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
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


async def test_a_lock_that_is_not_touched_is_taken_over(broker: Broker) -> None:
    """Who sees a lock unchanged for its span takes it; a holder that takes it again keeps it."""
    first = await broker.turn(TYPE, "a", "take", 0)
    assert not await broker.turn(TYPE, "b", "take", 0)
    assert await broker.turn(TYPE, "a", "take", 0) == first
    assert not await broker.turn(TYPE, "b", "take", 0)
    assert await broker.turn(TYPE, "b", "take", 0) > first
    assert not await broker.turn(TYPE, "a", "take", 0)


async def test_no_clock_ends_a_lock(broker: Broker, client: Redis) -> None:
    """A lock has no time to live: a step of Redis's clock can neither end nor prolong it."""
    await broker.turn(TYPE, "a", "take", 60)
    await broker.turn(TYPE, "b", "take", 60)
    lock = Keys(TYPE).of("turn", "plan")
    assert [await client.pttl(name) for name in (lock, f"{lock}:again")] == [-1, -1]


async def test_a_lock_of_an_earlier_version_is_taken_over(broker: Broker, client: Redis) -> None:
    """A lock that was written as term and holder is respected, and taken over like any other."""
    await client.set(Keys(TYPE).of("turn", "plan"), "7 old")
    assert not await broker.turn(TYPE, "b", "take", 0)
    assert await broker.turn(TYPE, "b", "take", 0) > 7


async def test_keeping_a_lock_leaves_the_wish_for_another_round(broker: Broker) -> None:
    """Only the beginning of a round answers a process that was refused; `keep` does not."""
    assert await broker.turn(TYPE, "a", "take", 5)
    assert not await broker.turn(TYPE, "b", "take", 5)
    assert await broker.turn(TYPE, "a", "keep", 5)
    assert await broker.turn(TYPE, "a", "give", 5), "b asked meanwhile"
    assert not await broker.turn(TYPE, "a", "give", 5)
