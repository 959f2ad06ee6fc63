"""reorder.lua with `among_own`: an owner's jobs exchange their places, and nobody else's move."""

from __future__ import annotations

from itertools import permutations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, array_submission, bring, queue, submit
from tests.store.lua.altering import altered

LINE = ["x1", "a1", "x2", "a2", "a3", "x3", "a4"]
"""Jobs of the owners x and a, as they wait."""


async def _line(broker: Broker, *names: str, type_: str = TYPE) -> None:
    for name in names or LINE:
        await submit(broker, name, type_, owner_id=name[0])


async def _move(broker: Broker, name: str, mode: str, value: str, type_: str = TYPE) -> int:
    """Move a job as a client of its owner."""
    moved = await broker.reorder(type_, name, mode, value, [name[0]], among_own=True)
    return moved.priority


def _expected(*own: str) -> list[str]:
    """Return the line with the jobs of a in this order at their places."""
    order = iter(own)
    return [name if name[0] == "x" else next(order) for name in LINE]


async def test_own_jobs_exchange_their_places(broker: Broker, client: Redis) -> None:
    """Next to any other own job, at the front and at the back: others keep their exact places."""
    own = [name for name in LINE if name[0] == "a"]
    moves = [
        (job, mode, other) for job, other in permutations(own, 2) for mode in ("before", "after")
    ]
    moves += [(job, "position", end) for job in own for end in ("front", "back")]
    for number, (job, mode, value) in enumerate(moves):
        type_ = f"type-{number}"
        await _line(broker, type_=type_)
        places = {name: (await broker.read(type_, name)).priority for name in LINE}
        priority = await _move(broker, job, mode, value, type_)
        rest = [name for name in own if name != job]
        ends = {"front": 0, "back": len(rest)}
        index = ends[value] if mode == "position" else rest.index(value) + (mode == "after")
        expected = _expected(*rest[:index], job, *rest[index:])
        assert await queue(broker, type_) == expected, (job, mode, value)
        assert priority == (await broker.read(type_, job)).priority
        now = {name: (await broker.read(type_, name)).priority for name in LINE}
        assert sorted(now.values()) == sorted(places.values())
        assert {now[name] for name in LINE if name[0] == "x"} == {
            places[name] for name in LINE if name[0] == "x"
        }
    assert await audit(client, "type-0") == []


async def test_a_priority_orders_a_job_among_its_owners(broker: Broker, client: Redis) -> None:
    """A priority before all of the queue takes the first own place, not the first of the queue."""
    await _line(broker)
    await _move(broker, "a4", "priority", "-9007199254740991")
    assert await queue(broker) == _expected("a4", "a1", "a2", "a3")
    await _move(broker, "a4", "priority", "9007199254740991")
    assert await queue(broker) == _expected("a1", "a2", "a3", "a4")
    between = (await broker.read(TYPE, "x2")).priority
    await _move(broker, "a4", "priority", str(between))
    assert await queue(broker) == _expected("a1", "a4", "a2", "a3")
    await _move(broker, "a4", "priority", str((await broker.read(TYPE, "a4")).priority))
    assert await queue(broker) == _expected("a1", "a4", "a2", "a3")
    assert await audit(client, TYPE) == []


async def test_jobs_of_others_are_no_neighbours(broker: Broker) -> None:
    """A neighbour of another owner is refused as one that does not exist, and so is its own job."""
    await _line(broker)
    refusals = []
    for neighbour in ("x2", "nobody"):
        with pytest.raises(errors.JobNotFound) as refusal:
            await _move(broker, "a1", "after", neighbour)
        refusals.append(str(refusal.value).replace(neighbour, "?"))
    assert len(set(refusals)) == 1
    with pytest.raises(errors.JobNotFound):
        await broker.reorder(TYPE, "x1", "position", "back", ["a"], among_own=True)
    assert await queue(broker) == LINE


