"""The courier: what it sends and when, and what each outcome means for its job."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from redis.asyncio import Redis

from rq_broker.delivery import retry
from rq_broker.delivery.outcome import Outcome
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys, member
from rq_broker.worker.janitor import Janitor
from tests.couriers import (
    DOWN,
    GONE,
    OK,
    REDIRECT,
    REJECTED,
    TIMEOUT,
    all_free,
    answering,
    deliver_once,
    due_time,
    held,
    make_courier,
    waiting,
)
from tests.making import TYPE, bring, claim_one, grant, settle


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every retry due at once."""
    monkeypatch.setattr(retry, "DELAYS", ())
    monkeypatch.setattr(retry, "LAST_DELAY", 0.0)


# Outcomes


async def test_2xx_makes_the_job_run(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A 2xx ends the delivery: the job runs and keeps its capacity."""
    granted, sender = await bring(broker, Status.GRANTED), answering(OK)
    await deliver_once(broker, sender, slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.attempts, job.error) == (Status.RUNNING, 1, None)
    assert await held(broker) == {"VCPU": 1}
    assert sender.urls == ["http://x/d"]
    data = orjson.loads(sender.bodies[0])["data"]
    assert (data["Status"], data["Hosts"], data["Fence"]) == ("granted", ["h1"], granted.fence)
    await deliver_once(broker, sender, slots)
    assert len(sender.urls) == 1
    assert all_free(slots)
    assert await audit(client, TYPE) == []


async def test_410_withdraws_the_job(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A 410 fails the job at once and frees its capacity."""
    await bring(broker, Status.GRANTED)
    await deliver_once(broker, answering(GONE), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "withdrawn by the client (410)")
    assert await held(broker) == {}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("outcome", [DOWN, TIMEOUT], ids=lambda outcome: outcome.cause)
async def test_a_transient_failure_is_retried(
    broker: Broker, client: Redis, slots: asyncio.Semaphore, outcome: Outcome
) -> None:
    """After a 5xx or a timeout the grant stands, names the cause, and is retried by the table."""
    job = await bring(broker, Status.GRANTED)
    for attempt, base in enumerate((1.0, 2.0, 5.0), 1):
        before = await broker.now(TYPE)
        await deliver_once(broker, answering(outcome), slots)
        after, due = await broker.now(TYPE), await due_time(client, job)
        assert before + 0.8 * base - 0.01 <= due <= after + 1.2 * base + 0.01
        read = await broker.read(TYPE, "d")
        assert (read.status, read.attempts, read.error) == (
            Status.GRANTED,
            attempt,
            outcome.cause,
        )
        await client.zadd(Keys(TYPE).of("deliveries"), {member(job.id, "d"): 0})
    assert await held(broker) == {"VCPU": 1}
    await deliver_once(broker, answering(OK), slots)
    assert (await broker.read(TYPE, "d")).error is None


@pytest.mark.usefixtures("at_once")
async def test_other_4xx_fail_the_job_at_the_third_attempt(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A 404 may come from a receiver that starts up; the third one fails the job."""
    await bring(broker, Status.GRANTED)
    sender = answering(REJECTED)
    for status in (Status.GRANTED, Status.GRANTED, Status.ERROR):
        await deliver_once(broker, sender, slots)
        assert (await broker.read(TYPE, "d")).status is status
    assert len(sender.ids) == 3
    assert (await broker.read(TYPE, "d")).error == "http_404"
    assert await held(broker) == {}


async def test_a_permanent_failure_is_not_retried(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A redirect fails the job at the first attempt."""
    await bring(broker, Status.GRANTED)
    await deliver_once(broker, answering(REDIRECT), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error, job.attempts) == (Status.ERROR, "redirect", 1)
    assert await held(broker) == {}


# The offer


async def test_no_attempt_is_planned_past_the_offers_end(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """If the next attempt would come too late, the offer ends now, with the last cause."""
    await broker.set_policy(TYPE, {"offer": 0.5})
    await bring(broker, Status.GRANTED)
    await deliver_once(broker, answering(DOWN), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "offer expired: http_503")
    assert await held(broker) == {}


async def test_no_offer_ends_while_its_callback_is_in_flight(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A receiver that answers 2xx after the offer's end keeps its grant."""
    await broker.set_policy(TYPE, {"offer": 0.1})
    await bring(broker, Status.GRANTED)
    sender = waiting(OK)
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    await asyncio.sleep(0.15)
    await Janitor(broker, TYPE).run_once()
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
    sender.may_answer.set()
    await courier.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_no_attempt_starts_after_the_offers_end(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A callback due after its offer's end is not sent; the janitor frees the capacity."""
    await broker.set_policy(TYPE, {"offer": 0.02})
    await bring(broker, Status.GRANTED)
    await asyncio.sleep(0.05)
    sender = answering(OK)
    await deliver_once(broker, sender, slots)
    await Janitor(broker, TYPE).run_once()
    assert sender.urls == []
    assert (await broker.read(TYPE, "d")).status is Status.ERROR
    assert await held(broker) == {}


# Fences, leases, ids


async def test_an_attempt_of_an_earlier_grant_changes_nothing(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """An outcome for an earlier grant does not touch the present one."""
    first = await bring(broker, Status.GRANTED)
    sender = waiting(GONE)
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await grant(broker, await broker.read(TYPE, "d")) is not None
    await claim_one(broker)
    sender.may_answer.set()
    await courier.drain(10.0)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.GRANTED
    assert job.fence != first.fence
    assert await held(broker) == {"VCPU": 1}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("outcome", ["delivered", "retry", "failed", "release"])
async def test_only_the_newest_attempt_is_settled(broker: Broker, outcome: str) -> None:
    """An attempt that overran its lease cannot settle a callback that was claimed again."""
    await bring(broker, Status.GRANTED)
    overrun = await claim_one(broker, lease=0.0)
    newest = await claim_one(broker)
    before = await broker.read(TYPE, "d")
    assert newest.attempt == overrun.attempt + 1
    assert await settle(broker, overrun, Settlement(outcome)) == "STALE"
    assert await broker.read(TYPE, "d") == before


@pytest.mark.parametrize("status", [Status.DONE, Status.ERROR, Status.RUNNING])
async def test_a_status_set_by_the_client_stands(
    broker: Broker, slots: asyncio.Semaphore, status: Status
) -> None:
    """If a client moves its job on before its 2xx is read, its status stands."""
    await bring(broker, Status.GRANTED)
    sender = waiting(OK)
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    await broker.transition(TYPE, "d", status)
    sender.may_answer.set()
    await courier.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is status


async def test_a_job_withdrawn_during_its_callback_stays_withdrawn(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """Settling a withdrawn job is no error and leaves no key."""
    await bring(broker, Status.GRANTED)
    sender = waiting(DOWN)
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    await broker.withdraw(TYPE, "d")
    sender.may_answer.set()
    await courier.drain(10.0)
    assert await client.exists(Keys(TYPE).of("deliveries"), Keys(TYPE).of("job", "d")) == 0
    assert await audit(client, TYPE) == []


@pytest.mark.usefixtures("at_once")
async def test_the_message_id_is_the_same_for_each_attempt_of_a_grant(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """Each attempt of a grant carries the same id, whoever sends it; the next grant's does not."""
    await bring(broker, Status.GRANTED)
    sender = answering(DOWN, DOWN, OK)
    for _ in range(3):
        await deliver_once(broker, sender, slots)
    await broker.transition(TYPE, "d", Status.QUEUED)
    await grant(broker, await broker.read(TYPE, "d"))
    await deliver_once(broker, sender, slots)
    assert len(sender.ids) == 4
    assert len(set(sender.ids[:3])) == 1
    assert sender.ids[3] not in sender.ids[:3]


async def test_a_dead_couriers_claim_falls_due_again(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A callback claimed and never settled is sent by another courier once the lease ends."""
    await bring(broker, Status.GRANTED)
    await claim_one(broker, lease=0.2)
    sender = answering(OK)
    await deliver_once(broker, sender, slots)
    assert sender.urls == []
    await asyncio.sleep(0.25)
    await deliver_once(broker, sender, slots)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_the_lease_outlasts_any_attempt(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """The lease is longer than the timeout of an attempt by its margin."""
    job = await bring(broker, Status.GRANTED)
    sender = waiting(OK)
    courier = make_courier(broker, sender, slots)
    before = await broker.now(TYPE)
    await courier.run_once()
    assert await due_time(client, job) >= before + 1.0 + 4.9
    sender.may_answer.set()
    await courier.drain(10.0)
