"""broker/deliveries.py: what comes of callbacks, as couriers settle it and operators see it."""

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
    """Grant a job whose callback goes to `http://<host>:80`; return that."""
    destination = f"http://{host}:80"
    await publish(broker)
    await grant_to(broker, destination, name, owner)
    return destination


async def _failed(broker: Broker, host: str, *names: str) -> str:
    """Let the callbacks of these jobs fail for good."""
    for name in names:
        destination = await _granted_to(broker, host, name)
        assert await settle(broker, await claim_one(broker), FAILED) == "error"
    return destination


# Attempts


async def test_each_attempt_is_told_with_its_cause_and_time(broker: Broker) -> None:
    """Oldest first, by Redis's own clock, under the fence of their grant."""
    job = await bring(broker, Status.GRANTED)
    assert await broker.attempts(TYPE, "d") == []
    before = await broker.now()
    for cause, took in (("timeout", 10_000), ("http_503", 12)):
        came = Settlement("retry", cause, took, health="unhealthy")
        await settle(broker, await claim_one(broker), came)
    await settle(broker, await claim_one(broker), HEARD)
    found = await broker.attempts(TYPE, "d")
    times = [each.ended for each in found]
    assert times == sorted(times)
    assert before - 0.001 <= times[0] / 1e6 <= times[-1] / 1e6 <= await broker.now()
    assert found == [
        Attempt(times[0], job.fence or 0, 1, "timeout", 10_000),
        Attempt(times[1], job.fence or 0, 2, "http_503", 12),
        Attempt(times[2], job.fence or 0, 3, "http_200", 3),
    ]


async def test_a_killed_couriers_attempt_is_told(broker: Broker, client: Redis) -> None:
    """What was claimed and never settled is `courier_lost`, once, however often it happens."""
    await bring(broker, Status.GRANTED)
    for _ in range(2):
        await claim_one(broker, lease=0.0)
    await settle(broker, await claim_one(broker), HEARD)
    found = [(each.attempt, each.cause) for each in await broker.attempts(TYPE, "d")]
    assert found == [(1, "courier_lost"), (2, "courier_lost"), (3, "http_200")]
    assert await audit(client, TYPE) == []


async def test_what_was_handed_back_untried_is_no_attempt(broker: Broker) -> None:
    """A courier that stopped in good order leaves no line in the history, before or after."""
    await bring(broker, Status.GRANTED)
    await settle(broker, await claim_one(broker), Settlement("release"))
    assert await broker.attempts(TYPE, "d") == []
    await settle(broker, await claim_one(broker), HEARD)
    assert [each.cause for each in await broker.attempts(TYPE, "d")] == ["http_200"]


async def test_the_history_goes_with_the_job(broker: Broker) -> None:
    """A job that is gone has no history, and its successor of the same name begins its own."""
    await _failed(broker, "x", "d")
    await broker.withdraw(TYPE, "d")
    with pytest.raises(errors.JobNotFound):
        await broker.attempts(TYPE, "d")
    await submit(broker)
    assert await broker.attempts(TYPE, "d") == []


async def test_the_history_of_a_stubborn_job_is_bounded(broker: Broker) -> None:
    """After hundreds of attempts the newest of them are kept."""
    await bring(broker, Status.GRANTED)
    for _ in range(300):
        came = Settlement("retry", "http_404", health="healthy")
        await settle(broker, await claim_one(broker), came)
    found = await broker.attempts(TYPE, "d")
    assert 100 <= len(found) <= 200
    assert found[-1].attempt == 300


# Requeue


async def test_one_failed_job_goes_back_in_line(broker: Broker, client: Redis) -> None:
    """By status: at its priority, its old cause gone, its history kept; and it is called again."""
    await _failed(broker, "x", "d")
    await broker.transition(TYPE, "d", Status.QUEUED)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error, job.attempts) == (Status.QUEUED, None, 0)
    assert len(await broker.attempts(TYPE, "d")) == 1
    wanted = shape(destination="http://x:80")
    assert await grant(broker, job, wanted) is not None
    assert await settle(broker, await claim_one(broker), HEARD) == "running"
    assert await audit(client, TYPE) == []


