"""The courier: claims, posts and settles, with a sender that says what it is told to say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
import pytest
from redis.asyncio import Redis

from rq_broker import courier as courier_module
from rq_broker import errors
from rq_broker.audit import audit
from rq_broker.broker import Broker, Settlement
from rq_broker.courier import DELAY_AFTER, DELAYS, Courier, body, delay, delivery_id
from rq_broker.janitor import Janitor
from rq_broker.keys import Keys, member
from rq_broker.models import Delivery, Job, Status
from rq_broker.sender import Outcome
from tests.making import TYPE, bring, claim_one, grant, publish, submit

OK = Outcome("ok", "http_200", 1)
GONE = Outcome("gone", "http_410", 1)
DOWN = Outcome("retry", "http_503", 1, health=True)
TIMEOUT = Outcome("retry", "timeout", 1, health=True)
REJECTED = Outcome("rejected", "http_404", 1)
REDIRECT = Outcome("fail", "redirect", 1)
SLOTS = 4


@dataclass
class Script:
    """A sender that plays outcomes in order, the last one for ever, and keeps what it was given."""

    outcomes: list[Outcome | Exception] = field(default_factory=lambda: [OK])
    urls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing is answered before it is set."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        self.urls.append(url)
        self.bodies.append(body)
        self.ids.append(headers["webhook-id"])
        await self.answer.wait()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def saying(*outcomes: Outcome | Exception) -> Script:
    script = Script(list(outcomes) or [OK])
    script.answer.set()
    return script


def silent(*outcomes: Outcome) -> Script:
    return Script(list(outcomes) or [OK])


@pytest.fixture
def slots() -> asyncio.Semaphore:
    return asyncio.Semaphore(SLOTS)


def make(broker: Broker, script: Script, slots: asyncio.Semaphore, base: str = "") -> Courier:
    return Courier(broker, TYPE, script, slots, callback_base=base or None, timeout=1.0, batch=3)


async def _round(broker: Broker, script: Script, slots: asyncio.Semaphore) -> None:
    """Let a courier claim once, and wait until all it started is settled."""
    one = make(broker, script, slots)
    await one.run_once()
    await one.drain(10.0)


def _all_free(slots: asyncio.Semaphore) -> bool:
    return not slots.locked() and slots._value == SLOTS


async def _due(client: Redis, job: Job) -> float:
    """When the job's next attempt is due, seconds since 1970."""
    name = Keys(TYPE).of("deliveries")
    return float(await client.zscore(name, member(job.id, job.request_id))) / 1000


async def _hold(broker: Broker) -> Mapping[str, int]:
    return (await broker.host(TYPE, "h1")).held


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every next attempt is due at once."""
    monkeypatch.setattr(courier_module, "DELAYS", ())
    monkeypatch.setattr(courier_module, "DELAY_AFTER", 0.0)


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
    assert said["data"] == orjson.loads(orjson.dumps(_job().wire()))


# What becomes of an attempt


async def test_2xx_makes_the_job_run(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A callback answered 2xx is the end of the delivery: the job runs, and holds on."""
    granted, script = await bring(broker, Status.GRANTED), saying(OK)
    await _round(broker, script, slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.attempts, job.error) == (Status.RUNNING, 1, None)
    assert await _hold(broker) == {"VCPU": 1}
    assert script.urls == ["http://x/d"]
    data = orjson.loads(script.bodies[0])["data"]
    assert (data["Status"], data["Hosts"], data["Fence"]) == ("granted", ["h1"], granted.fence)
    await _round(broker, script, slots)
    assert len(script.urls) == 1
    assert _all_free(slots)
    assert await audit(client, TYPE) == []


