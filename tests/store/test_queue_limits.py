"""The policy's `queue_limits`, `most_waiting` and `most_bytes`: what a submit is refused for, and
that the sums behind it stay exact whatever becomes of the jobs."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.errors import DuplicateRequestId, QueueFull
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.repair import Repair
from tests import making

QUOTED = 'lab "7" \\ ,"x":{'
"""An owner whose name JSON has to escape."""


async def sums(client: Redis, owner: str = "o") -> tuple[int, int]:
    """Return how many jobs of an owner count as waiting, and whether it has any bytes."""
    waiting = await client.hget("rqb:{vm}:waiting", owner)
    size = await client.hget("rqb:{vm}:bytes", owner)
    total = await client.hget("rqb:{vm}", "bytes")
    assert int(total or 0) >= int(size or 0)
    return int(waiting or 0), int(size or 0)


async def clean(client: Redis) -> None:
    assert await audit(client, "vm") == []


async def full(broker: Broker, what: str, name: str, owner: str = "o", **fields: Any) -> None:
    """Expect that a submit is refused, and for this."""
    with pytest.raises(QueueFull) as refusal:
        await making.submit(broker, name, owner_id=owner, **fields)
    assert refusal.value.details == {"full": what}
    assert "most_" in str(refusal.value) or "queue_limits" in str(refusal.value)


@pytest.mark.parametrize("owner", ["o", QUOTED, "機"])
async def test_an_owner_has_its_own_limits_or_those_of_all_others(
    broker: Broker, client: Redis, owner: str
) -> None:
    """An owner that is named has the limits of its name alone, every other those of `*`."""
    limits = {"*": {"jobs": 1}, owner: {"jobs": 2}, f"{owner}{owner}": {"jobs": 0}}
    await broker.set_policy("vm", {"queue_limits": limits})
    await making.submit(broker, "a", owner_id=owner)
    await making.submit(broker, "b", owner_id=owner)
    await full(broker, "owner_jobs", "c", owner)
    await making.submit(broker, "d", owner_id="other")
    await full(broker, "owner_jobs", "e", "other")
    await full(broker, "owner_jobs", "f", f"{owner}{owner}")
    await broker.set_policy("vm", {"queue_limits": {owner: {"bytes": 10_000}}})
    await making.submit(broker, "g", owner_id="other")
    await making.submit(broker, "c", owner_id=owner)
    await clean(client)


async def test_bytes_count_until_a_job_is_deleted(broker: Broker, client: Redis) -> None:
    """A big job fills its owner's bytes, in every status, until it is deleted."""
    await broker.set_policy("vm", {"queue_limits": {"*": {"bytes": 60_000}}})
    await making.submit(broker, "a", data="x" * 50_000)
    waiting, size = await sums(client)
    assert waiting == 1
    assert 51_024 < size < 52_024
    await full(broker, "owner_bytes", "b", data="x" * 50_000)
    await broker.transition("vm", "a", Status.DONE)
    assert await sums(client) == (0, size)
    await full(broker, "owner_bytes", "b", data="x" * 50_000)
    await making.submit(broker, "small")
    await broker.withdraw("vm", "a")
    await making.submit(broker, "b", data="x" * 50_000)
    await clean(client)


async def test_the_type_has_limits_of_its_own(broker: Broker, client: Redis) -> None:
    """`most_waiting` and `most_bytes` bind all owners together."""
    await broker.set_policy("vm", {"queue_limits": {}, "most_waiting": 2})
    await making.submit(broker, "a", owner_id="x")
    await making.submit(broker, "b", owner_id="y")
    await full(broker, "jobs", "c", "z")
    await broker.set_policy("vm", {"most_waiting": None, "most_bytes": 3000})
    await full(broker, "bytes", "c", "z")
    await broker.set_policy("vm", {"most_bytes": None})
    await making.submit(broker, "c", owner_id="z")
    await clean(client)


async def test_a_submit_that_is_repeated_is_no_new_one(broker: Broker) -> None:
    """Whoever repeats a submit that was stored hears of that, not that the queue is full."""
    await broker.set_policy("vm", {"queue_limits": {"*": {"jobs": 1}}})
    await making.submit(broker, "a")
    with pytest.raises(DuplicateRequestId) as refusal:
        await making.submit(broker, "a")
    assert refusal.value.details["same"]


async def test_the_sums_follow_a_job_through_all_of_its_life(broker: Broker, client: Redis) -> None:
    """Only a queued job and one beside the line wait; each move changes the sum by one, once."""
    await making.publish(broker)
    await making.grant_to(broker, "http://x:80", "a")
    assert (await sums(client))[0] == 0
    steps = "queued running running done queued error queued queued"
    waits = (1, 0, 0, 0, 1, 0, 1, 1)
    for status, waiting in zip(steps.split(), waits, strict=True):
        await broker.transition("vm", "a", Status(status))
        assert (await sums(client))[0] == waiting, status
        await clean(client)
    await broker.withdraw("vm", "a")
    assert await sums(client) == (0, 0)
    assert not await client.exists("rqb:{vm}:waiting", "rqb:{vm}:bytes")