async def test_all_of_a_destination_go_back_in_line(broker: Broker, client: Redis) -> None:
    """Every job whose callback there failed, in order of priority, and none of another's."""
    there = await _failed(broker, "x", "a", "b", "c")
    await _failed(broker, "y", "other")
    assert await broker.requeue(TYPE, there) == 3
    assert await queue(broker) == ["a", "b", "c"]
    assert (await broker.read(TYPE, "other")).status is Status.ERROR
    assert await broker.requeue(TYPE, there) == 0
    assert await audit(client, TYPE) == []


async def test_a_requeue_reaches_beyond_a_page(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many failed jobs there are, those of the destination are all found."""
    page = broker.page

    async def short(*args: Any, **more: Any) -> Any:
        return await page(*args, **{**more, "limit": 2})

    monkeypatch.setattr(broker.jobs, "page", short)
    for number in range(4):
        await _failed(broker, "x", f"a{number}")
        await _failed(broker, "y", f"b{number}")
    assert await broker.requeue(TYPE, "http://y:80") == 4
    monkeypatch.setattr(broker.jobs, "page", page)
    assert await queue(broker) == [f"b{number}" for number in range(4)]


@pytest.mark.parametrize("status", [Status.ERROR, Status.DONE])
async def test_only_failed_callbacks_are_requeued(broker: Broker, status: Status) -> None:
    """A job that was heard, ran, and then ended by its client's word stays ended."""
    destination = await _granted_to(broker, "x", "d")
    await settle(broker, await claim_one(broker), HEARD)
    await broker.transition(TYPE, "d", status)
    assert await broker.requeue(TYPE, destination) == 0
    assert (await broker.read(TYPE, "d")).status is status


async def test_offers_that_ended_are_requeued(broker: Broker) -> None:
    """A job whose callback never got out in its offer counts as failed."""
    await broker.set_policy(TYPE, {"offer": 0.01})
    destination = await _granted_to(broker, "x", "d")
    await asyncio.sleep(0.05)
    assert (await broker.sweep(TYPE))[1] == 1
    assert await broker.requeue(TYPE, destination) == 1


@pytest.mark.parametrize("meanwhile", ["withdrawn", "granted again"])
async def test_a_requeue_stumbles_over_nobody(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """A job that moves on meanwhile is left as it is, and the others are put back."""
    there = await _failed(broker, "x", "a", "b")
    page = broker.page

    async def late(*args: Any, **more: Any) -> Any:
        found = await page(*args, **more)
        if meanwhile == "withdrawn":
            await broker.withdraw(TYPE, "a")
        else:
            await broker.transition(TYPE, "a", Status.QUEUED)
            wanted = shape(destination=there)
            assert await grant(broker, await broker.read(TYPE, "a"), wanted) is not None
        return found

    monkeypatch.setattr(broker.jobs, "page", late)
    assert await broker.requeue(TYPE, there) == 1
    monkeypatch.setattr(broker.jobs, "page", page)
    assert await queue(broker) == ["b"]
    if meanwhile == "granted again":
        assert (await broker.read(TYPE, "a")).status is Status.GRANTED
    assert await audit(client, TYPE) == []


# Signing keys


async def test_keys_go_with_the_owners_deliveries(broker: Broker) -> None:
    """Each delivery of a claim carries its owner's keys, else those of `*`, the newest first."""
    new, old, own = (generate().text for _ in range(3))
    await broker.set_keys(TYPE, "*", [new, old])
    await broker.set_keys(TYPE, "lab/7 x", [own])
    await _granted_to(broker, "x", "a", "o")
    await _granted_to(broker, "x", "b", "lab/7 x")
    found = (await broker.claim(TYPE, 60.0, 10))[1]
    assert {each.job.request_id: each.keys for each in found} == {"a": (new, old), "b": (own,)}
    await broker.set_keys(TYPE, "*", [])
    await broker.set_keys(TYPE, "nobody", [])
    assert await broker.keys(TYPE) == {"lab/7 x": (own,)}
