"""deliveries.py: the history of attempts, requeued jobs and signing keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.delivery.signing import generate
from rq_broker.domain import errors
from rq_broker.domain.deliveries import Attempt
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from tests.making import (
    TYPE,
    bring,
    claim_one,
    grant,
    grant_to,
    publish,
    queue,
    settle,
    shape,
    submit,
)

FAILED = Settlement("failed", "http_404", 3, health="healthy")
HEARD = Settlement("delivered", "http_200", 3, health="healthy")


async def _granted_to(broker: Broker, host: str, name: str, owner: str = "o") -> str:
    """Grant a job whose callback goes to `http://<host>:80`; return that destination."""
    destination = f"http://{host}:80"
    await publish(broker)
    await grant_to(broker, destination, name, owner)
    return destination


async def _failed(broker: Broker, host: str, *names: str) -> str:
    """Let the callbacks of these jobs fail for good; return their destination."""
    for name in names:
        destination = await _granted_to(broker, host, name)
        assert await settle(broker, await claim_one(broker), FAILED) == "error"
    return destination


# Attempts


async def test_attempts_are_listed_with_their_cause_and_time(broker: Broker) -> None:
    """They come oldest first, with times by Redis's clock and the fence of their grant."""
    job = await bring(broker, Status.GRANTED)
    assert await broker.attempts(TYPE, "d") == []
    before = await broker.now(TYPE)
    for cause, took in (("timeout", 10_000), ("http_503", 12)):
        settlement = Settlement("retry", cause, took, health="unhealthy")
        await settle(broker, await claim_one(broker), settlement)
    await settle(broker, await claim_one(broker), HEARD)
    attempts = await broker.attempts(TYPE, "d")
    times = [attempt.ended for attempt in attempts]
    assert times == sorted(times)
    assert before - 0.001 <= times[0] / 1e6 <= times[-1] / 1e6 <= await broker.now(TYPE)
    assert attempts == [
        Attempt(times[0], job.fence or 0, 1, "timeout", 10_000),
        Attempt(times[1], job.fence or 0, 2, "http_503", 12),
        Attempt(times[2], job.fence or 0, 3, "http_200", 3),
    ]


async def test_the_attempts_of_killed_couriers_are_listed(broker: Broker, client: Redis) -> None:
    """Each attempt that was claimed and never settled is listed once, as `courier_lost`."""
    await bring(broker, Status.GRANTED)
    for _ in range(2):
        await claim_one(broker, lease=0.0)
    await settle(broker, await claim_one(broker), HEARD)
    attempts = [(attempt.attempt, attempt.cause) for attempt in await broker.attempts(TYPE, "d")]
    assert attempts == [(1, "courier_lost"), (2, "courier_lost"), (3, "http_200")]
    assert await audit(client, TYPE) == []


async def test_a_released_claim_is_no_attempt(broker: Broker) -> None:
    """What a stopping courier hands back untried is not in the history."""
    await bring(broker, Status.GRANTED)
    await settle(broker, await claim_one(broker), Settlement("release"))
    assert await broker.attempts(TYPE, "d") == []
    await settle(broker, await claim_one(broker), HEARD)
    assert [attempt.cause for attempt in await broker.attempts(TYPE, "d")] == ["http_200"]


async def test_the_history_ends_with_its_job(broker: Broker) -> None:
    """A withdrawn job has no history, and a new job of the same request_id begins without one."""
    await _failed(broker, "x", "d")
    await broker.withdraw(TYPE, "d")
    with pytest.raises(errors.JobNotFound):
        await broker.attempts(TYPE, "d")
    await submit(broker)
    assert await broker.attempts(TYPE, "d") == []


async def test_the_history_is_bounded(broker: Broker) -> None:
    """Of 300 attempts the newest are kept, at least 100."""
    await bring(broker, Status.GRANTED)
    for _ in range(300):
        settlement = Settlement("retry", "http_404", health="healthy")
        await settle(broker, await claim_one(broker), settlement)
    attempts = await broker.attempts(TYPE, "d")
    assert 100 <= len(attempts) <= 200
    assert attempts[-1].attempt == 300


# Requeue


