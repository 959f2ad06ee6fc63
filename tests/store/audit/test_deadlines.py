"""The audit finds a job whose deadline is missing, and none that may lack one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.domain.status_words import in_words
from rq_broker.domain.terms import Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, bring, grant, publish, shape, submit

KEYS = Keys(TYPE)


async def _without_deadline(client: Redis, *names: str) -> None:
    for name in names:
        id_ = int(await client.hget(KEYS.of("job", name), "id") or 0)
        assert await client.zrem(KEYS.of("deadlines"), member(id_, name)) == 1


@pytest.mark.parametrize("status", [Status.GRANTED, Status.RUNNING, Status.DONE, Status.ERROR])
async def test_a_missing_deadline_is_found_and_mended(
    broker: Broker, client: Redis, status: Status
) -> None:
    """Where the policy ends every job of a status, one without a deadline is a fault."""
    await broker.set_policy(TYPE, {"running": 600})
    await broker.sweep(TYPE)
    await bring(broker, status)
    before = await client.zrange(KEYS.of("deadlines"), 0, -1, withscores=True)
    await _without_deadline(client, "d")
    findings = await audit(client, TYPE)
    assert [finding.text for finding in findings] == [
        f"is {in_words(status)} but has no deadline, so nothing ends that"
    ]
    await broker.repair(TYPE, findings)
    assert await audit(client, TYPE) == []
    assert await client.zrange(KEYS.of("deadlines"), 0, -1, withscores=True) == before


async def test_a_job_that_may_hold_at_most_so_long_needs_one(broker: Broker, client: Redis) -> None:
    """Its own running time counts where the policy sets none; others need no deadline then."""
    await broker.set_policy(TYPE, {"running": None})
    await broker.sweep(TYPE)
    await publish(broker)
    await bring(broker, Status.RUNNING, "other")
    assert await grant(broker, await submit(broker, "d", terms=Terms(hold_at_most=60.0)))
    await broker.transition(TYPE, "d", Status.RUNNING)
    assert await audit(client, TYPE) == []
    await _without_deadline(client, "d")
    (finding,) = await audit(client, TYPE)
    assert finding.subject.endswith(":d")
    await broker.repair(TYPE, [finding])
    assert await audit(client, TYPE) == []


async def test_jobs_that_run_since_before_the_default_have_none(
    broker: Broker, client: Redis
) -> None:
    """They lack a deadline; one that began to run after another with a deadline does not."""
    for name in ("old", "older", "new", "lost"):
        await bring(broker, Status.RUNNING, name)
    await _without_deadline(client, "old", "older")
    for number, name in enumerate(("older", "old", "new", "lost")):
        await client.hset(KEYS.of("job", name), "running_since", str(1_000_000 + number))
    assert await audit(client, TYPE) == []
    await _without_deadline(client, "lost")
    (finding,) = await audit(client, TYPE)
    assert finding.subject.endswith(":lost")


async def test_a_change_of_the_policy_is_counted_by_sweeps(broker: Broker, client: Redis) -> None:
    """Until the sweeps have counted the deadlines anew, a job may lack its own."""
    await broker.set_policy(TYPE, {"retention": None})
    await broker.sweep(TYPE)
    await bring(broker, Status.DONE)
    assert await client.zcard(KEYS.of("deadlines")) == 0
    await broker.set_policy(TYPE, {"retention": 600})
    assert await audit(client, TYPE) == []
    await broker.sweep(TYPE)
    assert await client.zcard(KEYS.of("deadlines")) == 1
    assert await audit(client, TYPE) == []


async def test_what_a_version_before_rounded_is_no_fault(broker: Broker, client: Redis) -> None:
    """A job that says 250 s and is planned with 300 was submitted before two digits counted."""
    for name, rounded in (("d", 300), ("e", 400)):
        await submit(broker, name, expected=250.0, shape=replace(shape(), expected=rounded))
        await broker.transition(TYPE, name, Status.DONE)
    (finding,) = await audit(client, TYPE)
    assert finding.text == "says it holds 250000 ms but its demand expects 400 s"
