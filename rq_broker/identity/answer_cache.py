"""Remembers for a while whom a credential proves, or why it is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.errors import BrokerError
from rq_broker.domain.identity import Identity

_ENTRY_BYTES = 1024
"""What an entry takes, about, besides the owners and types of its identity."""
_NAME_BYTES = 100
"""What an owner or a type of an identity takes, about."""
_MOST_BYTES = 8 * 2**20
"""Memory of the proven, and of the refused apart, so that a flood of false credentials drops no
true one: some 8,000 entries each. A process with more clients than that asks more often."""


class _Refusal(NamedTuple):
    error: type[BrokerError]
    sentence: str


class AnswerCache:
    """The answers about credentials; it keeps their digests, not themselves.

    Args:
        clock: Returns seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._proven: BoundedCache[bytes, tuple[Identity, float]] = BoundedCache(_MOST_BYTES)
        self._refused: BoundedCache[bytes, tuple[_Refusal, float]] = BoundedCache(_MOST_BYTES)

    def __len__(self) -> int:
        return len(self._proven) + len(self._refused)

    def get(self, credential: str) -> Identity | None:
        """Return whom a credential proves, None if that is not known; raises what refuses it."""
        key, now = _digest(credential), self._clock()
        proven = self._proven.get(key)
        if proven is not None:
            identity, end = proven
            if now < end:
                return identity
            self._proven.pop(key)
        refused = self._refused.get(key)
        if refused is not None:
            refusal, end = refused
            if now < end:
                raise refusal.error(refusal.sentence)
            self._refused.pop(key)
        return None

    def keep(self, credential: str, identity: Identity, seconds: float) -> None:
        """Remember for some seconds that a credential proves an identity."""
        names = len(identity.owners or ()) + len(identity.types or ())
        size = _ENTRY_BYTES + _NAME_BYTES * names
        self._proven.put(_digest(credential), (identity, self._clock() + seconds), size)

    def refuse(self, credential: str, error: BrokerError, seconds: float) -> None:
        """Remember for some seconds that a credential is refused."""
        refusal = _Refusal(type(error), str(error))
        self._refused.put(_digest(credential), (refusal, self._clock() + seconds), _ENTRY_BYTES)

    def clear(self) -> None:
        """Forget everything."""
        self._proven = BoundedCache(_MOST_BYTES)
        self._refused = BoundedCache(_MOST_BYTES)


def _digest(credential: str) -> bytes:
    return sha256(credential.encode(errors="surrogatepass")).digest()