async def test_only_waiting_jobs_have_a_place(broker: Broker) -> None:
    """A job that is granted, done or in error has no place to exchange, a priority included."""
    await bring(broker, Status.DONE, "own")
    for mode, value in (("priority", "1"), ("position", "front")):
        with pytest.raises(errors.NotWaiting):
            await broker.reorder(TYPE, "own", mode, value, ["o"], among_own=True)


async def test_the_policy_can_leave_the_order_to_operators(broker: Broker) -> None:
    """With own_order off a client moves nothing, and an operator still does."""
    await _line(broker)
    await broker.set_policy(TYPE, {"own_order": False})
    with pytest.raises(errors.Forbidden):
        await _move(broker, "a4", "position", "front")
    await broker.reorder(TYPE, "a4", "position", "front")
    assert (await queue(broker))[0] == "a4"


async def test_no_own_priority_is_gained(broker: Broker, client: Redis) -> None:
    """A client's move does not take a job out of the order by shares, as an operator's does."""
    await _line(broker)
    await _move(broker, "a4", "position", "front")
    assert await client.smembers(f"rqb:{{{TYPE}}}:own_priority") == set()


async def test_jobs_of_an_array_move_one_by_one(broker: Broker, client: Redis) -> None:
    """They have one priority; moved among them, or over them, jobs get the numbers behind it."""
    array = [f"s[{number}]" for number in range(4)]
    moves = [("a2", "before", "s[1]"), ("s[3]", "position", "front"), ("a1", "after", "s[2]")]
    moves += [("s[0]", "position", "back"), ("a2", "position", "front"), ("s[2]", "before", "s[0]")]
    await submit(broker, "a1", owner_id="a")
    await submit(broker, "x1", owner_id="x")
    await broker.submit_array(TYPE, array_submission(4, owner_id="a"))
    await submit(broker, "x2", owner_id="x")
    await submit(broker, "a2", owner_id="a")
    own = ["a1", *array, "a2"]
    for job, mode, value in moves:
        await broker.reorder(TYPE, job, mode, value, ["a"], among_own=True)
        own.remove(job)
        ends = {"front": 0, "back": len(own)}
        index = ends[value] if mode == "position" else own.index(value) + (mode == "after")
        own.insert(index, job)
        order = iter(own)
        line = ["a", "x1", "a", "a", "a", "a", "x2", "a"]
        assert await queue(broker) == [name if name[0] == "x" else next(order) for name in line]
    assert await audit(client, TYPE) == []


async def test_a_place_grows_up_to_the_next_owner_only(broker: Broker) -> None:
    """Where another's job has the number that a place would need, the move is refused."""
    for name, priority in (("a1", 7), ("a2", 7), ("x1", 8), ("a3", 9)):
        await submit(broker, name, owner_id=name[0], priority=priority)
    with pytest.raises(errors.NoRoom):
        await _move(broker, "a2", "before", "a1")
    assert await queue(broker) == ["a1", "a2", "x1", "a3"]


async def test_places_that_several_jobs_share_stay(broker: Broker) -> None:
    """Where priorities are equal the time of the submit decides, so no place can be exchanged."""
    for name in ("a1", "x1", "a2"):
        await submit(broker, name, owner_id=name[0], priority=7)
    with pytest.raises(errors.NoRoom):
        await _move(broker, "a2", "before", "a1")
    assert await queue(broker) == ["a1", "x1", "a2"]


async def test_a_move_reads_a_limited_number_of_jobs(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A move over more of the owner's jobs than the limit is refused, and nothing moves."""
    altered(monkeypatch, "reorder", "MAX_MOVES = 10000", "MAX_MOVES = 3")
    await _line(broker)
    with pytest.raises(errors.NoRoom, match="more than 3"):
        await _move(broker, "a4", "position", "front")
    assert await queue(broker) == LINE
    await _move(broker, "a4", "before", "a2")
    assert await queue(broker) == _expected("a1", "a4", "a2", "a3")
