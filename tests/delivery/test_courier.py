"""The courier: what it sends and when, and what becomes of each answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import orjson
import pytest
from redis.asyncio import Redis

from rq_broker.delivery import retry
from rq_broker.delivery.courier import body, delivery_id
from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.retry import DELAY_AFTER, DELAYS, delay
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import JobView, to_json
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
    deliver_once,
    due,
    held,
    make,
    saying,
    silent,
)
from tests.making import TYPE, bring, claim_one, grant, settle


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every next attempt is due at once."""
    monkeypatch.setattr(retry, "DELAYS", ())
    monkeypatch.setattr(retry, "DELAY_AFTER", 0.0)


# Pure parts


def test_the_delays_are_the_table() -> None:
    """Attempts come 0, 1, 3, 8, 20, 45 s after the grant, then every 60 s."""
    waits = [delay(attempt, DOWN, lambda: 0.5) for attempt in range(1, 9)]
    assert [round(sum(waits[:n]), 6) for n in range(6)] == [0, 1, 3, 8, 20, 45]
    assert waits[5:] == [DELAY_AFTER] * 3 == [60.0] * 3


def test_jitter_is_a_fifth_either_way() -> None:
    """The least and the most the dice can say are 20% below and above the table."""
    for attempt, base in enumerate((*DELAYS, DELAY_AFTER, DELAY_AFTER), 1):
        assert delay(attempt, DOWN, lambda: 0.0) == pytest.approx(0.8 * base)
        assert delay(attempt, DOWN, lambda: 1.0) == pytest.approx(1.2 * base)
        assert 0.8 * base <= delay(attempt, DOWN) <= 1.2 * base


def test_retry_after_is_a_floor() -> None:
    """A receiver can ask for more time than the table gives, never for less."""
    patient = Outcome("retry", "http_429", 1, retry_after=30.0)
    hasty = Outcome("retry", "http_429", 1, retry_after=0.1)
    assert delay(1, patient, lambda: 0.5) == 30.0
    assert delay(1, hasty, lambda: 0.5) == 1.0
    assert delay(6, patient, lambda: 0.5) == 60.0


def _job(type_: str = "vm", fence: int = 7) -> Job:
    return Job(3, type_, "d", "y", "{}", "http://x/d", 1, Status.GRANTED, 0, 0, fence=fence)


def test_the_delivery_id_names_the_grant() -> None:
    """Type, job and fence make the id; whatever the type is called, it fits in a header."""
    assert delivery_id(_job()) == "vm_3_7"
    names = {delivery_id(_job(type_, fence)) for type_ in ("vm", "a b", "虛") for fence in (7, 8)}
    assert len(names) == 6
    assert all(name.isascii() and " " not in name for name in names)


def test_the_body_says_what_was_granted() -> None:
    """A receiver reads the event's name, its time and the job as the API shows it."""
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    said = orjson.loads(body(_job(), now))
    assert set(said) == {"type", "timestamp", "data"}
    assert said["type"] == "job.granted"
    assert datetime.fromisoformat(said["timestamp"]) == now
    assert said["data"] == orjson.loads(to_json(JobView.of(_job())))


# What becomes of an attempt


