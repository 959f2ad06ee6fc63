"""TLS sessions that receivers gave, so that a later dial needs no certificates.

A handshake that resumes a session takes the notifier half of the CPU of a whole one, and a receiver
signs nothing. What its certificate proved counts for an hour; then it is looked at anew.
"""

from __future__ import annotations

import ssl
import time
from contextvars import ContextVar
from typing import NamedTuple

LIFE_S = 3600.0
"""Seconds for which a certificate that was seen is not asked for again. With a longer time one that
has expired or was revoked would be trusted longer; a shorter one costs handshakes."""
MOST = 256
"""Destinations whose session is kept, some 10 KB each; that of the oldest goes first."""
_OFFERED: ContextVar[ssl.SSLSession | None] = ContextVar("_OFFERED", default=None)
"""The session that the dial of this context offers."""


class _Resuming(ssl.SSLObject):
    """Offers the session of its dial as it begins the handshake; asyncio itself offers none."""

    _has_begun = False

    def do_handshake(self) -> None:
        """Begin or go on with the handshake: it is called each time when bytes have arrived."""
        offered = _OFFERED.get()
        if offered and not self._has_begun:
            self.session = offered
        self._has_begun = True
        super().do_handshake()


class _Seen(NamedTuple):
    session: ssl.SSLSession
    verified: float
    """When the receiver last showed its certificate, by the monotonic clock."""


class TlsSessions:
    """A session of each destination, as a connection of one context gave it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Take the context of all dials, and have it offer sessions."""
        context.sslobject_class = _Resuming
        self._seen: dict[str, _Seen] = {}

    def offer(self, destination: str) -> None:
        """Have the dial that follows in this task resume the destination's session, if any."""
        seen = self._seen.get(destination)
        if seen and time.monotonic() - seen.verified > LIFE_S:
            del self._seen[destination]
            seen = None
        _OFFERED.set(seen.session if seen else None)

    def keep(self, destination: str, connection: ssl.SSLObject) -> None:
        """Keep the session of a connection whose receiver showed its certificate.

        One that resumed a session gives none: the old one serves again, and to read another takes
        a quarter of what resuming saves.
        """
        session = None if connection.session_reused else connection.session
        if session is None:
            return
        self._seen.pop(destination, None)
        self._seen[destination] = _Seen(session, time.monotonic())
        if len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]

    def forget(self, destination: str) -> None:
        """Offer the session no more: a handshake with the destination failed."""
        self._seen.pop(destination, None)
