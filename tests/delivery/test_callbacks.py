"""Callbacks as receivers get them: real courier, sender and server, verified by the library."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from standins.receivers import Behaviour, Receiver, receiver, responding

from rq_broker.delivery import retry
from rq_broker.delivery.courier import Courier
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.signing import generate
from rq_broker.domain.jobs import Status
from rq_broker.egress.rules import Egress
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.encryption import KeyCipher
from tests.making import TYPE, grant, grant_to, publish, shape, submit

LOOPBACK = Egress.of(allow=["127.0.0.0/8"])
TLS = ssl.create_default_context()  # loading the system's authorities takes a while


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(LOOPBACK, timeout_s=5.0, tls=TLS) as sender:
        yield sender


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every retry due at once."""
    monkeypatch.setattr(retry, "DELAYS", ())
    monkeypatch.setattr(retry, "LAST_DELAY", 0.0)


async def _grant(broker: Broker, there: Receiver, name: str, owner: str = "o") -> None:
    await publish(broker)
    await grant_to(broker, f"http://127.0.0.1:{there.port}", name, owner)


async def _rounds(broker: Broker, sender: Sender, count: int) -> None:
    """Deliver what is due, several times, each time by a new courier."""
    for _ in range(count):
        courier = Courier(broker, TYPE, sender, asyncio.Semaphore(20), timeout=5.0)
        await courier.run_once()
        await courier.drain(10.0)


def _headers(head: str) -> dict[str, str]:
    lines = (line.split(": ", 1) for line in head.splitlines()[1:] if line)
    return {name.lower(): value for name, value in lines}


def _responding_in_turn(*codes: int) -> Behaviour:
    """Respond with these statuses in turn."""
    behaviours = [responding(code) for code in codes]

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behaviours.pop(0)(reader, writer)

    return behave


def _verified(there: Receiver, key: str) -> list[str]:
    """Verify every request with the official library; returns the request_ids received."""
    request_ids = []
    for head, body in zip(there.heads, there.bodies, strict=True):
        event = Webhook(key).verify(body, _headers(head))
        assert event == orjson.loads(body)
        request_ids.append(event["data"]["RequestID"])
    return request_ids


async def test_every_attempt_verifies(broker: Broker, client: Redis, sender: Sender) -> None:
    """Each attempt carries a valid signature; its id is the grant's."""
    key = generate().text
    await broker.set_keys(TYPE, "*", [key])
    async with receiver(_responding_in_turn(503, 404, 200, 200)) as there:
        await _grant(broker, there, "d")
        await _rounds(broker, sender, 3)
        assert (await broker.read(TYPE, "d")).status is Status.RUNNING
        await broker.transition(TYPE, "d", Status.QUEUED)
        destination = f"http://127.0.0.1:{there.port}"
        await grant(broker, await broker.read(TYPE, "d"), shape(destination=destination))
        await _rounds(broker, sender, 1)
        assert _verified(there, key) == ["d"] * 4
        ids = [_headers(head)["webhook-id"] for head in there.heads]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]
    causes = [attempt.cause for attempt in await broker.attempts(TYPE, "d")]
    assert causes == ["http_503", "http_404", "http_200", "http_200"]
    assert await audit(client, TYPE) == []


async def test_during_rotation_both_keys_verify(broker: Broker, sender: Sender) -> None:
    """The new key and the old one verify each callback; another key does not."""
    new, old, other = (generate().text for _ in range(3))
    await broker.set_keys(TYPE, "*", [new, old])
    async with receiver(responding(200)) as there:
        for number in range(3):
            await _grant(broker, there, f"d{number}")
        await _rounds(broker, sender, 1)
        for key in (new, old):
            assert sorted(_verified(there, key)) == ["d0", "d1", "d2"]
        with pytest.raises(WebhookVerificationError):
            _verified(there, other)


async def test_an_owners_callbacks_are_signed_with_its_own_key(
    broker: Broker, sender: Sender
) -> None:
    """An owner's own key verifies its callbacks, the type's key all others, never the reverse."""
    own, common = generate().text, generate().text
    await broker.set_keys(TYPE, "*", [common])
    await broker.set_keys(TYPE, "lab-7", [own])
    async with receiver(responding(200)) as owners, receiver(responding(200)) as others:
        await _grant(broker, owners, "a", "lab-7")
        await _grant(broker, others, "b")
        await _rounds(broker, sender, 1)
        assert (_verified(owners, own), _verified(others, common)) == (["a"], ["b"])
        for there, key in ((owners, common), (others, own)):
            with pytest.raises(WebhookVerificationError):
                _verified(there, key)


