"""settle.lua: what an attempt means for its job."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from tests.making import TYPE, bring, claim_one, grant, settle


@pytest.mark.parametrize(
    ("outcome", "status"), [("delivered", Status.RUNNING), ("failed", Status.ERROR)]
)
async def test_an_outcome_ends_the_delivery(
    broker: Broker, client: Redis, outcome: str, status: Status
) -> None:
    """`delivered` keeps the hold and drops the cause; `failed` releases it and keeps the cause."""
    await bring(broker, Status.GRANTED)
    await settle(broker, await claim_one(broker), Settlement("retry", cause="reset"))
    assert await settle(broker, await claim_one(broker), Settlement(outcome, cause="410")) == status
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (status, None if outcome == "delivered" else "410")
    assert bool((await broker.host(TYPE, "h1")).held) == (outcome == "delivered")
    assert await broker.claim(TYPE, 60.0, 10) == (None, [])
    assert await audit(client, TYPE) == []


async def test_a_retry_waits_and_a_release_does_not(broker: Broker) -> None:
    """A retry is due after its delay; a released attempt at once, and the next has a new number."""
    await bring(broker, Status.GRANTED)
    assert await settle(broker, await claim_one(broker), Settlement("release")) == "granted"
    delivery = await claim_one(broker)
    assert delivery.attempt == 2
    assert (
        await settle(broker, delivery, Settlement("retry", delay=60.0, cause="reset")) == "granted"
    )
    assert (await broker.claim(TYPE, 60.0, 10))[1] == []
    job = await broker.read(TYPE, "d")
    assert (job.attempts, job.error) == (1, "reset")


async def test_an_attempt_that_outlived_its_lease_is_stale(broker: Broker) -> None:
    """It is stale also after a later attempt was handed back untried."""
    await bring(broker, Status.GRANTED)
    late = await claim_one(broker, lease=0.0)
    await settle(broker, await claim_one(broker), Settlement("release"))
    assert await settle(broker, late, Settlement("failed", cause="late")) == "STALE"


async def test_a_retry_after_the_offers_end_fails_at_once(broker: Broker) -> None:
    """If the next attempt would be after the offer's end, the capacity is released now."""
    await broker.set_policy(TYPE, {"offer": 30})
    await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker, lease=5.0)
    assert await settle(broker, delivery, Settlement("retry", delay=60.0, cause="reset")) == "error"
    assert (await broker.read(TYPE, "d")).error == "offer expired: reset"
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_an_attempt_is_settled_once(broker: Broker, client: Redis) -> None:
    """The same attempt settled again is STALE, and is in the history once."""
    await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker)
    assert await settle(broker, delivery, Settlement("retry", cause="reset")) == "granted"
    assert await settle(broker, delivery, Settlement("failed", cause="reset")) == "STALE"
    assert [attempt.cause for attempt in await broker.attempts(TYPE, "d")] == ["reset"]
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("status", [Status.RUNNING, Status.DONE, Status.ERROR])
async def test_an_answer_after_the_client_moved_its_job_is_in_the_history(
    broker: Broker, status: Status
) -> None:
    """The settlement is STALE and changes no status, yet the attempt is recorded."""
    await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker)
    await broker.transition(TYPE, "d", status)
    assert await settle(broker, delivery, Settlement("delivered", cause="http_200")) == "STALE"
    assert [attempt.cause for attempt in await broker.attempts(TYPE, "d")] == ["http_200"]
    assert (await broker.read(TYPE, "d")).status is status


async def test_attempts_are_numbered_within_a_grant(broker: Broker) -> None:
    """The attempts of two grants of one job are all kept, each with its fence."""
    await bring(broker, Status.GRANTED)
    await settle(broker, await claim_one(broker), Settlement("delivered", cause="http_200"))
    await broker.transition(TYPE, "d", Status.QUEUED)
    await grant(broker, await broker.read(TYPE, "d"))
    await claim_one(broker, lease=0.0)
    await settle(broker, await claim_one(broker), Settlement("failed", cause="http_410"))
    attempts = await broker.attempts(TYPE, "d")
    settled = [(attempt.attempt, attempt.cause) for attempt in attempts]
    assert settled == [(1, "http_200"), (1, "courier_lost"), (2, "http_410")]
    first, *second = (attempt.fence for attempt in attempts)
    assert second[0] == second[1] > first
