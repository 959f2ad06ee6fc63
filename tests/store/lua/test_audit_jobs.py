"""audit_jobs.lua: pages of a status in order, whatever comes and goes between two pages."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit.walk import Walk
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, submit

QUEUE = Keys(TYPE).of("status", "queued")


@pytest.fixture
def walk(client: Redis) -> Walk:
    return Walk(client, TYPE)


def _names(rows: list[Any]) -> list[str]:
    return [row.member[17:] for row in rows]


async def _queue(broker: Broker, *priorities: int) -> None:
    for number, priority in enumerate(priorities):
        await submit(broker, f"j{number}", priority=priority)


async def test_pages_follow_each_other(broker: Broker, walk: Walk) -> None:
    """Pages of two show every job once, by priority and ID."""
    await _queue(broker, 5, 5, 1, 5, 9)
    shown: list[str] = []
    priority = member = ""
    while rows := await walk.jobs(Status.QUEUED, priority=priority, after=member, count=2):
        shown += _names(rows)
        priority, member = rows[-1].priority, rows[-1].member
    assert shown == ["j2", "j0", "j1", "j3", "j4"]


async def test_a_page_begins_behind_a_job_that_is_gone(
    broker: Broker, walk: Walk, client: Redis
) -> None:
    """The last job of a page may leave, or get another priority: no other job is passed over."""
    await _queue(broker, 5, 5, 5, 5, 9)
    rows = await walk.jobs(Status.QUEUED, count=2)
    last = rows[-1]
    await client.zrem(QUEUE, last.member)
    page = await walk.jobs(Status.QUEUED, priority=last.priority, after=last.member, count=9)
    assert _names(page) == ["j2", "j3", "j4"]
    await client.zadd(QUEUE, {last.member: 7})
    page = await walk.jobs(Status.QUEUED, priority=last.priority, after=last.member, count=9)
    assert _names(page) == ["j2", "j3", "j1", "j4"]


async def test_a_row_has_what_the_audit_compares(broker: Broker, walk: Walk) -> None:
    """A granted job's row has its hash without the data, its holds and its entries."""
    await bring(broker, Status.GRANTED)
    (row,) = await walk.jobs(Status.GRANTED, count=9)
    assert row.fields["status"] == "granted"
    assert "data" not in row.fields
    assert row.holds == {"h1/VCPU": "1"}
    assert row.seen == {}
    assert row.places == ["deliveries"]
    assert row.indexes == ["deadlines"]
    assert float(row.by_owner) == float(row.priority)
    assert row.by_shape == ""


@pytest.mark.parametrize("data", ['"short"', f'"{"x" * 100}"', f'"{"x" * 5000}"'])
async def test_data_of_any_length_is_left_out(broker: Broker, walk: Walk, data: str) -> None:
    """Short, folded and long data cost no transfer, and hide no other field."""
    await submit(broker, data=data, callback=f"http://x/{'c' * 200}")
    (row,) = await walk.jobs(Status.QUEUED, count=9)
    assert {"id", "owner", "shape", "created", "callback", "callback2"} <= row.fields.keys()
    assert not any(name.startswith("data") for name in row.fields)


async def test_members_are_read_by_name(broker: Broker, walk: Walk) -> None:
    """A member that the status does not list has no priority; its hash is read all the same."""
    job = await bring(broker, Status.DONE)
    member = f"{job.id:016d}:d"
    (row,) = await walk.jobs(Status.QUEUED, members=[member])
    assert (row.priority, row.fields["status"]) == ("", "done")


async def test_random_jobs_are_different_ones(broker: Broker, walk: Walk) -> None:
    """A random page has as many jobs as asked for, each once."""
    await _queue(broker, *range(20))
    names = _names(await walk.jobs(Status.QUEUED, count=10, is_random=True))
    assert len(names) == len(set(names)) == 10


async def test_a_key_of_another_kind_reads_as_nothing(
    broker: Broker, walk: Walk, client: Redis
) -> None:
    """A damaged key ends no page."""
    await _queue(broker, 1, 2)
    await client.set(Keys(TYPE).of("holds", "j0"), "damaged")
    await client.delete(Keys(TYPE).of("job", "j1"))
    await client.set(Keys(TYPE).of("job", "j1"), "damaged")
    rows = await walk.jobs(Status.QUEUED, count=9)
    assert [(row.holds, bool(row.fields)) for row in rows] == [({}, True), ({}, False)]


async def test_what_nothing_is_wrong_with_is_plain(
    broker: Broker, walk: Walk, client: Redis
) -> None:
    """Of waiting and ended jobs only the members, callbacks and counts are replied."""
    folded, long = f"http://x/{'c' * 200}", f"http://x/{'c' * 600}"
    await submit(broker, "a", callback=folded, priority=1)
    await submit(broker, "b", callback=long)
    await bring(broker, Status.DONE, "c")
    await client.hset(Keys(TYPE).of("job", "c"), "fence", "9007199254740993")
    waiting = await walk.page(Status.QUEUED, count=9)
    assert (waiting.count, waiting.jobs, waiting.demands) == (2, [], [])
    assert waiting.callbacks == [folded, long]
    assert (waiting.owners, waiting.indexes) == (["o", "o"], {"own_priority": "1"})
    assert list(waiting.shapes.values()) == ["2"]
    ended = await walk.page(Status.DONE, count=9)
    assert (ended.jobs, len(ended.plain)) == ([], 1)
    assert ended.fence == "9007199254740993"
    assert [row.members for row in ended.demands] == [ended.plain]


async def test_what_holds_or_is_damaged_is_not_plain(
    broker: Broker, walk: Walk, client: Redis
) -> None:
    """Each job that some check could have a finding on is replied whole."""
    damages = {"id": "7", "created": "soon", "status": "done", "hosts": '["h1"]', "fence": "01",
               "predicted": "1", "demand": "[]", "shape": "x"}  # fmt: skip
    for name, value in damages.items():
        await submit(broker, name)
        await client.hset(Keys(TYPE).of("job", name), name, value)
    await submit(broker, "held")
    await client.hset(Keys(TYPE).of("holds", "held"), "h1/VCPU", 1)
    due = await submit(broker, "due")
    await client.zadd(Keys(TYPE).of("deliveries"), {f"{due.id:016d}:due": 1})
    await submit(broker, "sound")
    page = await walk.page(Status.QUEUED, count=20)
    assert _names(page.jobs) == [*damages, "held", "due"]
    assert [member[17:] for member in page.plain] == ["sound"]


async def test_a_page_is_bounded(walk: Walk) -> None:
    """More jobs than Lua can pass to one command are refused, not half read."""
    with pytest.raises(errors.Internal):
        await walk.page(Status.QUEUED, count=501)