async def test_without_keys_nothing_is_signed(broker: Broker, sender: Sender) -> None:
    """The message still has its id and timestamp, and no signature."""
    async with receiver(responding(200)) as there:
        await _grant(broker, there, "d")
        await _rounds(broker, sender, 1)
        headers = _headers(there.heads[0])
    assert {"webhook-id", "webhook-timestamp"} <= headers.keys()
    assert "webhook-signature" not in headers


async def test_an_invalid_key_holds_callbacks_back_until_it_is_corrected(
    broker: Broker, client: Redis, sender: Sender
) -> None:
    """Nothing is sent unsigned; the attempts name the cause; once corrected, it is sent."""
    key = generate().text
    await broker.set_keys(TYPE, "*", ["nonsense"])
    async with receiver(responding(200)) as there:
        await _grant(broker, there, "d")
        await _rounds(broker, sender, 2)
        assert there.heads == []
        assert (await broker.read(TYPE, "d")).error == "invalid_signing_key"
        await broker.set_keys(TYPE, "*", [key])
        await _rounds(broker, sender, 1)
        assert _verified(there, key) == ["d"]
    causes = [attempt.cause for attempt in await broker.attempts(TYPE, "d")]
    assert causes == ["invalid_signing_key", "invalid_signing_key", "http_200"]
    assert (await broker.destinations(TYPE))[1][0].failures == 0
    assert await audit(client, TYPE) == []


async def test_callbacks_wait_for_a_notifier_with_the_secret_key(
    client: Redis, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    """Without it nothing is sent unsigned and no attempt counts; another notifier signs it."""
    key = generate().text
    knowing = Broker(client, cipher=KeyCipher([b64encode(bytes(32)).decode()]))
    await knowing.set_keys(TYPE, "*", [key])
    async with receiver(responding(200)) as there:
        await _grant(knowing, there, "d")
        await _rounds(Broker(client), sender, 2)
        assert there.heads == []
        assert (await knowing.read(TYPE, "d")).status is Status.GRANTED
        await _rounds(knowing, sender, 1)
        assert _verified(there, key) == ["d"]
    assert [attempt.cause for attempt in await knowing.attempts(TYPE, "d")] == ["http_200"]
    assert any("this process has no --secret-key-file" in line for line in caplog.messages)
    assert await audit(client, TYPE) == []


async def test_a_callback_without_its_base_is_told(
    broker: Broker, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    """A job with a relative callback ends in error where the notifier has no base: the log says
    what may be missing, once."""
    await publish(broker)
    for name in ("d", "e"):
        assert await grant(broker, await submit(broker, name, callback=f"inbox/{name}"))
    await _rounds(broker, sender, 1)
    assert (await broker.read(TYPE, "e")).error == "invalid_callback"
    told = [line for line in caplog.messages if "does this notifier lack --callback-base?" in line]
    assert len(told) == 1


async def test_a_dead_receiver_harms_only_itself(
    broker: Broker, client: Redis, sender: Sender
) -> None:
    """A closed port opens its breaker and parks its callbacks; another receiver gets its own."""
    async with receiver(responding(200)) as gone:
        dead = gone
    async with receiver(responding(200)) as there:
        for number in range(8):
            await _grant(broker, dead, f"dead{number}")
            await _grant(broker, there, f"d{number}")
        await _rounds(broker, sender, 2)
        assert len(there.heads) == 8
    _, listed = await broker.destinations(TYPE)
    destinations = {destination.name: destination for destination in listed}
    assert destinations[f"http://127.0.0.1:{dead.port}"].state == "open"
    assert destinations[f"http://127.0.0.1:{dead.port}"].parked == 8
    assert destinations[f"http://127.0.0.1:{there.port}"].state == "closed"
    counts = await broker.counts(TYPE)
    assert (counts[Status.RUNNING], counts[Status.GRANTED]) == (8, 8)
    assert await audit(client, TYPE) == []