@pytest.mark.parametrize("limits", [{"queue_limits": {"*": {"jobs": 2}}}, {"most_waiting": 2}])
@pytest.mark.parametrize("ended", [Status.DONE, Status.ERROR, Status.RUNNING])
async def test_a_requeue_counts_as_a_submit_for_who_is_limited(
    broker: Broker, client: Redis, limits: dict[str, Any], ended: Status
) -> None:
    """A job that runs or has ended waits again only where one more may wait, and is unchanged
    otherwise; with `is_limited` only. A full count of bytes refuses none: it adds none."""
    what = "owner_jobs" if "queue_limits" in limits else "jobs"
    await broker.set_policy("vm", limits)
    for name in ("a", "b"):
        await making.submit(broker, name)
        await broker.transition("vm", name, ended)
        await making.submit(broker, f"{name}2")
    before = await client.hgetall("rqb:{vm}:job:a")
    with pytest.raises(QueueFull) as refusal:
        await broker.transition("vm", "a", Status.QUEUED, is_limited=True)
    assert refusal.value.details == {"full": what}
    assert await client.hgetall("rqb:{vm}:job:a") == before
    await broker.transition("vm", "a2", Status.QUEUED, is_limited=True)  # it waits already
    await broker.transition("vm", "a2", Status.DONE, is_limited=True)
    await broker.set_policy("vm", {"most_bytes": 1})
    await broker.transition("vm", "a", Status.QUEUED, is_limited=True)
    await broker.transition("vm", "b", Status.QUEUED)
    assert (await sums(client))[0] == 3
    await clean(client)


async def test_a_granted_job_always_goes_back(broker: Broker, client: Redis) -> None:
    """A client that declines its grant has the place again that it had, however many wait."""
    await making.publish(broker)
    await making.grant_to(broker, "http://x:80", "a")
    await making.submit(broker, "b")
    await broker.set_policy("vm", {"queue_limits": {"*": {"jobs": 1}}})
    await broker.transition("vm", "a", Status.QUEUED, is_limited=True)
    assert (await sums(client))[0] == 2
    await clean(client)


async def test_a_job_of_an_older_version_is_not_counted(broker: Broker, client: Redis) -> None:
    """A job without the field `bytes` changes no sum, whatever becomes of it, and is no fault."""
    await making.submit(broker, "old")
    await client.hdel("rqb:{vm}:job:old", "bytes")
    await client.delete("rqb:{vm}:waiting", "rqb:{vm}:bytes")
    await client.hdel("rqb:{vm}", "bytes")
    await clean(client)
    await making.submit(broker, "new")
    await broker.transition("vm", "old", Status.DONE)
    await broker.transition("vm", "old", Status.QUEUED)
    assert (await sums(client))[0] == 1
    await broker.withdraw("vm", "old")
    assert (await sums(client))[0] == 1
    await clean(client)


async def test_the_audit_finds_wrong_sums_and_repair_mends_them(
    broker: Broker, client: Redis
) -> None:
    """A sum that is too high, too low, missing, or of an owner without jobs is found and mended."""
    for name in ("a", "b"):
        await making.submit(broker, name)
    await making.submit(broker, "c", owner_id="p")
    await client.hset("rqb:{vm}:waiting", mapping={"o": 7, "nobody": 1})
    await client.hdel("rqb:{vm}:bytes", "p")
    await client.hincrby("rqb:{vm}", "bytes", -100)
    findings = await audit(client, "vm")
    assert sorted({finding.subject for finding in findings}) == [
        "bytes", "owner nobody", "owner o", "owner p"]  # fmt: skip
    await Repair(broker.runner).repair("vm", findings)
    await clean(client)
    assert [(await sums(client, owner))[0] for owner in ("o", "p", "nobody")] == [2, 1, 0]


async def test_an_array_is_admitted_as_a_whole(broker: Broker, client: Redis) -> None:
    """An array that does not fit is refused before its first job is stored; each job counts."""
    await broker.set_policy("vm", {"queue_limits": {"*": {"jobs": 3}}})
    with pytest.raises(QueueFull):
        await broker.submit_array("vm", making.array_submission(4))
    assert await sums(client) == (0, 0)
    await broker.submit_array("vm", making.array_submission(3))
    assert (await sums(client))[0] == 3
    await full(broker, "owner_jobs", "b")
    await broker.transition("vm", "s[1]", Status.DONE)
    assert (await sums(client))[0] == 2
    await clean(client)
