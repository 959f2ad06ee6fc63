"""Names a secret without telling it."""

from __future__ import annotations

from hashlib import sha256


def fingerprint(secret: str) -> str:
    """Return the first 8 hex digits of the SHA-256 of a secret.

    >>> fingerprint("whsec_x")
    'd024c29a'
    """
    # The text is hashed, not the secret in it: malformed keys, set by other services, have one too.
    return sha256(secret.encode(errors="surrogateescape")).hexdigest()[:8]
