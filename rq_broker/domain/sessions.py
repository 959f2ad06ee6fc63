"""Sessions: what the cookie of a browser stands for, and until when."""

from __future__ import annotations

from dataclasses import dataclass, field

from rq_broker.domain.identity import Identity


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to keep. It has a token's digest, a sealed credential, or neither."""

    digest: str
    """SHA-256 of its secret, hex. The secret itself is in the browser's cookie only."""
    identity: Identity
    way: str
    """How its identity has signed in: the name of an authenticator."""
    token: str = ""
    """SHA-256 of the token that it began with: the session proves what that token proves now."""
    sealed: str = field(default="", repr=False)
    """The credential that it began with, encrypted by a key that only the cookie yields."""


@dataclass(frozen=True, slots=True)
class Session(NewSession):
    """A session as it is kept."""

    ends: float = 0.0
    """When it ends at the latest, seconds since 1970."""