async def test_410_is_the_client_leaving(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """410 ends the job in error at once, and its capacity is free."""
    await bring(broker, Status.GRANTED)
    await _round(broker, saying(GONE), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "withdrawn by the client (410)")
    assert await _hold(broker) == {}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("outcome", [DOWN, TIMEOUT], ids=lambda outcome: outcome.cause)
async def test_what_may_heal_is_tried_again(
    broker: Broker, client: Redis, slots: asyncio.Semaphore, outcome: Outcome
) -> None:
    """After 5xx or a timeout the grant stands, says why, and is next due when the table says."""
    job = await bring(broker, Status.GRANTED)
    for attempt, base in enumerate((1.0, 2.0, 5.0), 1):
        before = await broker.now()
        await _round(broker, saying(outcome), slots)
        after, due = await broker.now(), await _due(client, job)
        assert before + 0.8 * base - 0.01 <= due <= after + 1.2 * base + 0.01
        read = await broker.read(TYPE, "d")
        assert (read.status, read.attempts, read.error) == (
            Status.GRANTED,
            attempt,
            outcome.cause,
        )
        await client.zadd(Keys(TYPE).of("deliveries"), {member(job.id, "d"): 0})
    assert await _hold(broker) == {"VCPU": 1}
    await _round(broker, saying(OK), slots)
    assert (await broker.read(TYPE, "d")).error is None


@pytest.mark.usefixtures("at_once")
async def test_other_4xx_are_believed_the_third_time(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A 404 may be a receiver starting up; three of them are an answer."""
    await bring(broker, Status.GRANTED)
    script = saying(REJECTED)
    for status in (Status.GRANTED, Status.GRANTED, Status.ERROR):
        await _round(broker, script, slots)
        assert (await broker.read(TYPE, "d")).status is status
    assert len(script.ids) == 3
    assert (await broker.read(TYPE, "d")).error == "http_404"
    assert await _hold(broker) == {}


async def test_what_cannot_heal_fails_at_once(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A redirect or a forbidden address is not tried again."""
    await bring(broker, Status.GRANTED)
    await _round(broker, saying(REDIRECT), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error, job.attempts) == (Status.ERROR, "redirect", 1)
    assert await _hold(broker) == {}


# The offer


async def test_no_attempt_is_planned_past_the_offers_end(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """When the next attempt would come too late the offer ends now, with its last cause."""
    await broker.set_policy(TYPE, {"offer": 0.5})
    await bring(broker, Status.GRANTED)
    await _round(broker, saying(DOWN), slots)
    job = await broker.read(TYPE, "d")
    assert (job.status, job.error) == (Status.ERROR, "offer expired: http_503")
    assert await _hold(broker) == {}


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
    await _round(broker, script, slots)
    await Janitor(broker, TYPE).run_once()
    assert script.urls == []
    assert (await broker.read(TYPE, "d")).status is Status.ERROR
    assert await _hold(broker) == {}


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
    script.answer.set()
    await one.drain(10.0)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.GRANTED
    assert job.fence != first.fence
    assert await _hold(broker) == {"VCPU": 1}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("outcome", ["delivered", "retry", "failed", "release"])
async def test_only_the_newest_attempt_is_heard(broker: Broker, outcome: str) -> None:
    """Whoever overran its lease cannot settle what another has claimed since."""
    await bring(broker, Status.GRANTED)
    overrun = await claim_one(broker, lease=0.0)
    newest = await claim_one(broker)
    before = await broker.read(TYPE, "d")
    assert newest.attempt == overrun.attempt + 1
    assert await broker.settle(overrun, Settlement(outcome)) == "STALE"
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
        await _round(broker, script, slots)
    await broker.transition(TYPE, "d", Status.QUEUED)
    await grant(broker, await broker.read(TYPE, "d"))
    await _round(broker, script, slots)
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
    await _round(broker, script, slots)
    assert script.urls == []
    await asyncio.sleep(0.25)
    await _round(broker, script, slots)
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
    assert await _due(client, job) >= before + 1.0 + 4.9
    script.answer.set()
    await one.drain(10.0)


# Slots, stopping, trouble


async def test_more_is_due_than_there_are_slots(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A courier goes on claiming while slots come free, never more at once than there are."""
    for number in range(11):
        await bring(broker, Status.GRANTED, f"d{number}")
    script = silent(OK)
    one = make(broker, script, slots)
    running = asyncio.create_task(one.run_once())
    async with asyncio.timeout(10):
        while len(script.urls) < SLOTS:
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert len(script.urls) == SLOTS
    script.answer.set()
    await running
    await one.drain(10.0)
    assert sorted(script.urls) == sorted(f"http://x/d{number}" for number in range(11))
    assert (await broker.counts(TYPE))[Status.RUNNING] == 11
    assert _all_free(slots)


async def test_slots_are_one_pool_over_all_types(broker: Broker, slots: asyncio.Semaphore) -> None:
    """Couriers of two types share the process's slots, and give back every one of them."""
    script, couriers = saying(OK, DOWN, GONE, OK, REJECTED, OK), []
    for type_ in ("vm", "kube"):
        for number in range(5):
            await bring(broker, Status.GRANTED, f"d{number}", type_)
        couriers.append(Courier(broker, type_, script, slots, batch=3))
    await asyncio.gather(*(each.run_once() for each in couriers))
    await asyncio.gather(*(each.drain(10.0) for each in couriers))
    assert len(script.urls) == 10
    assert _all_free(slots)


async def test_a_stop_hands_back_what_is_on_its_way(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """Another courier gets it at once, as the same attempt of the same delivery."""
    job = await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    await one.run_once()
    await one.drain(0.0)
    assert (await broker.read(TYPE, "d")).attempts == 0
    assert await _due(client, job) <= await broker.now()
    assert _all_free(slots)
    script.answer.set()
    await _round(broker, script, slots)
    read = await broker.read(TYPE, "d")
    assert (read.status, read.attempts) == (Status.RUNNING, 1)
    assert script.ids[0] == script.ids[1]
    assert await audit(client, TYPE) == []


async def test_a_stop_lets_finish_what_can(broker: Broker, slots: asyncio.Semaphore) -> None:
    """What is answered within the grace is settled, not handed back."""
    await bring(broker, Status.GRANTED)
    script = silent(OK)
    one = make(broker, script, slots)
    await one.run_once()
    asyncio.get_running_loop().call_later(0.05, script.answer.set)
    await one.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_draining_nothing_is_nothing(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A courier with nothing on its way stops at once."""
    await make(broker, saying(OK), slots).drain(10.0)


class Away(Broker):
    """A broker whose store is away for claiming, or for settling."""

    without: str = ""

    async def claim(
        self, type_: str, lease: float, limit: int
    ) -> tuple[float | None, list[Delivery]]:
        if self.without == "claim":
            raise errors.Unavailable("Redis does not answer")
        return await super().claim(type_, lease, limit)

    async def settle(self, delivery: Delivery, came: Settlement) -> str:
        if self.without == "settle":
            raise errors.Unavailable("Redis does not answer")
        return await super().settle(delivery, came)


async def test_no_slot_leaks_when_the_store_is_away(
    client: Redis, slots: asyncio.Semaphore
) -> None:
    """A claim that fails gives its slots back, and so does a settle; the lease then sends again."""
    broker = Away(client)
    await bring(broker, Status.GRANTED)
    one = make(broker, saying(OK), slots)
    broker.without = "claim"
    for _ in range(2 * SLOTS):
        with pytest.raises(errors.Unavailable):
            await one.run_once()
    assert _all_free(slots)
    broker.without = "settle"
    await one.run_once()
    await one.drain(10.0)
    assert _all_free(slots)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED


async def test_no_slot_leaks_when_a_claim_is_cancelled(
    client: Redis, monkeypatch: pytest.MonkeyPatch, slots: asyncio.Semaphore
) -> None:
    """Stopping in the middle of a claim gives its slots back."""
    broker, asked = Broker(client), asyncio.Event()

    async def claim(*_: object) -> tuple[float | None, list[Delivery]]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(broker, "claim", claim)
    running = asyncio.create_task(make(broker, saying(OK), slots).run_once())
    await asked.wait()
    assert not _all_free(slots)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert _all_free(slots)


async def test_our_own_fault_is_logged_and_costs_no_slot(
    broker: Broker, slots: asyncio.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    """A sender that raises what it never should is said in the log; others are delivered."""
    for request_id in "ab":
        await bring(broker, Status.GRANTED, request_id)
    await _round(broker, saying(RuntimeError("ours"), OK), slots)
    assert _all_free(slots)
    assert "failed in our own code" in caplog.text
    assert (await broker.counts(TYPE))[Status.RUNNING] == 1


async def test_a_relative_callback_is_called_below_the_base(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """The seed's own callback resolves against the configured base."""
    await _relative(broker)
    script = saying(OK)
    one = make(broker, script, slots, "http://127.0.0.1:8080/inbox/")
    await one.run_once()
    await one.drain(10.0)
    assert script.urls == ["http://127.0.0.1:8080/inbox/abc"]


async def _relative(broker: Broker) -> None:
    job = await submit(broker, callback="abc")
    await publish(broker)
    await grant(broker, job)


async def test_a_callback_that_cannot_be_resolved_ends_in_error(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A relative callback without a base is said on the job, instead of tried in vain."""
    await _relative(broker)
    await _round(broker, saying(OK), slots)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.ERROR
    assert "callback" in (job.error or "")
    assert _all_free(slots)


async def test_an_unreadable_job_is_in_nobodys_way(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A granted record that cannot be read does not keep others from their callbacks."""
    for request_id in ("broken", "sound"):
        await bring(broker, Status.GRANTED, request_id)
    await client.hset(Keys(TYPE).of("job", "broken"), "created", "yesterday")
    await _round(broker, saying(OK), slots)
    assert (await broker.read(TYPE, "sound")).status is Status.RUNNING
    assert _all_free(slots)
