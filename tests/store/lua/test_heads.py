"""heads.lua: the first jobs of each shape."""

from __future__ import annotations

from itertools import permutations

import pytest

from rq_broker.store.broker import Broker
from tests.making import TYPE, submit
from tests.store.lua.altering import altered


@pytest.mark.parametrize("names", list(permutations(["one", "two", "three"])))
async def test_heads_stand_in_the_order_of_their_first_jobs(
    broker: Broker, names: tuple[str, ...]
) -> None:
    """Shapes are listed by their first job's priority, also after it moved."""
    for number, name in enumerate(names):
        await submit(broker, name, owner_id=name, priority=number)
    heads = await broker.heads(TYPE, 0, 10, 10)
    assert [each.shape.owner for each in heads.waiting] == list(names)
    await broker.reorder(TYPE, names[0], "position", "back")
    assert await _owners(broker) == [*names[1:], names[0]]
    assert [await _owners(broker, rank, 1) for rank in range(4)] == [
        [names[1]],
        [names[2]],
        [names[0]],
        [],
    ]


async def test_shapes_that_tie_stand_in_the_order_of_their_first_jobs(broker: Broker) -> None:
    """First come is first served across shapes too: equal priorities are ordered by ID."""
    owners = [f"owner-{number}" for number in range(8)]
    for owner in owners:
        await submit(broker, owner, owner_id=owner, priority=1)
    assert await _owners(broker) == owners


async def test_a_window_among_ties_shows_those_first_in_line(broker: Broker) -> None:
    """Whatever their digests, the shapes of the first jobs in line are shown, each once."""
    owners = [f"owner-{number:02}" for number in range(30)]
    for owner in owners:
        await submit(broker, owner, owner_id=owner, priority=1)
    heads = await broker.heads(TYPE, 0, 5, 10, 8)
    shown = [each.shape.owner for each in heads.waiting]
    assert shown[:8] == owners[:8]
    assert 8 <= len(shown) == len(set(shown)) <= 13
    assert heads.total == 30
    assert len((await broker.heads(TYPE, 0, 30, 10, 8)).waiting) == 30


async def test_where_many_shapes_are_read_fewer_jobs_of_each_are(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one reading returns is bounded, but for the least a pass begins with."""
    altered(monkeypatch, "heads", "MOST, LEAST = 20000, 8", "MOST, LEAST = 12, 2")
    for number in range(30):
        await submit(broker, f"d{number}", owner_id=f"o{number % 3}")
    for shapes, jobs, shown in ((3, 10, 4), (3, 3, 3), (2, 10, 6), (1, 10, 10)):
        heads = await broker.heads(TYPE, 0, shapes, jobs)
        assert [len(each.heads) for each in heads.waiting] == [shown] * shapes
    altered(monkeypatch, "heads", "MOST, LEAST = 12, 2", "MOST, LEAST = 3, 2")
    assert [len(each.heads) for each in (await broker.heads(TYPE, 0, 3, 9)).waiting] == [2, 2, 2]


async def _owners(broker: Broker, rank: int = 0, shapes: int = 10) -> list[str]:
    return [each.shape.owner for each in (await broker.heads(TYPE, rank, shapes, 10)).waiting]