async def test_2xx_makes_the_job_run(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A callback answered 2xx is the end of the delivery: the job runs, and holds on."""
    granted, script = await bring(broker, Status.GRANTED), saying(OK)
    await deliver_once(broker, script, slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.attempts, job.error) == (Status.RUNNING, 1, None)
    assert await held(broker) == {"VCPU": 1}
    assert script.urls == ["http://x/d"]
    data = orjson.loads(script.bodies[0])["data"]
    assert (data["Status"], data["Hosts"], data["Fence"]) == ("granted", ["h1"], granted.fence)
    await deliver_once(broker, script, slots)
    assert len(script.urls) == 1
    assert all_free(slots)
    assert await audit(client, TYPE) == []


async def test_410_is_the_client_leaving(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """410 ends the job in error at once, and its capacity is free."""
    await bring(broker, Status.GRANTED)
    await deliver_once(broker, saying(GONE), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "withdrawn by the client (410)")
    assert await held(broker) == {}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("outcome", [DOWN, TIMEOUT], ids=lambda outcome: outcome.cause)
async def test_what_may_heal_is_tried_again(
    broker: Broker, client: Redis, slots: asyncio.Semaphore, outcome: Outcome
) -> None:
    """After 5xx or a timeout the grant stands, says why, and is next due when the table says."""
    job = await bring(broker, Status.GRANTED)
    for attempt, base in enumerate((1.0, 2.0, 5.0), 1):
        before = await broker.now()
        await deliver_once(broker, saying(outcome), slots)
        after, next_one = await broker.now(), await due(client, job)
        assert before + 0.8 * base - 0.01 <= next_one <= after + 1.2 * base + 0.01
        read = await broker.read(TYPE, "d")
        assert (read.status, read.attempts, read.error) == (
            Status.GRANTED,
            attempt,
            outcome.cause,
        )
        await client.zadd(Keys(TYPE).of("deliveries"), {member(job.id, "d"): 0})
    assert await held(broker) == {"VCPU": 1}
    await deliver_once(broker, saying(OK), slots)
    assert (await broker.read(TYPE, "d")).error is None


@pytest.mark.usefixtures("at_once")
async def test_other_4xx_are_believed_the_third_time(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A 404 may be a receiver starting up; three of them are an answer."""
    await bring(broker, Status.GRANTED)
    script = saying(REJECTED)
    for status in (Status.GRANTED, Status.GRANTED, Status.ERROR):
        await deliver_once(broker, script, slots)
        assert (await broker.read(TYPE, "d")).status is status
    assert len(script.ids) == 3
    assert (await broker.read(TYPE, "d")).error == "http_404"
    assert await held(broker) == {}


async def test_what_cannot_heal_fails_at_once(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A redirect or a forbidden address is not tried again."""
    await bring(broker, Status.GRANTED)
    await deliver_once(broker, saying(REDIRECT), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error, job.attempts) == (Status.ERROR, "redirect", 1)
    assert await held(broker) == {}


# The offer


async def test_no_attempt_is_planned_past_the_offers_end(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """When the next attempt would come too late the offer ends now, with its last cause."""
    await broker.set_policy(TYPE, {"offer": 0.5})
    await bring(broker, Status.GRANTED)
    await deliver_once(broker, saying(DOWN), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "offer expired: http_503")
    assert await held(broker) == {}


async def test_no_offer_ends_while_its_callback_is_on_its_way(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A receiver that answers 2xx late keeps what it was promised."""
    await broker.set_policy(TYPE, {"offer": 0.1})
    await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    await one.run_once()
    await asyncio.sleep(0.15)
    await Janitor(broker, TYPE).run_once()
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
    script.answer.set()
    await one.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_no_attempt_starts_after_the_offers_end(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """What is due but over is not called any more; the janitor gives its capacity on."""
    await broker.set_policy(TYPE, {"offer": 0.02})
    await bring(broker, Status.GRANTED)
    await asyncio.sleep(0.05)
    script = saying(OK)
    await deliver_once(broker, script, slots)
    await Janitor(broker, TYPE).run_once()
    assert script.urls == []
    assert (await broker.read(TYPE, "d")).status is Status.ERROR
    assert await held(broker) == {}


# Fences, leases, ids


async def test_an_overtaken_attempt_is_not_heard(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A courier that answers for an earlier grant changes nothing about the present one."""
    first = await bring(broker, Status.GRANTED)
    script = silent(GONE)
    one = make(broker, script, slots)
    await one.run_once()
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await grant(broker, await broker.read(TYPE, "d")) is not None
    await claim_one(broker)
    script.answer.set()
    await one.drain(10.0)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.GRANTED
    assert job.fence != first.fence
    assert await held(broker) == {"VCPU": 1}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("outcome", ["delivered", "retry", "failed", "release"])
async def test_only_the_newest_attempt_is_heard(broker: Broker, outcome: str) -> None:
    """Whoever overran its lease cannot settle what another has claimed since."""
    await bring(broker, Status.GRANTED)
    overrun = await claim_one(broker, lease=0.0)
    newest = await claim_one(broker)
    before = await broker.read(TYPE, "d")
    assert newest.attempt == overrun.attempt + 1
    assert await settle(broker, overrun, Settlement(outcome)) == "STALE"
    assert await broker.read(TYPE, "d") == before


@pytest.mark.parametrize("status", [Status.DONE, Status.ERROR, Status.RUNNING])
async def test_a_client_that_was_quicker_is_not_overruled(
    broker: Broker, slots: asyncio.Semaphore, status: Status
) -> None:
    """A client may move its job on before its 2xx is read; what it said stands."""
    await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    await one.run_once()
    await broker.transition(TYPE, "d", status)
    script.answer.set()
    await one.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is status


async def test_a_job_withdrawn_in_mid_delivery_stays_away(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """Settling a job that is gone is no error and leaves no key."""
    await bring(broker, Status.GRANTED)
    script = silent(DOWN)
    one = make(broker, script, slots)
    await one.run_once()
    await broker.withdraw(TYPE, "d")
    script.answer.set()
    await one.drain(10.0)
    assert await client.exists(Keys(TYPE).of("deliveries"), Keys(TYPE).of("job", "d")) == 0
    assert await audit(client, TYPE) == []


@pytest.mark.usefixtures("at_once")
async def test_the_delivery_id_is_the_grants(broker: Broker, slots: asyncio.Semaphore) -> None:
    """Every attempt of one grant carries the same id, whoever sends it; the next grant another."""
    await bring(broker, Status.GRANTED)
    script = saying(DOWN, DOWN, OK)
    for _ in range(3):
        await deliver_once(broker, script, slots)
    await broker.transition(TYPE, "d", Status.QUEUED)
    await grant(broker, await broker.read(TYPE, "d"))
    await deliver_once(broker, script, slots)
    assert len(script.ids) == 4
    assert len(set(script.ids[:3])) == 1
    assert script.ids[3] not in script.ids[:3]


async def test_a_dead_couriers_claim_falls_due_again(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """What was claimed and never settled is nobody's until the lease ends, then the next one's."""
    await bring(broker, Status.GRANTED)
    await claim_one(broker, lease=0.2)
    script = saying(OK)
    await deliver_once(broker, script, slots)
    assert script.urls == []
    await asyncio.sleep(0.25)
    await deliver_once(broker, script, slots)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_the_lease_outlasts_any_attempt(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A claim lasts longer than the whole time an attempt may take."""
    job = await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    before = await broker.now()
    await one.run_once()
    assert await due(client, job) >= before + 1.0 + 4.9
    script.answer.set()
    await one.drain(10.0)
