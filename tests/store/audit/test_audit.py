"""The audit: no findings on what the broker writes, and a fault for each corruption."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Job, Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, digest
from tests.making import TYPE, bring, shape, submit

KEYS = Keys(TYPE)
SHAPE = digest(shape().canonical())
CALLBACK = digest("http://x/queued")
STRAY = "0000000000000099:stray"


@pytest.fixture
async def jobs(broker: Broker) -> dict[Status, Job]:
    """Bring one job to each status; its request_id is the status."""
    return {status: await bring(broker, status, status) for status in Status}


def _member(job: Job) -> str:
    return f"{job.id:016d}:{job.request_id}"


async def _faults(client: Redis) -> list[str]:
    return [str(fault) for fault in await audit(client, TYPE) if fault.severity == Severity.FAULT]


async def test_every_status_is_clean(client: Redis, jobs: dict[Status, Job]) -> None:
    """A type with a job in each status has no findings, and an unknown type has none."""
    assert len(jobs) == len(Status)
    assert await audit(client, TYPE) == []
    assert await audit(client, "unknown") == []


async def test_an_audit_changes_nothing(client: Redis, jobs: dict[Status, Job]) -> None:
    """An audit writes no key, also when it has findings."""
    await client.zadd(KEYS.of("deliveries"), {_member(jobs[Status.DONE]): 1})
    before = {key: await client.dump(key) for key in await client.keys()}
    assert await audit(client, TYPE)
    assert {key: await client.dump(key) for key in await client.keys()} == before


Corrupt = Callable[[Redis, Callable[[str], str]], Awaitable[object]]
CORRUPTIONS: dict[str, tuple[Corrupt, str]] = {
    "an ended job is predicted": (
        lambda c, _: c.hset(KEYS.of("job", "done"), "predicted", "60000"),
        "is done but has a prediction",
    ),
    "a job says something else than its demand": (
        lambda c, _: c.hset(KEYS.of("job", "running"), "expected", "60000"),
        "says it holds 60000 ms but its demand expects None s",
    ),
    "a hash is gone": (
        lambda c, _: c.delete(KEYS.of("job", "queued")),
        ":queued is listed as queued but has no hash",
    ),
    "a hash is gone and its callback is still indexed": (
        lambda c, _: c.delete(KEYS.of("job", "done")),
        "names job done, which does not exist",
    ),
    "a hash says another status": (
        lambda c, _: c.hset(KEYS.of("job", "queued"), "status", "running"),
        ":queued is listed as queued but its hash says running",
    ),
    "a hash has another ID": (
        lambda c, _: c.hset(KEYS.of("job", "queued"), "id", "77"),
        ":queued has the id 77 in its hash",
    ),
    "a hash cannot be read": (
        lambda c, _: c.hset(KEYS.of("job", "queued"), "created", "soon"),
        ":queued cannot be read",
    ),
    "a hash lacks its owner": (
        lambda c, _: c.hdel(KEYS.of("job", "running"), "owner"),
        ":running cannot be read",
    ),
    "a job is in two statuses": (
        lambda c, m: c.zadd(KEYS.of("status", "running"), {m("queued"): 1}),
        ":queued is listed as running but its hash says queued",
    ),
    "a job is in no status": (
        lambda c, m: c.zrem(KEYS.of("status", "done"), m("done")),
        ":done has a hash but no status set lists it",
    ),
    "an owner's priority differs": (
        lambda c, m: c.zadd(KEYS.of("owner", "o"), {m("error"): 1}),
        ":error has the priority 1.0 in the set of its owner",
    ),
    "an owner's set lacks a job": (
        lambda c, m: c.zrem(KEYS.of("owner", "o"), m("running")),
        ":running is not in the set of its owner",
    ),
    "an owner's set has a stray": (
        lambda c, _: c.zadd(KEYS.of("owner", "o"), {STRAY: 1}),
        f"owner:o names {STRAY}",
    ),
    "a shape's priority differs": (
        lambda c, m: c.zadd(KEYS.of("shape", SHAPE), {m("queued"): 1}),
        ":queued has the priority 1.0 in the set of its shape",
    ),
    "a shape has a job that does not wait": (
        lambda c, m: c.zadd(KEYS.of("shape", SHAPE), {m("done"): 2**52}),
        ":done is done but in the set of its shape",
    ),
    "a shape has a stray": (
        lambda c, _: c.zadd(KEYS.of("shape", SHAPE), {STRAY: 2**52}),
        f"shape:{SHAPE} names {STRAY}",
    ),
    "a forgotten shape has a stray": (
        lambda c, _: _stray_shape(c),
        "shape:other names",
    ),
    "a shape has no demand": (
        lambda c, _: c.hdel(KEYS.of("shapes"), SHAPE),
        f"shape {SHAPE} has no demand in shapes",
    ),
    "a shape stands for another": (
        lambda c, _: c.hset(KEYS.of("shapes"), SHAPE, "[]"),
        f"shape {SHAPE} has another demand in shapes: []",
    ),
    "a shape has no head": (
        lambda c, _: c.zrem(KEYS.of("heads"), SHAPE),
        f"shape {SHAPE} is not in heads but has queued jobs",
    ),
    "a head's priority differs": (
        lambda c, _: c.zadd(KEYS.of("heads"), {SHAPE: 1}),
        f"shape {SHAPE} has the priority 1.0 in heads",
    ),
    "a head has no jobs": (
        lambda c, _: c.zadd(KEYS.of("heads"), {"x" * 16: 1}),
        f"shape {'x' * 16} is in heads but has no queued job",
    ),
    "a done job has no demand": (
        lambda c, _: c.hdel(KEYS.of("job", "done"), "demand"),
        ":done is done but its hash has no demand",
    ),
    "an ended job has another demand": (
        lambda c, _: c.hset(KEYS.of("job", "error"), "demand", "[]"),
        ":error cannot be read",
    ),
    "an ended job is of another shape": (
        lambda c, _: c.hset(KEYS.of("job", "error"), "shape", "x" * 16),
        ":error is in error but its hash has another demand",
    ),
    "a waiting job has a demand": (
        lambda c, _: c.hset(KEYS.of("job", "queued"), "demand", "[]"),
        ":queued is queued but its hash has a demand: []",
    ),
    "a fence is no number": (
        lambda c, _: c.hset(KEYS.of("job", "done"), "fence", "high"),
        ":done cannot be read",
    ),
    "a fence is above the counter": (
        lambda c, _: c.hset(KEYS.of("job", "done"), "fence", 2**60 + 1),
        f"but {2**60 + 1} is in use",
    ),
    "a callback is no text": (
        lambda c, _: c.hset(KEYS.of("job", "queued"), "callback", b"http://x/\xff"),
        ":queued has a callback that the index gives to no job",
    ),
    "a callback is not indexed": (
        lambda c, _: c.hdel(KEYS.of("callbacks", CALLBACK[:2]), CALLBACK[2:]),
        ":queued has a callback that the index gives to no job",
    ),
    "a callback names another job": (
        lambda c, _: c.hset(KEYS.of("callbacks", CALLBACK[:2]), CALLBACK[2:], "done"),
        ":queued has a callback that the index gives to job done",
    ),
    "a callback is left over in a bucket of its own": (
        lambda c, _: c.hset(KEYS.of("callbacks", "__"), "rest", "nobody"),
        "callback __rest names job nobody, which does not exist",
    ),
    "a callback is left over beside others": (
        lambda c, _: c.hset(KEYS.of("callbacks", CALLBACK[:2]), "rest", "queued"),
        f"callback {CALLBACK[:2]}rest names job queued, which has another callback",
    ),
    "a host holds too much": (
        lambda c, _: c.hincrby(KEYS.of("host", "h1"), "held:VCPU", 1),
        "host h1 has VCPU 3 held but its jobs hold VCPU 2",
    ),
    "a host holds what no job holds": (
        lambda c, _: c.hset(KEYS.of("host", "h1"), "held:GPU", 1),
        "host h1 has GPU 1, VCPU 2 held but its jobs hold VCPU 2",
    ),
    "a host cannot be read": (
        lambda c, _: c.hset(KEYS.of("host", "h1"), "capacity:VCPU", "many"),
        "host h1 cannot be read",
    ),
    "the log is no stream": (
        lambda c, _: c.set(KEYS.of("audit"), "x"),
        "log audit is no stream, so that changes leave no line",
    ),
    "a host is not listed": (
        lambda c, _: c.zrem(KEYS.of("hosts"), "h1"),
        "host h1 is not listed in hosts but jobs hold capacity on it",
    ),
    "a listed host has no hash": (
        lambda c, _: c.zadd(KEYS.of("hosts"), {"h2": 1}),
        "host h2 is listed in hosts but has no hash",
    ),
    "a dropped host stays": (
        lambda c, _: _dropped(c),
        "host h2 is out of service and holds nothing but was not deleted",
    ),
    "an owner's usage is wrong": (
        lambda c, _: c.hincrby(KEYS.of("usage"), "VCPU/o", 1),
        "usage VCPU/o is 3 but the jobs hold 2",
    ),
    "usage is left over": (
        lambda c, _: c.hset(KEYS.of("usage"), "VCPU/gone", 1),
        "usage VCPU/gone is 1 but the jobs hold 0",
    ),
    "a priority is of no job": (
        lambda c, _: c.sadd(KEYS.of("own_priority"), STRAY),
        f"own_priority names {STRAY}, which is no job",
    ),
    "past usage is left over": (
        lambda c, _: c.hset(KEYS.of("past_usage"), "VCPU/o", "1 2"),
        "past_usage is kept though the policy does not share",
    ),
    "past usage cannot be read": (
        lambda c, _: c.hset(KEYS.of("past_usage"), "VCPU/o", "much"),
        "past usage VCPU/o cannot be read",
    ),
    "a queued job holds": (
        lambda c, _: c.hset(KEYS.of("holds", "queued"), "h1/VCPU", 1),
        ":queued is queued but holds h1/VCPU 1",
    ),
    "a done job is seen": (
        lambda c, _: c.hset(KEYS.of("seen", "done"), "h1/VCPU", 1),
        ":done is done but a source counts h1/VCPU 1 as its use",
    ),
    "a source sees what no owner uses": (
        lambda c, _: c.hset(KEYS.of("seen", "running"), "h1/GPU", 1),
        "usage GPU/o is 0 but the jobs hold 1",
    ),
    "capacity being released is not held": (
        lambda c, _: c.zadd(KEYS.of("parting"), {"1:3:h1/VCPU": 1}),
        "host h1 has VCPU 2 held but its jobs hold VCPU 5",
    ),
    "a done job names hosts": (
        lambda c, _: c.hset(KEYS.of("job", "done"), "hosts", '["h1"]'),
        ":done is done but names hosts",
    ),
    "a job holds on a host it does not name": (
        lambda c, _: c.hset(KEYS.of("job", "running"), "hosts", '["h2"]'),
        ":running holds on h1, which its hash does not name",
    ),
    "two jobs hold by one fence": (
        lambda c, _: _one_fence(c),
        "holds under the fence 1, as does",
    ),
    "a granted job has no delivery": (
        lambda c, m: c.zrem(KEYS.of("deliveries"), m("granted")),
        ":granted is granted but its callback is in none of deliveries, prompt and parked",
    ),
    "a running job has a delivery": (
        lambda c, m: c.zadd(KEYS.of("deliveries"), {m("running"): 1}),
        ":running is running but its callback is in deliveries",
    ),
    "a delivery is due and parked": (
        lambda c, m: c.zadd(KEYS.of("parked:http://x:80 o"), {m("granted"): 1}),
        ":granted is granted but its callback is in deliveries and parked",
    ),
    "a destination of parked callbacks is not listed": (
        lambda c, m: _parked_for_ever(c, m("granted")),
        "receiver http://x:80 o has parked callbacks but is not listed in parked",
    ),
    "a parked delivery is of no job": (
        lambda c, _: _stray_parked(c),
        f"parked:http://x:80 names {STRAY}",
    ),
    "a delivery is of no job": (
        lambda c, _: c.zadd(KEYS.of("deliveries"), {STRAY: 1}),
        f"deliveries names {STRAY}",
    ),
    "a queued job has a deadline": (
        lambda c, m: c.zadd(KEYS.of("deadlines"), {m("queued"): 1}),
        "deadlines names",
    ),
    "a deadline is of no job": (
        lambda c, _: c.zadd(KEYS.of("deadlines"), {STRAY: 1}),
        f"deadlines names {STRAY}",
    ),
    "a done job is listed as passed": (
        lambda c, m: c.hset(KEYS.of("passed"), m("done"), 1),
        "passed names",
    ),
    "the ID counter is behind": (
        lambda c, _: c.hset(KEYS.base, "id", 2),
        "counter id is 2 but 5 is in use",
    ),
    "the fence counter is gone": (
        lambda c, _: c.hdel(KEYS.base, "fence"),
        "counter fence is None but",
    ),
    "the hosts' counter is behind": (
        lambda c, _: c.zadd(KEYS.of("hosts"), {"h1": 99}),
        "but 99 is in use",
    ),
}


async def _stray_shape(client: Redis) -> None:
    await client.hset(KEYS.of("shapes"), "other", "[]")
    await client.zadd(KEYS.of("heads"), {"other": 1})
    await client.zadd(KEYS.of("shape", "other"), {STRAY: 1})


async def _parked_for_ever(client: Redis, member: str) -> None:
    await client.zrem(KEYS.of("deliveries"), member)
    await client.zadd(KEYS.of("parked", "http://x:80 o"), {member: 1})


async def _stray_parked(client: Redis) -> None:
    await client.zadd(KEYS.of("parked"), {"http://x:80": 1})
    await client.zadd(KEYS.of("parked", "http://x:80"), {STRAY: 1})


async def _one_fence(client: Redis) -> None:
    for name in ("granted", "running"):
        await client.hset(KEYS.of("job", name), "fence", 1)


async def _dropped(client: Redis) -> None:
    await client.hset(KEYS.of("host", "h2"), mapping={"dropped": "1", "aggregates": "[]"})
    await client.zadd(KEYS.of("hosts"), {"h2": 1})


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_each_corruption_is_found(client: Redis, jobs: dict[Status, Job], name: str) -> None:
    """After one key is damaged a fault names it and says what is wrong."""
    corrupt, expected = CORRUPTIONS[name]
    members = {job.request_id: _member(job) for job in jobs.values()}
    await corrupt(client, members.__getitem__)
    findings = await _faults(client)
    assert any(expected in fault for fault in findings), findings


async def test_a_shrunk_host_is_a_note(broker: Broker, client: Redis) -> None:
    """A host with less capacity than its jobs hold is a note, not a fault."""
    await bring(broker, Status.GRANTED)
    await broker.set_host(TYPE, Host("h1", {"VCPU": 1}, {"VCPU": 1}))
    (finding,) = await audit(client, TYPE)
    assert (finding.severity, finding.subject) == (Severity.NOTE, "host h1")
    assert str(finding).startswith("note: host h1 is overcommitted in VCPU:")


async def test_every_page_of_jobs_is_checked(broker: Broker, client: Redis) -> None:
    """Of 600 jobs, faults of the first, the middle and the last are found."""
    for start in range(0, 600, 50):
        await asyncio.gather(*(submit(broker, f"r{start + number}") for number in range(50)))
    assert await audit(client, TYPE) == []
    for number in (0, 300, 599):
        await client.hset(KEYS.of("job", f"r{number}"), "status", "done")
    assert len(await _faults(client)) == 3


async def test_a_finding_of_the_first_walk_alone_does_not_count(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that changes during a walk is no fault: the second walk does not find it."""
    await bring(broker, Status.GRANTED)
    hgetall, left = client.hgetall, [1]

    async def slow(name: str) -> object:
        fields = await hgetall(name)
        if left and name == KEYS.of("host", "h1"):
            left.clear()
            return {**fields, "held:GPU": "1"}
        return fields

    monkeypatch.setattr(client, "hgetall", slow)
    assert await audit(client, TYPE) == []
    assert left == []
