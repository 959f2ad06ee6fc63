"""reorder.lua: another place in the queue."""

from __future__ import annotations

from itertools import permutations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, queue, submit
from tests.store.lua.altering import altered


@pytest.mark.parametrize("gap", [0, 1, 2, 3])
@pytest.mark.parametrize("mode", ["before", "after"])
async def test_before_and_after_move_one_job_only(
    broker: Broker, client: Redis, mode: str, gap: int
) -> None:
    """A job moves before or after any neighbour, and the others keep their order."""
    names = ["a", "b", "c", "d"]
    for number, (moved, neighbour) in enumerate(permutations(names, 2)):
        type_ = f"type-{number}"
        for index, name in enumerate(names):
            await submit(broker, name, type_, priority=-2 + index * gap)
        priority = (await broker.reorder(type_, moved, mode, neighbour)).priority
        expected = [name for name in names if name != moved]
        expected.insert(expected.index(neighbour) + (mode == "after"), moved)
        assert await queue(broker, type_) == expected
        assert (await broker.read(type_, moved)).priority == priority
    assert await audit(client, type_) == []


async def test_front_and_back(broker: Broker) -> None:
    """A position puts a job at either end; a job that is there already keeps its priority."""
    for name in "abc":
        await submit(broker, name, priority=0)
    assert (await broker.reorder(TYPE, "c", "position", "front")).priority == -1
    assert (await broker.reorder(TYPE, "a", "position", "back")).priority == 1
    assert await queue(broker) == ["c", "b", "a"]
    assert (await broker.reorder(TYPE, "c", "position", "front")).priority == -1
    assert (await broker.reorder(TYPE, "a", "after", "b")).priority == 1
    assert (await broker.reorder(TYPE, "a", "before", "a")).priority == 1


async def test_a_hundred_moves_into_one_gap_keep_the_order(broker: Broker) -> None:
    """Room is made as often as needed when the last job is always put after the first."""
    for name in "abc":
        await submit(broker, name)
    expected = ["a", "b", "c"]
    for _ in range(100):
        last = expected.pop()
        await broker.reorder(TYPE, last, "after", "a")
        expected.insert(1, last)
    assert await queue(broker) == expected


async def test_priorities_end_at_the_largest_whole_number(broker: Broker) -> None:
    """A place past ±(2^53−1) is refused with NoRoom, and the queue stays as it was."""
    await submit(broker, "first", priority=-MAX_WHOLE)
    await submit(broker, "middle", priority=0)
    await submit(broker, "last", priority=MAX_WHOLE)
    with pytest.raises(errors.NoRoom):
        await broker.reorder(TYPE, "middle", "position", "front")
    with pytest.raises(errors.NoRoom):
        await broker.reorder(TYPE, "middle", "after", "last")
    assert (await broker.reorder(TYPE, "middle", "before", "last")).priority == 0
    assert await queue(broker) == ["first", "middle", "last"]


@pytest.mark.parametrize("end", [1, -1])
async def test_room_is_made_on_the_side_that_has_numbers(
    broker: Broker, client: Redis, end: int
) -> None:
    """Next to the largest or the smallest priority, the jobs on the other side move away."""
    await submit(broker, "last", priority=end * MAX_WHOLE)
    await submit(broker, "beside", priority=end * (MAX_WHOLE - 1))
    await submit(broker, "moved", priority=0)
    priority = (
        await broker.reorder(TYPE, "moved", "before" if end > 0 else "after", "last")
    ).priority
    assert abs(priority) < MAX_WHOLE
    assert await queue(broker) == ["beside", "moved", "last"][::end]
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("place", [2, 17])
async def test_the_shorter_side_makes_room(broker: Broker, client: Redis, place: int) -> None:
    """Of jobs of equal priority, only those on the shorter side get another one."""
    names = [f"{number:02d}" for number in range(20)]
    for name in [*names, "moved"]:
        await submit(broker, name, priority=7)
    await broker.reorder(TYPE, "moved", "before", names[place])
    moved_aside = {name for name in names if (await broker.read(TYPE, name)).priority != 7}
    assert moved_aside == set(names[:place] if place < 10 else names[place:])
    assert await queue(broker) == [*names[:place], "moved", *names[place:]]
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize(("most", "fits"), [(2, False), (3, True)])
async def test_a_move_shifts_a_limited_number_of_jobs(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, most: int, fits: bool
) -> None:
    """A move that would shift more jobs than the limit is refused, and no job moves."""
    altered(monkeypatch, "reorder", "MAX_MOVES = 10000", f"MAX_MOVES = {most}")
    for name in "abcdefg":
        await submit(broker, name, priority=0)
    if fits:
        await broker.reorder(TYPE, "g", "before", "d")
        assert await queue(broker) == list("abcgdef")
    else:
        with pytest.raises(errors.NoRoom, match=f"over {most} jobs"):
            await broker.reorder(TYPE, "g", "before", "d")
        assert {(await broker.read(TYPE, name)).priority for name in "abcdefg"} == {0}


async def test_only_queued_jobs_have_neighbours(broker: Broker) -> None:
    """before, after and position need queued jobs; an absolute priority does not."""
    await bring(broker, Status.RUNNING, "r")
    await submit(broker, "q")
    for args in (("r", "position", "back"), ("r", "before", "q"), ("q", "after", "r")):
        with pytest.raises(errors.NotWaiting):
            await broker.reorder(TYPE, *args)
    with pytest.raises(errors.JobNotFound):
        await broker.reorder(TYPE, "q", "before", "nobody")
    assert (await broker.reorder(TYPE, "r", "priority", "3")).priority == 3
    assert (await broker.read(TYPE, "r")).priority == 3


async def test_requeued_jobs_return_to_their_priority(broker: Broker, client: Redis) -> None:
    """A job reordered while it ran is queued again at its new priority."""
    await submit(broker, "q", priority=5)
    await bring(broker, Status.DONE)
    await broker.reorder(TYPE, "d", "priority", "4")
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await queue(broker) == ["d", "q"]
    assert await audit(client, TYPE) == []