async def test_a_failed_job_can_be_requeued(broker: Broker, client: Redis) -> None:
    """It is queued at its priority without its cause, keeps its history, and is called again."""
    await _failed(broker, "x", "d")
    await broker.transition(TYPE, "d", Status.QUEUED)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error, job.attempts) == (Status.QUEUED, None, 0)
    assert len(await broker.attempts(TYPE, "d")) == 1
    wanted = shape(destination="http://x:80")
    assert await grant(broker, job, wanted) is not None
    assert await settle(broker, await claim_one(broker), HEARD) == "running"
    assert await audit(client, TYPE) == []


async def test_requeue_puts_back_all_jobs_of_a_destination(broker: Broker, client: Redis) -> None:
    """Every job whose callback there failed is queued by priority, and no other job is."""
    there = await _failed(broker, "x", "a", "b", "c")
    await _failed(broker, "y", "other")
    assert await broker.requeue(TYPE, there) == 3
    assert await queue(broker) == ["a", "b", "c"]
    assert (await broker.read(TYPE, "other")).status is Status.ERROR
    assert await broker.requeue(TYPE, there) == 0
    assert await audit(client, TYPE) == []


async def test_requeue_reads_every_page(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """All failed jobs of the destination are found, also if they take several pages."""
    page = broker.page

    async def short(*args: Any, **options: Any) -> Any:
        return await page(*args, **{**options, "limit": 2})

    monkeypatch.setattr(broker.jobs, "page", short)
    for number in range(4):
        await _failed(broker, "x", f"a{number}")
        await _failed(broker, "y", f"b{number}")
    assert await broker.requeue(TYPE, "http://y:80") == 4
    monkeypatch.setattr(broker.jobs, "page", page)
    assert await queue(broker) == [f"b{number}" for number in range(4)]


@pytest.mark.parametrize("status", [Status.ERROR, Status.DONE])
async def test_only_failed_callbacks_are_requeued(broker: Broker, status: Status) -> None:
    """A job whose callback succeeded and that its client ended later stays as it is."""
    destination = await _granted_to(broker, "x", "d")
    await settle(broker, await claim_one(broker), HEARD)
    await broker.transition(TYPE, "d", status)
    assert await broker.requeue(TYPE, destination) == 0
    assert (await broker.read(TYPE, "d")).status is status


async def test_requeue_includes_offers_that_expired(broker: Broker) -> None:
    """A job whose callback was never sent within its offer counts as failed."""
    await broker.set_policy(TYPE, {"offer": 0.01})
    destination = await _granted_to(broker, "x", "d")
    await asyncio.sleep(0.05)
    assert (await broker.sweep(TYPE))[1] == 1
    assert await broker.requeue(TYPE, destination) == 1


@pytest.mark.parametrize("meanwhile", ["withdrawn", "granted again"])
async def test_requeue_skips_jobs_that_changed_meanwhile(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A job withdrawn or granted during the requeue is left alone; the others are put back."""
    there = await _failed(broker, "x", "a", "b")
    page = broker.page

    async def late(*args: Any, **options: Any) -> Any:
        jobs = await page(*args, **options)
        if meanwhile == "withdrawn":
            await broker.withdraw(TYPE, "a")
        else:
            await broker.transition(TYPE, "a", Status.QUEUED)
            wanted = shape(destination=there)
            assert await grant(broker, await broker.read(TYPE, "a"), wanted) is not None
        return jobs

    monkeypatch.setattr(broker.jobs, "page", late)
    assert await broker.requeue(TYPE, there) == 1
    monkeypatch.setattr(broker.jobs, "page", page)
    assert await queue(broker) == ["b"]
    if meanwhile == "granted again":
        assert (await broker.read(TYPE, "a")).status is Status.GRANTED
    assert await audit(client, TYPE) == []


# Signing keys


async def test_deliveries_have_the_keys_of_their_owners(broker: Broker) -> None:
    """Each delivery has its owner's keys, else those of `*`, the newest first."""
    new, old, owners_key = (generate().text for _ in range(3))
    await broker.set_keys(TYPE, "*", [new, old])
    await broker.set_keys(TYPE, "lab/7 x", [owners_key])
    await _granted_to(broker, "x", "a", "o")
    await _granted_to(broker, "x", "b", "lab/7 x")
    _, deliveries = await broker.claim(TYPE, 60.0, 10)
    keys = {delivery.job.request_id: delivery.keys for delivery in deliveries}
    assert keys == {"a": (new, old), "b": (owners_key,)}
    await broker.set_keys(TYPE, "*", [])
    await broker.set_keys(TYPE, "nobody", [])
    assert await broker.keys(TYPE) == {"lab/7 x": (owners_key,)}
