"""heads.lua: the first jobs of each shape."""

from __future__ import annotations

from itertools import permutations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, head_of, submit
from tests.store.lua.altering import altered


@pytest.mark.parametrize("names", list(permutations(["one", "two", "three"])))
async def test_shapes_are_in_the_order_of_their_first_jobs(
    broker: Broker, names: tuple[str, ...]
) -> None:
    """Shapes are listed by the priority of their first job, also after it changed."""
    for number, name in enumerate(names):
        await submit(broker, name, owner_id=name, priority=number)
    heads = await broker.heads(TYPE, 0, 10, 10)
    assert [waiting.shape.owner for waiting in heads.waiting] == list(names)
    await broker.reorder(TYPE, names[0], "position", "back")
    assert await _owners(broker) == [*names[1:], names[0]]
    assert [await _owners(broker, rank, 1) for rank in range(4)] == [
        [names[1]],
        [names[2]],
        [names[0]],
        [],
    ]


async def test_shapes_of_equal_priority_are_in_the_order_of_their_first_jobs(
    broker: Broker,
) -> None:
    """Equal priorities are first come, first served across shapes too: ordered by ID."""
    owners = [f"owner-{number}" for number in range(8)]
    for owner in owners:
        await submit(broker, owner, owner_id=owner, priority=1)
    assert await _owners(broker) == owners


async def test_a_window_among_equal_priorities_has_the_first_jobs(broker: Broker) -> None:
    """The shapes of the first jobs of the queue are read whatever their digests, each once."""
    owners = [f"owner-{number:02}" for number in range(30)]
    for owner in owners:
        await submit(broker, owner, owner_id=owner, priority=1)
    heads = await broker.heads(TYPE, 0, 5, 10, 8)
    read = [waiting.shape.owner for waiting in heads.waiting]
    assert read[:8] == owners[:8]
    assert 8 <= len(read) == len(set(read)) <= 13
    assert heads.total == 30
    assert len((await broker.heads(TYPE, 0, 30, 10, 8)).waiting) == 30


async def test_fewer_jobs_are_read_of_each_of_many_shapes(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs of one reply are limited, yet of each shape a minimum is read."""
    altered(monkeypatch, "heads", "MAX_JOBS, MIN_JOBS = 20000, 8", "MAX_JOBS, MIN_JOBS = 12, 2")
    for number in range(30):
        await submit(broker, f"d{number}", owner_id=f"o{number % 3}")
    for shapes, jobs, expected in ((3, 10, 4), (3, 3, 3), (2, 10, 6), (1, 10, 10)):
        heads = await broker.heads(TYPE, 0, shapes, jobs)
        assert [len(waiting.heads) for waiting in heads.waiting] == [expected] * shapes
    altered(monkeypatch, "heads", "MAX_JOBS, MIN_JOBS = 12, 2", "MAX_JOBS, MIN_JOBS = 3, 2")
    assert [len(waiting.heads) for waiting in (await broker.heads(TYPE, 0, 3, 9)).waiting] == [
        2,
        2,
        2,
    ]


async def test_jobs_have_a_priority_of_their_own_once_it_was_given(broker: Broker) -> None:
    """At submit or by any reorder, also one that leaves it in place; not by being moved aside."""
    for name in ("plain", "before", "after", "raised", "aside"):
        await submit(broker, name)
    await submit(broker, "given", priority=2**52)
    await broker.reorder(TYPE, "before", "before", "after")
    await broker.reorder(TYPE, "after", "after", "plain")
    await broker.reorder(TYPE, "raised", "priority", "7")
    await broker.reorder(TYPE, "plain", "before", "plain")
    for number in range(3):
        await submit(broker, f"tight{number}", priority=2**52)
    await broker.reorder(TYPE, "aside", "position", "front")
    await bring(broker, Status.RUNNING, "again")
    await broker.reorder(TYPE, "again", "priority", "8")
    await broker.transition(TYPE, "again", Status.QUEUED)
    assert await _own(broker) == {
        *("before", "after", "raised", "given", "tight0", "tight1", "tight2", "aside", "again")
    }
    await broker.withdraw(TYPE, "given")
    await submit(broker, "given")
    assert "given" not in await _own(broker)


async def test_jobs_that_make_room_for_another_get_no_priority_of_their_own(
    broker: Broker, client: Redis
) -> None:
    """Only the jobs that were moved have one, though others moved aside for them."""
    await client.hset(Keys(TYPE).base, "clock", "300000000000000")  # so that there is no room
    jobs = {name: await submit(broker, name) for name in "abcde"}
    for _ in range(40):
        await broker.reorder(TYPE, "d", "after", "a")
        await broker.reorder(TYPE, "e", "after", "a")
    priorities = {name: (await broker.read(TYPE, name)).priority for name in "abc"}
    assert priorities != {name: jobs[name].priority for name in "abc"}
    assert await _own(broker) == {"d", "e"}


async def test_when_the_first_job_with_a_priority_of_its_own_was_passed_is_read(
    broker: Broker,
) -> None:
    """It may be passed although jobs of its shape stand before it."""
    jobs = [await submit(broker, "a"), await submit(broker, "b", priority=2**52)]
    await broker.note(TYPE, (), [head_of(jobs[1])])
    assert (await broker.heads(TYPE, 0, 10, 10, own=True)).passed.keys() == {"b"}
    assert (await broker.heads(TYPE, 0, 10, 10)).passed == {}


async def test_priorities_of_their_own_are_told_of_any_number_of_jobs(broker: Broker) -> None:
    """Redis is asked for some hundred jobs at a time."""
    for number in range(520):
        await submit(broker, f"d{number}", priority=2**52 if number in (3, 510) else None)
    heads = (await broker.heads(TYPE, 0, 10, 600, own=True)).waiting[0].heads
    assert [head.request_id for head in heads if head.own_priority] == ["d3", "d510"]
    assert len(heads) == 520


async def _own(broker: Broker) -> set[str]:
    waiting = (await broker.heads(TYPE, 0, 10, 100, own=True)).waiting
    return {head.request_id for shape in waiting for head in shape.heads if head.own_priority}


async def _owners(broker: Broker, rank: int = 0, shapes: int = 10) -> list[str]:
    return [waiting.shape.owner for waiting in (await broker.heads(TYPE, rank, shapes, 10)).waiting]
