"""What the installation keeps of its tokens: create, rotate, revoke, read and list them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import orjson

from rq_broker.domain.identity import Identity, Role
from rq_broker.domain.tokens import PREFIX, NewToken, Token
from rq_broker.store import records
from rq_broker.store.keys import INSTALLATION, Keys
from rq_broker.store.runner import Runner

_ID_DIGITS = 32
"""Hex digits of an id: 128 bits, so that no two tokens share one."""
_AT_ONCE = 100
"""Records that a list reads at the same time."""
_LIMITS = ("owners", "types", "callback_hosts")
"""The fields of an identity that a record has only where they limit it, in their order there."""
_KEYS = Keys(INSTALLATION)


class Tokens:
    """The verbs of tokens. `digest` is the SHA-256 of a token, in hex digits."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def create_token(self, new: NewToken, name: str, digest: str) -> Token:
        """Keep what a new token proves.

        Raises:
            Conflict: Another token has the name.
        """
        record = ["digest", digest, "role", new.role.value, *limits_of(new)]
        await self._runner.run(
            "create_token",
            INSTALLATION,
            token=digest[:_ID_DIGITS],
            name=name,
            lifetime=_milliseconds(new.expires),
            record=record,
        )
        return await self._kept(digest)

    async def rotate_token(
        self, name: str, digest: str, lifetime: float | None, overlap: float
    ) -> Token:
        """Replace the token of a name by another, which proves the same.

        Args:
            name: Of both.
            digest: Of the new one.
            lifetime: Seconds until the new one expires; None: as long as the old one lived.
            overlap: Seconds for which the old one is still accepted.

        Raises:
            TokenNotFound: No token has the name.
        """
        await self._runner.run(
            "rotate_token",
            INSTALLATION,
            name=name,
            token=digest[:_ID_DIGITS],
            digest=digest,
            lifetime=_milliseconds(lifetime),
            overlap=_milliseconds(overlap),
        )
        return await self._kept(digest)

    async def revoke_token(self, name: str) -> None:
        """Refuse every token of a name from now on. Raises TokenNotFound if there is none."""
        await self._runner.run("revoke_token", INSTALLATION, name=name)

    async def token(self, digest: str) -> Token | None:
        """Read a token that is, or was within the last 30 days; None if none has this digest."""
        return await self._read(digest[:_ID_DIGITS])

    async def tokens(self) -> list[Token]:
        """List the tokens that are, or were within the last 30 days, by name and age."""
        ids = await self._runner.command("ZRANGE", _KEYS.of("tokens"), 0, -1)
        found: list[Token] = []
        for start in range(0, len(ids), _AT_ONCE):
            batch = await asyncio.gather(*map(self._read, ids[start : start + _AT_ONCE]))
            found += [token for token in batch if token]
        return sorted(found, key=lambda token: (token.name, token.created))

    async def _kept(self, digest: str) -> Token:
        token = await self.token(digest)
        assert token is not None
        return token

    async def _read(self, id_: str) -> Token | None:
        flat = await self._runner.command("HGETALL", _KEYS.of("token", id_))
        entries = [(id_, records.pairs(flat))] if flat else []
        return next(iter(records.readable(_token, entries)), None)


def _token(entry: tuple[str, Mapping[str, str]]) -> Token:
    id_, fields = entry
    identity = identity_of(PREFIX + fields["name"], Role(fields["role"]), fields)
    return Token(
        id_,
        fields["digest"],
        identity,
        int(fields["created"]) / 1000,
        _seconds(fields.get("expires")),
        _seconds(fields.get("ended")),
    )


def limits_of(limited: NewToken | Identity) -> list[str]:
    """Return name, value, … of the fields of a record that limit an identity."""
    record: list[str] = []
    for limit in _LIMITS:
        if names := getattr(limited, limit):
            record += (limit, orjson.dumps(sorted(set(names))).decode())
    return record


def identity_of(name: str, role: Role, fields: Mapping[str, str]) -> Identity:
    """Return the identity of a name and a role, with the limits that a record has."""
    return Identity(name, role, *(_names(fields.get(limit)) for limit in _LIMITS))


def _names(text: str | None) -> frozenset[str] | None:
    names: Sequence[str] | None = orjson.loads(text) if text else None
    return None if names is None else frozenset(names)


def _seconds(milliseconds: str | None) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
