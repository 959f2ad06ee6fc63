"""heads.lua: the first jobs of each shape."""

from __future__ import annotations

from itertools import permutations

import pytest

from rq_broker.store.broker import Broker
from tests.making import TYPE, submit
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


async def _owners(broker: Broker, rank: int = 0, shapes: int = 10) -> list[str]:
    return [waiting.shape.owner for waiting in (await broker.heads(TYPE, rank, shapes, 10)).waiting]
