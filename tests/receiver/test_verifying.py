"""Whose messages are taken, and what is read of them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from rq_broker.delivery.signing import generate
from rq_broker.receiver import (
    TOLERANCE,
    UNSIGNED,
    Event,
    Granted,
    NotAnEvent,
    NotVerified,
    TooLarge,
    verify,
)
from rq_broker.receiver.verifying import MOST_BYTES
from tests.receiver.signed import KEY, body, headers

BODY = body()


def test_a_grant_is_read_as_a_value() -> None:
    """What the broker's own code made and signed comes back typed, whole, and with its trace."""
    trace = {"traceparent": "00-a-b-01", "X-Request-ID": "r1"}
    event = verify(headers(BODY) | trace, BODY, KEY.text)
    assert isinstance(event, Granted)
    assert (event.id, event.kind) == ("vm_3_7", "job.granted")
    assert event.at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (event.type, event.request_id, event.owner_id) == ("vm", "d", "y")
    assert (event.hosts, event.fence) == (("host1", "host2"), 7)
    assert event.demand == {"instances": [{"VCPU": 1}]}
    assert event.data == json.loads(BODY)["data"]
    assert (event.traceparent, event.http_request_id) == ("00-a-b-01", "r1")


def test_events_of_the_future_are_kept() -> None:
    """A kind that this version does not know is an Event with all its data."""
    message = {"type": "job.expiring", "timestamp": "2026-01-02T03:04:05Z", "data": {"In": 60}}
    content = json.dumps(message).encode()
    event = verify(headers(content), content, KEY.text)
    assert type(event) is Event
    assert (event.kind, event.data) == ("job.expiring", {"In": 60})


def test_the_library_of_the_specification_agrees() -> None:
    """What `standardwebhooks` signs is verified here, and what it refuses is refused."""
    mine, other = Webhook(KEY.text), Webhook(generate().text)
    sent = headers(BODY)
    now = datetime.fromtimestamp(int(sent["webhook-timestamp"]), UTC)
    for webhook in (mine, other):
        sent["webhook-signature"] = webhook.sign("vm_3_7", now, BODY.decode())
        if webhook is mine:
            verify(sent, BODY, KEY.text)
        else:
            with pytest.raises(WebhookVerificationError):
                mine.verify(BODY, sent)
            with pytest.raises(NotVerified):
                verify(sent, BODY, KEY.text)


def test_a_key_may_be_replaced() -> None:
    """While broker and receiver change keys, one that both have is enough."""
    old, new = generate(), generate()
    for keys in ((old,), (new,), (new, old)):
        verify(headers(BODY, keys=keys), BODY, [old.text, new.text])
    verify(headers(BODY, keys=(new, old)), BODY, old.text)


@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title])
def test_headers_may_be_spelled_in_any_case(spell: Any) -> None:
    """Servers pass header names on in lower case, as sent, or capitalised."""
    verify({spell(name): value for name, value in headers(BODY).items()}, BODY, KEY.text)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": "vm_3_8"}, "no signature is by one of the keys"),
        ({"webhook-id": ""}, "is missing"),
        ({"webhook-id": "\udcff"}, "no signature"),
        ({"webhook-timestamp": "now"}, "no number"),
        ({"webhook-timestamp": "1e9"}, "no number"),
        ({"webhook-timestamp": "9" * 400}, "no number"),
        ({"webhook-timestamp": "-5"}, "no number"),
        ({"webhook-timestamp": "1"}, "s old"),
        ({"webhook-signature": ""}, "the broker has no key"),
        ({"webhook-signature": "v1"}, "no signature"),
        ({"webhook-signature": "v1,%%%"}, "no signature"),
        ({"webhook-signature": "v1,é"}, "no signature"),
        ({"webhook-signature": "v2,AAAA"}, "no signature"),
        ({"webhook-signature": "v1, " * 1000}, "no signature"),
    ],
    ids=str,
)
def test_a_forgery_is_refused(change: dict[str, str], why: str) -> None:
    """Whatever stands in the headers, the only error is NotVerified, which says why."""
    with pytest.raises(NotVerified, match=why):
        verify(headers(BODY) | change, BODY, KEY.text)


def test_another_body_is_refused() -> None:
    """The signature covers each byte of the body, also of one that is no UTF-8."""
    for content in (BODY + b" ", b"", b"\xff"):
        with pytest.raises(NotVerified):
            verify(headers(BODY), content, KEY.text)


def test_a_message_is_taken_for_some_minutes() -> None:
    """What was signed too long ago, or for the future, is refused; the span can be chosen."""
    verify(headers(BODY, age=TOLERANCE - 60), BODY, KEY.text)
    verify(headers(BODY, age=60 - TOLERANCE), BODY, KEY.text)
    for age in (TOLERANCE + 60, -TOLERANCE - 60):
        with pytest.raises(NotVerified, match="tolerated"):
            verify(headers(BODY, age=age), BODY, KEY.text)
        verify(headers(BODY, age=age), BODY, KEY.text, tolerance=TOLERANCE * 2)


@pytest.mark.parametrize("keys", ["", "secret", "whsec_", "whsec_%", [], ["whsec_"]], ids=str)
def test_a_key_that_is_none_is_refused(keys: Any) -> None:
    """An empty or mistyped key never means that everything is taken, and no error repeats it."""
    with pytest.raises(ValueError, match="key") as refused:
        verify(headers(BODY), BODY, keys)
    assert "secret" not in str(refused.value)


def test_unsigned_messages_are_taken_if_that_is_said() -> None:
    """UNSIGNED takes what has no signature, and still refuses what is old."""
    assert verify(headers(BODY, keys=()), BODY, UNSIGNED).kind == "job.granted"
    with pytest.raises(NotVerified):
        verify(headers(BODY, keys=()), BODY, KEY.text)
    with pytest.raises(NotVerified):
        verify(headers(BODY, keys=(), age=3600), BODY, UNSIGNED)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b'{"type": "job.granted"}', b'{"type": 1, "timestamp": 2, "data": 3}',
     b'{"type": "x", "timestamp": "soon", "data": {}}', b"[" * 100_000,
     b'{"type": "job.granted", "timestamp": "2026-01-02T03:04:05Z", "data": {"Hosts": null}}',
     b'{"type": "x", "timestamp": "0001-01-01T00:00:00+10:00", "data": {}}'],
    ids=lambda content: content[:20],
)  # fmt: skip
def test_what_is_signed_and_no_event_is_told_apart(content: bytes) -> None:
    """A verified message that cannot be read is NotAnEvent, and nothing else."""
    with pytest.raises(NotAnEvent):
        verify(headers(content), content, KEY.text)


def test_a_large_body_is_refused() -> None:
    """What is larger than any message of the broker is not even hashed."""
    with pytest.raises(TooLarge):
        verify(headers(b"x"), b"x" * (MOST_BYTES + 1), KEY.text)


def test_receiving_loads_the_standard_library_only() -> None:
    """The package imports no framework, no client and nothing of the server."""
    code = "import sys, rq_broker.receiver; print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {name for name in out.stdout.split() if not name.startswith("rq_broker.receiver")}
    foreign = {"starlette", "flask", "django", "httpx", "redis", "msgspec", "orjson", "asyncio"}
    assert not modules & foreign
    assert {name for name in modules if name.startswith("rq_broker")} == {"rq_broker"}
