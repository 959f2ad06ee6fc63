"""Checks who sent a message, by the Standard Webhooks specification.

Own code, since the specification's library knows one key at a time, and fails with other errors
than its own on malformed signatures; the tests compare both.
"""

from __future__ import annotations

import binascii
import hmac
import time
from base64 import b64decode
from collections.abc import Iterable, Mapping
from enum import Enum

from rq_broker.receiver.events import Event, read
from rq_broker.receiver.refusals import NotVerified, TooLarge

TOLERANCE = 300.0
"""Seconds that a message may be old, or from the future: the specification's own. Whoever overheard
one can send it again for so long; a receiver whose clock is further off takes nothing."""
MOST_BYTES = 4 * 1024 * 1024
"""Of a body. A submit has 1 MiB at most, and escaped JSON at most some times as much. Without a
bound anybody could fill the memory, as the signature is checked once all is read."""
_PREFIX = "whsec_"
_MOST_SIGNATURES = 16
"""Signatures that are compared; the broker sends four at most, by the keys of a rotation."""


class Unsigned(Enum):
    """The type of UNSIGNED."""

    UNSIGNED = "unsigned"


UNSIGNED = Unsigned.UNSIGNED
"""In place of keys: take messages without a signature. For trying out, or where nobody else can
reach the receiver."""

Keys = str | Iterable[str] | Unsigned


def verify(
    headers: Mapping[str, str], body: bytes, keys: Keys, *, tolerance: float = TOLERANCE
) -> Event:
    """Return the event that a callback tells, if it comes from who has one of the keys.

    Repeats are not noticed here: compare `id`, or use the endpoint of a framework.

    Args:
        headers: Of the request, spelled in any case.
        body: As it was received, byte by byte.
        keys: `whsec_…`, one or several; UNSIGNED takes messages without a signature.
        tolerance: Seconds that the message may be old, or from the future.

    Raises:
        NotVerified: the signature is missing or wrong, or the message too old.
        NotAnEvent: it is from the broker, and cannot be read.
        TooLarge: the body is too large to be from the broker.
        ValueError: a key is none.
    """
    return verify_with(headers, body, parse_keys(keys), tolerance)


def parse_keys(keys: Keys) -> tuple[bytes, ...] | None:
    """Return the secrets in keys; None for UNSIGNED. Raises ValueError, which repeats no secret."""
    if isinstance(keys, Unsigned):
        return None
    secrets = tuple(map(_secret, [keys] if isinstance(keys, str) else keys))
    if not secrets:
        raise ValueError("give one key at least, or UNSIGNED")
    return secrets


def _secret(key: str) -> bytes:
    encoded = key.removeprefix(_PREFIX).rstrip("=")
    try:
        secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not secret or not key.startswith(_PREFIX):
        raise ValueError(f"a key is {_PREFIX} and base64")
    return secret


def verify_with(
    headers: Mapping[str, str], body: bytes, secrets: tuple[bytes, ...] | None, tolerance: float
) -> Event:
    """Do what `verify` does, with secrets that `parse_keys` returned."""
    if len(body) > MOST_BYTES:
        raise TooLarge(f"the body has more than {MOST_BYTES} bytes")
    sent = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = sent.get("webhook-id", ""), sent.get("webhook-timestamp", "")
    if not (message_id and timestamp):
        raise NotVerified("webhook-id or webhook-timestamp is missing")
    _check_age(timestamp, tolerance)
    if secrets is not None:
        signed = b"%b.%b.%b" % (message_id.encode(errors="replace"), timestamp.encode(), body)
        _check_signature(sent.get("webhook-signature", ""), signed, secrets)
    return read(body, message_id, sent.get("x-request-id"), sent.get("traceparent"))


def _check_age(timestamp: str, tolerance: float) -> None:
    """Raise NotVerified unless a message is of now, or nearly so."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotVerified("webhook-timestamp is no number of seconds")
    age = time.time() - int(timestamp)
    if abs(age) > tolerance:
        when = f"{age:.0f} s old" if age > 0 else f"from {-age:.0f} s in the future"
        raise NotVerified(f"the message is {when}; {tolerance:.0f} s are tolerated")


def _check_signature(signatures: str, signed: bytes, secrets: tuple[bytes, ...]) -> None:
    """Raise NotVerified unless one of the signatures is by one of the secrets."""
    if not signatures:
        raise NotVerified("webhook-signature is missing: the broker has no key for this owner")
    expected = [hmac.digest(secret, signed, "sha256") for secret in secrets]
    for signature in signatures.split()[:_MOST_SIGNATURES]:
        version, _, encoded = signature.partition(",")
        try:
            digest = b64decode(encoded)
        except (binascii.Error, ValueError):
            continue
        if version == "v1" and any(hmac.compare_digest(digest, each) for each in expected):
            return
    raise NotVerified("no signature is by one of the keys")
