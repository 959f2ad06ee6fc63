"""Signs callbacks by the Standard Webhooks spec, so that any of its libraries can verify them.

Only v1 (HMAC-SHA256): it needs nothing beyond the standard library, and every receiver's library
knows it. Several keys sign at once while one replaces another.
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
_MIN, _MAX = 24, 64


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A shared secret of 24 to 64 bytes."""

    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read `whsec_<base64>`. Raises Invalid, which never repeats the secret."""
        if not text.startswith(_PREFIX):
            raise Invalid(f"signing key: it must start with {_PREFIX}")
        encoded = text.removeprefix(_PREFIX).rstrip("=")
        try:
            secret = b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise Invalid(f"signing key: what follows {_PREFIX} is not base64") from None
        if not _MIN <= len(secret) <= _MAX:
            raise Invalid(f"signing key: the secret has {len(secret)} bytes, not {_MIN} to {_MAX}")
        return cls(secret)

    @property
    def text(self) -> str:
        """Render what `parse` reads and a receiver is given."""
        return _PREFIX + b64encode(self.secret).decode()


def generate() -> SigningKey:
    """Make a new key of 32 random bytes."""
    return SigningKey(token_bytes(32))


def sign(
    message_id: str, timestamp: int, body: bytes, keys: Iterable[SigningKey]
) -> dict[str, str]:
    """Build the three headers; without keys, the two that name the message.

    `message_id` stays the same for every attempt; `timestamp`, seconds since 1970, is the
    attempt's own. Raises ValueError if `message_id` cannot stand in a header.
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
    keyed = _keyed(secret).copy()
    keyed.update(signed)
    return keyed.digest()


@lru_cache(1024)
def _keyed(secret: bytes) -> hmac.HMAC:
    """Prepare a key once: that is half the work of signing something short."""
    return hmac.new(secret, digestmod="sha256")
