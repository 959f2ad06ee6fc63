"""The courier when it is stopped, and when something is wrong."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.delivery import retry
from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.couriers import (
    OK,
    REJECTED,
    SLOTS,
    all_free,
    answering,
    deliver_once,
    due_time,
    make_courier,
    waiting,
)
from tests.making import TYPE, bring, grant, publish, submit


async def test_a_stop_hands_back_callbacks_in_flight(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """Another courier claims it at once, and sends the same message id."""
    job = await bring(broker, Status.GRANTED)
    sender = waiting(OK)
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    await courier.drain(0.0)
    assert await due_time(client, job) <= await broker.now(TYPE)
    assert all_free(slots)
    sender.may_answer.set()
    await deliver_once(broker, sender, slots)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING
    assert len(sender.ids) == 2
    assert len(set(sender.ids)) == 1
    assert await audit(client, TYPE) == []


async def test_a_stop_lets_callbacks_finish(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A callback answered within the grace is settled, not handed back."""
    await bring(broker, Status.GRANTED)
    sender = waiting(OK)
    courier = make_courier(broker, sender, slots)
    await courier.run_once()
    asyncio.get_running_loop().call_later(0.05, sender.may_answer.set)
    await courier.drain(10.0)
    assert (await broker.read(TYPE, "d")).status is Status.RUNNING


async def test_draining_without_callbacks_ends_at_once(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A courier with no callback in flight stops at once."""
    await make_courier(broker, answering(OK), slots).drain(10.0)


async def _unavailable(*_: object) -> None:
    raise errors.Unavailable("Redis does not answer")


async def test_no_slot_leaks_when_the_store_is_away(
    client: Redis, monkeypatch: pytest.MonkeyPatch, slots: asyncio.Semaphore
) -> None:
    """A failed claim and a failed settle free their slots; the callback is sent again later."""
    broker = Broker(client)
    await bring(broker, Status.GRANTED)
    courier = make_courier(broker, answering(OK), slots)
    with monkeypatch.context() as patch:
        patch.setattr(broker, "claim", _unavailable)
        for _ in range(2 * SLOTS):
            with pytest.raises(errors.Unavailable):
                await courier.run_once()
    assert all_free(slots)
    monkeypatch.setattr(broker, "settle", _unavailable)
    await courier.run_once()
    await courier.drain(10.0)
    assert all_free(slots)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED


async def test_no_slot_leaks_when_a_claim_is_cancelled(
    client: Redis, monkeypatch: pytest.MonkeyPatch, slots: asyncio.Semaphore
) -> None:
    """A claim that is cancelled frees its slots."""
    broker, claiming = Broker(client), asyncio.Event()

    async def claim(*_: object) -> tuple[float | None, list[Delivery]]:
        claiming.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(broker, "claim", claim)
    running = asyncio.create_task(make_courier(broker, answering(OK), slots).run_once())
    await claiming.wait()
    assert not all_free(slots)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert all_free(slots)


async def test_an_unexpected_error_is_logged_and_costs_no_slot(
    broker: Broker, slots: asyncio.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    """If the sender raises, the log has the error, and other callbacks are delivered."""
    for request_id in "ab":
        await bring(broker, Status.GRANTED, request_id)
    await deliver_once(broker, answering(RuntimeError("a bug"), OK), slots)
    assert all_free(slots)
    assert "delivering a callback of type vm failed" in caplog.text
    assert (await broker.counts(TYPE))[Status.RUNNING] == 1


async def test_an_unexpected_error_while_settling_is_logged(
    broker: Broker,
    slots: asyncio.Semaphore,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has the error, the slots are free again, and later callbacks are settled."""

    async def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    await bring(broker, Status.GRANTED, "first")
    with monkeypatch.context() as patch:
        patch.setattr(broker, "settle", fail)
        await deliver_once(broker, answering(OK), slots)
    assert all_free(slots)
    assert "settling callbacks of type vm failed" in caplog.text
    await bring(broker, Status.GRANTED, "second")
    await deliver_once(broker, answering(OK), slots)
    assert (await broker.read(TYPE, "second")).status is Status.RUNNING


async def test_a_relative_callback_is_sent_below_the_base(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """A relative callback is joined to the configured base."""
    await _grant_with_relative_callback(broker)
    sender = answering(OK)
    courier = make_courier(broker, sender, slots, "http://127.0.0.1:8080/inbox/")
    await courier.run_once()
    await courier.drain(10.0)
    assert sender.urls == ["http://127.0.0.1:8080/inbox/abc"]


async def _grant_with_relative_callback(broker: Broker) -> None:
    job = await submit(broker, callback="abc")
    await publish(broker)
    await grant(broker, job)


async def test_a_relative_callback_without_a_base_fails_the_job(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """Without a base, the job fails at once with an error that names the callback."""
    await _grant_with_relative_callback(broker)
    await deliver_once(broker, answering(OK), slots)
    job = await broker.read(TYPE, "d")
    assert job.status is Status.ERROR
    assert "callback" in (job.error or "")
    assert all_free(slots)


async def test_an_unreadable_job_does_not_delay_others(
    broker: Broker, client: Redis, slots: asyncio.Semaphore
) -> None:
    """A granted job whose record is broken does not keep others from their callbacks."""
    for request_id in ("broken", "sound"):
        await bring(broker, Status.GRANTED, request_id)
    await client.hset(Keys(TYPE).of("job", "broken"), "created", "yesterday")
    await deliver_once(broker, answering(OK), slots)
    assert (await broker.read(TYPE, "sound")).status is Status.RUNNING
    assert all_free(slots)


async def test_a_callback_handed_back_counts_as_no_attempt(
    broker: Broker, slots: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restarts of notifiers do not use up the three attempts of a 404."""
    monkeypatch.setattr(retry, "DELAYS", ())
    monkeypatch.setattr(retry, "LAST_DELAY", 0.0)
    await bring(broker, Status.GRANTED)
    for _ in range(2):
        stopped = make_courier(broker, waiting(OK), slots)
        await stopped.run_once()
        await stopped.drain(0.0)
    await deliver_once(broker, answering(REJECTED), slots)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
