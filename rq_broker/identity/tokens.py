"""Tokens of the installation: `rqb_` and 48 letters, of which the store keeps the SHA-256 only.

The letters are base64url of 32 random bytes and their CRC-32, so that a scanner and a typo are told
from a token that does not exist, without asking the store.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from zlib import crc32

from rq_broker.domain.errors import (
    TokenExpired,
    TokenMalformed,
    TokenRevoked,
    TokenUnknown,
    Unauthenticated,
)
from rq_broker.domain.identity import Identity
from rq_broker.domain.tokens import NewToken, Rotation, Token
from rq_broker.identity.answer_cache import AnswerCache
from rq_broker.identity.bearer import BEARER, bearer
from rq_broker.store.broker import Broker

MARK = "rqb_"
"""What every token begins with, so that scanners for secrets find it."""
TOKEN = "token"
"""The word for this kind of credential."""
_FORM = re.compile(r"rqb_[\w-]{48}", re.ASCII)
_RANDOM_BYTES = 32

CACHED_SECONDS = 0.5
"""For so long a process accepts or refuses a token without asking the store. A revoked token is
refused everywhere within this time."""


@dataclass(frozen=True, slots=True)
class Issued(Token):
    """A token as it is handed out, once."""

    secret: str = field(default="", repr=False)


def _issued(secret: str, token: Token) -> Issued:
    kept = {row.name: getattr(token, row.name) for row in fields(Token)}
    return Issued(**kept, secret=secret)


async def create(broker: Broker, new: NewToken) -> Issued:
    """Make a token. Raises Conflict if another one has its name."""
    secret = new_secret()
    name = new.name or f"{new.role}-{secrets.token_hex(4)}"
    return _issued(secret, await broker.create_token(new, name, digest(secret)))


async def rotate(broker: Broker, name: str, rotation: Rotation) -> Issued:
    """Replace a token by one that proves the same. Raises TokenNotFound."""
    secret = new_secret()
    token = await broker.rotate_token(name, digest(secret), rotation.expires, rotation.overlap)
    return _issued(secret, token)


def new_secret() -> str:
    """Make a token that nobody can guess."""
    random = secrets.token_bytes(_RANDOM_BYTES)
    return MARK + urlsafe_b64encode(random + _checksum(random)).decode()


def digest(secret: str) -> str:
    """Return what is kept of a token: its SHA-256, hex."""
    return sha256(secret.encode()).hexdigest()


def is_well_formed(secret: str) -> bool:
    """Return whether a text is a token that an installation may have made."""
    if not _FORM.fullmatch(secret):
        return False
    decoded = urlsafe_b64decode(secret.removeprefix(MARK))
    return _checksum(decoded[:_RANDOM_BYTES]) == decoded[_RANDOM_BYTES:]


def _checksum(random: bytes) -> bytes:
    return crc32(random).to_bytes(4, "big")


class TokenAuthenticator:
    """Proves who asks by the tokens of the installation."""

    name = TOKEN
    scheme: Mapping[str, str] = {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that `rq-broker token create` printed, or POST /tokens answered.",
    }
    challenge = BEARER

    def __init__(
        self,
        read: Callable[[str], Awaitable[Token | None]],
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to read tokens.

        Args:
            read: Reads a token by its digest.
            now: Returns the time, seconds since 1970.
            clock: Returns seconds that only grow.
        """
        self._read = read
        self._now = now
        self._clock = clock
        self._answers = AnswerCache(clock)

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """Return the identity of a token; None if the request carries none."""
        secret = bearer(headers)
        if secret is None or not secret.startswith(MARK):
            return None
        known = self._answers.get(secret)
        if known is not None:
            return known
        if not is_well_formed(secret):
            raise TokenMalformed("the token is malformed: a letter of it is missing or wrong")
        return await self._checked(secret, digest(secret))

    async def identity_of(self, digest_: str) -> Identity:
        """Return the identity of the token of a digest. Raises Unauthenticated."""
        return self._answers.get(digest_) or await self._checked(digest_, digest_)

    async def _checked(self, known_by: str, digest_: str) -> Identity:
        """Read a token; `known_by` is by what the answer is remembered."""
        end = self._clock() + CACHED_SECONDS  # counted from before the store is asked
        token = await self._read(digest_)
        try:
            identity = self._proven(token, digest_)
        except Unauthenticated as refusal:
            self._answers.refuse(known_by, refusal, end - self._clock())
            raise
        self._answers.keep(known_by, identity, end - self._clock())
        return identity

    def _proven(self, token: Token | None, digest_: str) -> Identity:
        if token is None or not hmac.compare_digest(token.digest, digest_):
            raise TokenUnknown("there is no such token in this installation")
        match token.state(self._now()):
            case "revoked":
                raise TokenRevoked(f"the token {token.name} was revoked or replaced")
            case "expired":
                raise TokenExpired(f"the token {token.name} has expired")
        return token.identity
