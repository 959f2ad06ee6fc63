"""line.lua: the line of a type as forecasts read it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.line import Line
from rq_broker.store import forecasts
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, head_of, shape, submit


async def test_each_job_of_a_short_line_is_read(broker: Broker) -> None:
    """In order, with its shape, and since when it was passed."""
    wanted = {"a": shape({"VCPU": 1}), "b": shape({"VCPU": 2}), "c": shape({"VCPU": 1})}
    jobs = {name: await submit(broker, name, shape=wanted[name], priority=7) for name in wanted}
    await broker.reorder(TYPE, "c", "position", "front")
    await broker.note(TYPE, (), [head_of(jobs["a"])])
    line = await broker.line(TYPE)
    assert [(job.rank, job.request_id, job.weight) for job in line.jobs] == [
        (0, "c", 1),
        (1, "a", 1),
        (2, "b", 1),
    ]
    assert [line.shapes[job.digest] for job in line.jobs] == [wanted[name] for name in "cab"]
    assert [job.id for job in line.jobs] == [jobs[name].id for name in "cab"]
    assert [job.passed is not None for job in line.jobs] == [False, True, False]
    assert (line.total, line.is_complete, len(line.shapes)) == (3, True, 2)
    assert await broker.shape(TYPE, line.jobs[2].digest) == wanted["b"]
    assert await broker.shape(TYPE, "gone") is None


async def test_own_priorities_are_told(broker: Broker) -> None:
    """A job that was given a priority, or moved, keeps its place whatever owners' shares are."""
    for name in ("a", "b"):
        await submit(broker, name)
    assert [job.own_priority for job in (await broker.line(TYPE)).jobs] == [False, False]
    await submit(broker, "c", priority=2**52)
    await broker.reorder(TYPE, "b", "position", "front")
    line = await broker.line(TYPE)
    assert {job.request_id: job.own_priority for job in line.jobs} == {
        "a": False,
        "b": True,
        "c": True,
    }


async def test_an_unused_type_has_an_empty_line(broker: Broker) -> None:
    """Nobody waits there."""
    assert await broker.line(TYPE) == Line(0)


async def test_behind_the_front_a_job_stands_for_many(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The further back, the more; together they stand for all that wait."""
    monkeypatch.setattr(forecasts, "EXACT_JOBS", 4)
    monkeypatch.setattr(forecasts, "SPACING", 4)
    for number in range(30):
        await submit(broker, f"d{number}", priority=number)
    line = await broker.line(TYPE)
    assert [(job.rank, job.weight) for job in line.jobs] == [
        *((rank, 1) for rank in range(8)),
        *((8, 2), (10, 2), (12, 3), (15, 3), (18, 4), (22, 5), (27, 3)),
    ]
    assert [job.request_id for job in line.jobs] == [f"d{job.rank}" for job in line.jobs]
    assert not line.is_complete


async def test_a_job_of_a_damaged_shape_is_left_out(broker: Broker, client: Redis) -> None:
    """The others are read, and the place of the damaged one counts."""
    for name in ("a", "b", "c"):
        await submit(broker, name, owner_id=name, shape=shape({"VCPU": 1}, owner=name))
    digest = (await broker.line(TYPE)).jobs[1].digest
    await client.hset(Keys(TYPE).of("shapes"), digest, "no JSON")
    line = await Broker(client).line(TYPE)  # one that has not read the shape before
    assert [(job.rank, job.weight) for job in line.jobs] == [(0, 2), (2, 1)]
