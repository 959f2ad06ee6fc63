"""Signatures, verified by the official library of the spec."""

from __future__ import annotations

import time
from base64 import b64encode

import pytest
from hypothesis import given, strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from rq_broker.delivery.signing import SigningKey, generate, sign
from rq_broker.domain.errors import Invalid

BODY = '{"type":"job.granted","data":{"Type":"虛擬機"}}'.encode()


def test_the_official_library_verifies_a_signature() -> None:
    """A receiver that follows the spec accepts what we sign."""
    key = generate()
    headers = sign("g1", int(time.time()), BODY, [key])
    assert Webhook(key.text).verify(BODY, headers)["type"] == "job.granted"


@given(st.text(), st.binary(min_size=24, max_size=64))
def test_any_body_and_key_verify(text: str, secret: bytes) -> None:
    """Nothing a body or a key may hold breaks the signature."""
    key = SigningKey(secret)
    body = text.encode(errors="ignore")
    Webhook(key.text).verify(body, sign("g1", int(time.time()), body, [key]), json_parse=False)


def test_during_rotation_either_key_verifies() -> None:
    """A receiver that knows only the old key, or only the new one, accepts the callback."""
    old, new = generate(), generate()
    headers = sign("g1", int(time.time()), BODY, [new, old])
    for key in (old, new):
        Webhook(key.text).verify(BODY, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_changed_header_does_not_verify(changed: str) -> None:
    """Id and timestamp are signed with the body."""
    key, now = generate(), int(time.time())
    other = sign("g2", now + 200, b"{}", [key])
    headers = sign("g1", now, BODY, [key]) | {changed: other[changed]}
    with pytest.raises(WebhookVerificationError):
        Webhook(key.text).verify(BODY, headers)


def test_another_key_does_not_verify() -> None:
    """The signature depends on the secret."""
    headers = sign("g1", int(time.time()), BODY, [generate()])
    with pytest.raises(WebhookVerificationError):
        Webhook(generate().text).verify(BODY, headers)


def test_without_keys_the_message_is_named_but_not_signed() -> None:
    """A receiver can still tell a second attempt from a second grant."""
    assert sign("g1", 1700000000, BODY, []) == {
        "webhook-id": "g1",
        "webhook-timestamp": "1700000000",
    }


@pytest.mark.parametrize("message_id", ["", "a\r\nX-Evil: 1", "虛擬機"])
def test_an_id_that_cannot_be_a_header_is_refused(message_id: str) -> None:
    """Nobody smuggles a header in through an id."""
    with pytest.raises(ValueError, match="webhook-id"):
        sign(message_id, 1700000000, BODY, [])


@pytest.mark.parametrize("length", [24, 32, 64])
def test_a_key_reads_back_as_it_was_written(length: int) -> None:
    """`text` and `parse` are inverse, with and without base64 padding."""
    key = SigningKey(b"k" * length)
    assert SigningKey.parse(key.text) == SigningKey.parse(key.text.rstrip("=")) == key


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b64encode(b"k" * 32).decode(), "start with whsec_"),
        ("whsec_!!" + "k" * 40, "must be base64 after whsec_"),
        ("whsec_kö", "must be base64 after whsec_"),
        ("whsec_" + "k" * 41, "must be base64 after whsec_"),
        ("whsec_" + b64encode(b"k" * 23).decode(), "24 to 64 bytes, not 23"),
        ("whsec_" + b64encode(b"k" * 65).decode(), "24 to 64 bytes, not 65"),
        ("whsec_", "24 to 64 bytes, not 0"),
    ],
)
def test_a_bad_key_is_refused_with_what_is_wrong(text: str, wrong: str) -> None:
    """The sentence says what to mend, and does not repeat the secret."""
    with pytest.raises(Invalid, match=wrong) as refusal:
        SigningKey.parse(text)
    assert text.removeprefix("whsec_") not in str(refusal.value) or text == "whsec_"


def test_a_key_does_not_show_itself() -> None:
    """A key in a log line or a traceback gives nothing away."""
    assert "kkkk" not in repr(SigningKey(b"k" * 32))


def test_generated_keys_differ() -> None:
    """Every key is new."""
    assert generate() != generate()
