"""Identities for tests of the API: the header X-Who says who asks."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.domain import errors
from rq_broker.domain.identity import Identity, Role


class WhoHeader:
    """Takes the header X-Who for what it says."""

    name = "who"
    scheme: Mapping[str, str] = {"type": "apiKey", "in": "header", "name": "X-Who"}
    challenge = 'Bearer realm="who"'

    def __init__(self, *identities: Identity) -> None:
        self._identities = {identity.name: identity for identity in identities}

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """Return the identity of this name."""
        who = headers.get("x-who")
        if who is not None and who not in self._identities:
            raise errors.TokenUnknown("unknown")
        return None if who is None else self._identities[who]


def client(name: str, *owners: str, **fields: frozenset[str]) -> Identity:
    """Return a client of these owners."""
    return Identity(name, Role.CLIENT, frozenset(owners), **fields)
