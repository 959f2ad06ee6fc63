"""Races between two processes on a real server, which prove that the scripts are atomic."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.offers import OFFER
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from tests.faults.rivals import (
    Answers,
    grant_all,
    move_by,
    move_or_grant,
    submit_same,
    take_all,
    take_once,
    withdraw_all,
)
from tests.making import TYPE, grant, publish, queue, shape, submit
from tests.redis_reads import key_names

HEAD_START = 0.3
"""Seconds from the call to the start of the race, in which both processes connect."""


@pytest.fixture(scope="module")
def rivals() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.01] * 4))
        yield pool


def race(
    rivals: ProcessPoolExecutor, server: Server, work: Callable[..., Answers], *args: Any
) -> list[Answers]:
    """Do the work in both processes at once; its last argument numbers the process."""
    start = time.time() + HEAD_START
    runs = [rivals.submit(work, server.url, start, *args, number) for number in range(2)]
    return [run.result() for run in runs]


@pytest.mark.parametrize("field", ["request_id", "callback"])
async def test_of_64_submits_exactly_one_wins(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis, field: str
) -> None:
    """One submit succeeds; 63 get the code for the taken name, and leave no key or index entry."""
    answers = Counter(chain(*race(rivals, redis_server, submit_same, field)))
    assert answers == {"ok": 1, f"duplicate_{field}": 63}
    assert await audit(real_client, TYPE) == []
    keys = [key.removeprefix(Keys(TYPE).base) for key in await key_names(real_client)]
    kinds = Counter(key.split(":")[1] for key in keys if key.startswith(":"))
    once = {kind: kinds[kind] for kind in ("job", "owner", "callbacks", "shape", "status")}
    assert once == dict.fromkeys(once, 1)
    assert await real_client.hget(Keys(TYPE).base, "id") == "1"


async def test_concurrent_grants_never_oversell(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis
) -> None:
    """A host of 10 VCPU holds 10 jobs, each with its own fence, after 120 attempts at once."""
    broker = Broker(real_client)
    await publish(broker, VCPU=10)
    await asyncio.gather(*(submit(broker, f"r{number}") for number in range(40)))
    answers = Counter(chain(*race(rivals, redis_server, grant_all)))
    assert answers == {"ok": 10, "refused": 110}
    granted = (await broker.page(TYPE, status="granted")).jobs
    assert len({job.fence for job in granted}) == 10
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 10}
    assert await audit(real_client, TYPE) == []


async def test_a_withdrawal_racing_a_grant_leaves_nothing_held(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis
) -> None:
    """Whether the grant or the withdrawal is first, the job is gone and no capacity stays held."""
    broker = Broker(real_client)
    await publish(broker)
    await asyncio.gather(*(submit(broker, f"r{number}") for number in range(40)))
    withdrawn, granted = race(rivals, redis_server, withdraw_all)
    assert withdrawn == ["ok"] * 40
    assert set(granted) <= {"ok", "refused", "job_not_found"}
    assert await broker.counts(TYPE) == dict.fromkeys(Status, 0)
    assert (await broker.host(TYPE, "h1")).held == {}
    assert await audit(real_client, TYPE) == []


async def _offer(broker: Broker, jobs: int) -> list[Job]:
    """Offer so many jobs without callback; return them."""
    wanted = shape(destination=OFFER)
    await publish(broker)
    for number in range(jobs):
        job = await submit(broker, f"r{number}", callback="", shape=wanted)
        assert await grant(broker, job, wanted)
    return [await broker.read(TYPE, f"r{number}") for number in range(jobs)]


async def test_a_take_racing_the_end_of_its_offer(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis
) -> None:
    """An offer is taken or missed, never both: whose take succeeded runs, and nobody else."""
    broker = Broker(real_client)
    jobs = await _offer(broker, 40)
    members = await real_client.zrange(Keys(TYPE).of("deadlines"), 0, -1)
    await real_client.zadd(Keys(TYPE).of("deadlines"), dict.fromkeys(map(str, members), 1))
    fences = [job.fence for job in jobs]
    takes, _ = race(rivals, redis_server, take_all, fences)
    assert set(takes) <= {"ok", "stale_fence"}
    taken = {f"r{number}" for number, answer in enumerate(takes) if answer == "ok"}
    running = (await broker.page(TYPE, status="running")).jobs
    assert {job.request_id for job in running} == taken
    others = [job for job in (await broker.page(TYPE)).jobs if job.request_id not in taken]
    assert {job.status for job in others} <= {Status.QUEUED}
    assert {job.error for job in others} <= {"offer_missed"}
    assert (await broker.host(TYPE, "h1")).held == ({"VCPU": len(taken)} if taken else {})
    assert await audit(real_client, TYPE) == []


async def test_of_two_takers_of_one_version_one_wins(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis
) -> None:
    """With its version each offer is taken by one of two; the other is told that it changed."""
    broker = Broker(real_client)
    versions = [job.version for job in await _offer(broker, 40)]
    one, other = race(rivals, redis_server, take_once, versions)
    for answers in zip(one, other, strict=True):
        assert sorted(answers) == ["changed_meanwhile", "ok"]
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 40}
    assert await audit(real_client, TYPE) == []


async def test_of_many_moves_by_one_version_one_is_made(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis
) -> None:
    """Each move to the front would pass the one that is there now, and nobody saw that."""
    broker = Broker(real_client)
    for number in range(40):
        await submit(broker, f"r{number}")
    line = (await broker.page(TYPE, status="queued")).line
    answers = Counter(chain(*race(rivals, redis_server, move_by, line)))
    assert answers == {"ok": 1, "changed_meanwhile": 37}
    (first, *others) = await queue(broker)
    assert others == [f"r{number}" for number in range(40) if f"r{number}" != first]
    assert await audit(real_client, TYPE) == []


async def test_moves_racing_grants_lose_no_job(
    rivals: ProcessPoolExecutor, redis_server: Server, real_client: Redis
) -> None:
    """A job is granted or moved, whichever comes first; none waits and holds, none is lost."""
    broker = Broker(real_client)
    await publish(broker, VCPU=20)
    await asyncio.gather(*(submit(broker, f"r{number}") for number in range(40)))
    moves, grants = race(rivals, redis_server, move_or_grant)
    assert set(moves) <= {"ok", "changed_meanwhile", "not_waiting"}
    assert set(grants) <= {"ok", "refused"}
    counts = await broker.counts(TYPE)
    assert counts[Status.GRANTED] == grants.count("ok")
    assert counts[Status.QUEUED] == len(await queue(broker)) == 40 - grants.count("ok")
    assert await audit(real_client, TYPE) == []
