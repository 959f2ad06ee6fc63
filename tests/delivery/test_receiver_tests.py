"""Test messages to receivers: what is sent, and what whoever asked reads of it."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import orjson
import pytest
from standardwebhooks import Webhook

from rq_broker.delivery.courier import Courier
from rq_broker.delivery.http.sender import Sender
from rq_broker.domain.jobs import Status
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker, Settlement
from tests.couriers import DOWN, OK, all_free, answering, make_courier, waiting
from tests.making import TYPE, bring, claim_one, settle

URL, HERE = "http://x/y", "http://x:80"
KEY = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5"


async def _settled(broker: Broker, test: str = "t") -> tuple[str | None, int | None]:
    """Wait until a test has an outcome; return that."""
    async with asyncio.timeout(20):
        while (known := await broker.receiver_test(TYPE, test)).cause is None:
            await asyncio.sleep(0.01)
    return known.cause, known.milliseconds


async def test_a_test_is_signed_and_is_about_no_job(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """One message of a kind of its own goes out, with the owner's signature; its answer is kept."""
    await broker.set_keys(TYPE, "lab-7", (KEY,))
    await broker.send_test(TYPE, "t", URL, HERE, "lab-7")
    sender = answering(OK)
    await make_courier(broker, sender, slots).tests.run_once()
    assert await _settled(broker) == ("http_200", 1)
    assert sender.urls == [URL]
    message = Webhook(KEY).verify(sender.bodies[0], dict(sender.headers[0]))
    assert message == orjson.loads(sender.bodies[0])
    assert message["type"] == "receiver.test"
    assert message["data"] == {"Test": "t", "Type": TYPE, "OwnerID": "lab-7"}
    assert all_free(slots)


@pytest.mark.parametrize("name", ["虛", "a b", "%", "\ufffd"])
async def test_a_test_of_any_name_is_sent(
    broker: Broker, slots: asyncio.Semaphore, name: str
) -> None:
    """A name that no header can hold is percent-encoded in the message's id."""
    await broker.send_test(TYPE, name, URL, HERE, "o")
    sender = answering(OK)
    await make_courier(broker, sender, slots).tests.run_once()
    assert await _settled(broker, name) == ("http_200", 1)
    assert sender.headers[0]["webhook-id"] == f"{TYPE}_test_{quote(name, safe='')}"


async def test_a_test_that_raises_has_an_outcome(
    broker: Broker,
    slots: asyncio.Semaphore,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever fails within the notifier ends the test with a cause, and stands in its log."""
    monkeypatch.setattr("rq_broker.delivery.receiver_tests.sign", None)
    await broker.send_test(TYPE, "t", URL, HERE, "o")
    await make_courier(broker, answering(OK), slots).tests.run_once()
    assert await _settled(broker) == ("internal_error", 0)
    async with asyncio.timeout(20):
        while "the test t of type" not in caplog.text:
            await asyncio.sleep(0.01)
    assert all_free(slots)


async def test_a_test_meets_no_breaker_and_opens_none(
    broker: Broker, slots: asyncio.Semaphore
) -> None:
    """It goes to a receiver that gets no callbacks now; its failure counts against nobody."""
    await bring(broker, Status.GRANTED)
    for _ in range(5):
        failure = Settlement("retry", "http_503", health="unhealthy")
        await settle(broker, await claim_one(broker), failure)
    before = (await broker.destinations(TYPE))[1]
    assert before[0].state == "open"
    await broker.send_test(TYPE, "t", URL, HERE, "o")
    await make_courier(broker, answering(DOWN), slots).tests.run_once()
    assert (await _settled(broker))[0] == "http_503"
    after = (await broker.destinations(TYPE))[1]
    assert [(each.state, each.failures) for each in after] == [("open", 5)]


@pytest.mark.parametrize(
    ("callback", "cause"),
    [("http://10.0.0.9/x", "forbidden"), ("relative", "invalid_callback")],
)
async def test_a_test_goes_nowhere_that_callbacks_may_not(
    broker: Broker, slots: asyncio.Semaphore, callback: str, cause: str
) -> None:
    """The rules of the notifier that sends it hold, whatever the API let pass."""
    await broker.send_test(TYPE, "t", callback, HERE)
    rules = Egress.of(allow=["127.0.0.0/8"], deny=["10.0.0.0/8"])
    async with Sender(rules, timeout_s=5.0) as sender:
        courier = Courier(broker, TYPE, sender, slots)
        await courier.tests.run_once()
        assert (await _settled(broker))[0] == cause


async def test_a_stop_waits_for_no_test(broker: Broker, slots: asyncio.Semaphore) -> None:
    """A notifier that stops gives up a test under way, which keeps it busy until then."""
    await broker.send_test(TYPE, "t", URL, HERE)
    courier = make_courier(broker, waiting(OK), slots)
    await courier.tests.run_once()
    assert not courier.is_idle
    began = time.monotonic()
    await courier.drain(60.0)
    assert time.monotonic() - began < 50
    assert courier.is_idle
    assert (await broker.receiver_test(TYPE, "t")).cause is None
