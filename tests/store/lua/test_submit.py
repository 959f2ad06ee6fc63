"""submit.lua: a new job, and the two names it takes."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, listed, queue, submission, submit
from tests.redis_reads import key_names

NAMES = ["d", "a:b", "虛擬機", "a b", "100%", "q?#&", "'\"\\", "é" * 100, "🜚"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_job_reads_back_as_submitted(broker: Broker, client: Redis, name: str) -> None:
    """A job with any names comes back field for field, from read and from page."""
    type_, data = name[:20], f'{{"note":"{"ü" * 40}","n":12345678901234567890}}'
    wanted = submission(name, owner_id=name, data=data, callback=f"http://x/{name}")
    job = await broker.submit(type_, wanted)
    read = await broker.read(type_, name)
    page = await broker.page(type_, owners=[name])
    assert page.jobs[0] == await listed(broker, name, type_)
    assert (read.request_id, read.owner_id, read.type) == (name, name, type_)
    assert (read.data, read.callback, read.position) == (data, f"http://x/{name}", 1)
    assert (read.id, read.created, read.priority) == (job.id, job.created, job.priority)
    assert await audit(client, type_) == []


@pytest.mark.parametrize("length", [0, 1, 64, 65, 128, 500, 512, 513, 5000])
async def test_long_data_and_callback_are_kept_whole(broker: Broker, length: int) -> None:
    """Every byte of data and callback comes back, whether stored in pieces or whole."""
    await submit(broker, data="x" * length, callback="y" * length)
    job = await broker.read(TYPE, "d")
    assert (job.data, job.callback) == ("x" * length, "y" * length)
    await broker.withdraw(TYPE, "d")
    await submit(broker, "e", callback="y" * length)


async def test_default_priorities_grow_strictly(broker: Broker) -> None:
    """Jobs submitted at once get distinct priorities that grow with their IDs."""
    jobs = await asyncio.gather(*(submit(broker, f"r{n}") for n in range(50)))
    ordered = sorted(jobs, key=lambda job: job.id)
    assert [job.id for job in ordered] == list(range(1, 51))
    assert all(a.priority < b.priority for a, b in pairwise(ordered))


@pytest.mark.parametrize("priority", [-MAX_WHOLE, -1, 0, 1, 10**15, 2**52 + 1, MAX_WHOLE])
async def test_a_priority_is_kept_to_the_last_digit(broker: Broker, priority: int) -> None:
    """Priorities to ±(2^53−1) come back exactly, from read, page and heads."""
    await submit(broker, priority=priority)
    assert (await broker.read(TYPE, "d")).priority == priority
    assert (await broker.page(TYPE)).jobs[0].priority == priority
    heads = await broker.heads(TYPE, 0, 10, 10)
    assert heads.waiting[0].heads[0].priority == priority


async def test_equal_priorities_are_first_come_first_served(broker: Broker) -> None:
    """Jobs of equal priority are queued, paged and read by shape in the order of their IDs."""
    names = ["z", "a", "m", "10", "9"]
    for name in names:
        await submit(broker, name, priority=-7)
    assert await queue(broker) == names
    heads = await broker.heads(TYPE, 0, 10, 10)
    assert [head.request_id for head in heads.waiting[0].heads] == names
    assert [(await broker.read(TYPE, name)).position for name in names] == [1, 2, 3, 4, 5]


async def test_a_taken_request_id_is_refused_in_every_status(broker: Broker) -> None:
    """A job in any status keeps its request_id taken in its type, and free in other types."""
    for status in Status:
        await bring(broker, status, status)
        with pytest.raises(errors.DuplicateRequestId):
            await submit(broker, status, callback="http://x/other")
        await submit(broker, status, "kube")


async def test_a_taken_callback_is_refused_and_leaves_nothing(
    broker: Broker, client: Redis
) -> None:
    """A submit refused for its callback names the job that has it, and writes not one key."""
    await submit(broker, "d", callback="http://x/one")
    before = await _dump(client)
    with pytest.raises(errors.DuplicateCallback, match="taken in this type by job d"):
        await submit(broker, "e", callback="http://x/one")
    assert await _dump(client) == before
    await submit(broker, "e", callback="http://x/two")


async def _dump(client: Redis) -> dict[str, object]:
    values: dict[str, object] = {}
    for key in await key_names(client):
        kind = await client.type(key)
        if kind == "hash":
            values[key] = await client.hgetall(key)
        elif kind == "zset":
            values[key] = await client.zrange(key, 0, -1, withscores=True)
    return values
