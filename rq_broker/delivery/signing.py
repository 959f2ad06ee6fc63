"""Signs callbacks by the Standard Webhooks specification, so that its libraries can verify them.

Only v1 (HMAC-SHA256) is used: it needs nothing but the standard library here, and every receiver's
library knows it. While one key replaces another, both sign.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from secrets import token_bytes

from rq_broker.domain.errors import Invalid

_PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64
"""The specification's bounds of a secret; its libraries refuse others."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A shared secret of 24 to 64 bytes."""

    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str, place: str = "the signing key") -> SigningKey:
        """Parse `whsec_<base64>`. Raises Invalid, whose sentence never contains the secret.

        Args:
            text: The key.
            place: What a sentence calls it.
        """
        if not text.startswith(_PREFIX):
            raise Invalid(f"{place} must start with {_PREFIX}")
        encoded = text.removeprefix(_PREFIX).rstrip("=")
        try:
            secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise Invalid(f"{place} must be base64 after {_PREFIX}") from None
        if not _MIN_BYTES <= len(secret) <= _MAX_BYTES:
            raise Invalid(
                f"{place} must hold {_MIN_BYTES} to {_MAX_BYTES} bytes, not {len(secret)}"
            )
        return cls(secret)

    @property
    def text(self) -> str:
        """Return the form that `parse` accepts and receivers are given."""
        return _PREFIX + b64encode(self.secret).decode()


def generate() -> SigningKey:
    """Return a new key of 32 random bytes."""
    return SigningKey(token_bytes(32))


@lru_cache(1024)
def parse_keys(texts: tuple[str, ...]) -> tuple[SigningKey, ...]:
    """Parse several keys. Raises Invalid."""
    return tuple(SigningKey.parse(text) for text in texts)


def sign(
    message_id: str, timestamp: int, body: bytes, keys: Iterable[SigningKey]
) -> dict[str, str]:
    """Return the three webhook headers of a message; without keys, there is no signature.

    Args:
        message_id: the same for every attempt; ASCII, printable, not empty.
        timestamp: of this attempt, in seconds since 1970.
        body: the bytes that are sent.
        keys: those to sign with, the newest first.

    Raises:
        ValueError: `message_id` cannot be part of a header.
    """
    if not (message_id and message_id.isascii() and message_id.isprintable()):
        raise ValueError(f"{message_id!r} cannot be a webhook-id")
    headers = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    signatures = [f"v1,{b64encode(_digest(key.secret, signed)).decode()}" for key in keys]
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def _digest(secret: bytes, signed: bytes) -> bytes:
    mac = _prepared(secret).copy()
    mac.update(signed)
    return mac.digest()


@lru_cache(1024)
def _prepared(secret: bytes) -> hmac.HMAC:
    """Return an HMAC with its key set, which is half the work of signing a short message."""
    return hmac.new(secret, digestmod="sha256")
