"""Sessions: a person signs in once with a credential, and the browser's cookie stands for it.

A session proves what its credential proves *now*: the session of a token keeps the token's digest,
another keeps its credential, encrypted by a key that only the cookie yields. One that an issuer's
sign-in began keeps the identity. What is in Redis opens no session; what is in the cookie opens
nothing but the session.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from rq_broker.domain import errors
from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.identity import Identity
from rq_broker.domain.sessions import NewSession, Session
from rq_broker.identity import Authenticator, header_of
from rq_broker.identity.tokens import MARK, TokenAuthenticator, digest
from rq_broker.store.broker import Broker

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

    from rq_broker.identity.oidc import OidcSignIn

CACHED_SECONDS = 0.5
"""For so long a process does not ask the store again about a session. One that is ended is refused
everywhere within this time."""
_RANDOM_BYTES = 32
_FORM = re.compile(r"[\w-]{43}", re.ASCII)
_USES_OF_IDLE = 10
"""A process tells the store of a use so many times within the idle time: more often costs writes,
with fewer a session could end that was used just now."""
_ENTRY_BYTES, _MOST_BYTES = 20 * 1024, 8 * 2**20
"""What a remembered session may take, and all of them together: some 400 people."""


@dataclass(frozen=True, slots=True)
class SessionRules:
    """How long sessions last."""

    idle: float = 3600.0
    """Seconds without a request after which a session ends."""
    lifetime: float = 43_200.0
    """Seconds after which it ends, used or not."""
    issuer: OidcSignIn | None = None
    """Where people may sign in besides; None: nowhere."""


OIDC = "oidc"
"""The way of sessions that a sign-in at the issuer began."""
SESSION_RULES = SessionRules()
"""An hour of quiet, a working day in all."""


class Sessions:
    """Begins sessions, and tells whom they prove.

    Args:
        broker: Keeps them.
        authenticators: Those that prove credentials.
        rules: How long sessions last.
        now: Returns seconds since 1970.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        broker: Broker,
        authenticators: Sequence[Authenticator],
        rules: SessionRules,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._authenticators = {each.name: each for each in authenticators}
        self._rules = rules
        self._now = now
        self._clock = clock
        self._read: BoundedCache[str, tuple[Session | None, float, float]] = BoundedCache(
            _MOST_BYTES
        )
        """Digest → the session, until when it is not asked for, when its use is told next."""

    @property
    def ways(self) -> list[str]:
        """How people may sign in: a word for each kind of credential, and for the issuer."""
        return [*self._authenticators, *([OIDC] if self._rules.issuer else ())]

    async def begin(self, identity: Identity, headers: Mapping[str, str]) -> str:
        """Begin a session of who was identified by headers; returns its secret.

        Raises:
            Unauthenticated: No header has a credential that a session can be begun with.
        """
        secret = urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode().rstrip("=")
        for way, authenticator in self._authenticators.items():
            value = headers.get(header_of(authenticator))
            if value is None or await authenticator.identify(headers) is None:
                continue
            token = sealed = ""
            if isinstance(authenticator, TokenAuthenticator):
                token = digest(value[value.index(MARK) :].strip())
            else:
                sealed = _seal(secret, value)
            await self._keep(NewSession(digest(secret), identity, way, token, sealed))
            return secret
        raise errors.Unauthenticated("sign in with a credential: a session proves no other one")

    async def begin_at_issuer(self, identity: Identity) -> str:
        """Begin a session that keeps an identity for its whole life; returns its secret."""
        secret = urlsafe_b64encode(secrets.token_bytes(_RANDOM_BYTES)).decode().rstrip("=")
        await self._keep(NewSession(digest(secret), identity, OIDC))
        return secret

    async def _keep(self, new: NewSession) -> None:
        await self._broker.create_session(new, self._rules.idle, self._rules.lifetime)

    async def identify(self, secret: str) -> Identity:
        """Return whom a session proves.

        Raises:
            SessionEnded: There is none, or it has ended.
            Unauthenticated: Its credential is refused by now; the subclass says why.
        """
        if not _FORM.fullmatch(secret):
            raise errors.SessionEnded(_ENDED)
        session = await self._session(digest(secret))
        if session is None or self._now() >= session.ends:
            raise errors.SessionEnded(_ENDED)
        if session.way == OIDC and self._rules.issuer is not None:
            return session.identity
        authenticator = self._authenticators.get(session.way)
        if authenticator is None:  # this API takes such credentials no longer
            raise errors.SessionEnded(_ENDED)
        if session.token and isinstance(authenticator, TokenAuthenticator):
            return await authenticator.identity_of(session.token)
        value = _unseal(secret, session.sealed)
        identity = await authenticator.identify({header_of(authenticator): value})
        if identity is None:
            raise errors.SessionEnded(_ENDED)
        return identity

    async def end(self, secret: str) -> None:
        """End a session, if there is one."""
        await self._broker.end_session(digest(secret))
        self._read.pop(digest(secret))

    async def _session(self, digest_: str) -> Session | None:
        """Return the session of a digest, and tell the store that it is used."""
        now = self._clock()
        session, fresh_until, told_at = self._read.get(digest_) or (None, now, now)
        if now < fresh_until:
            return session
        session = await self._broker.session(digest_)
        if session is not None and not hmac.compare_digest(session.digest, digest_):
            session = None
        if session is not None and now >= told_at:
            with suppress(errors.Unavailable):  # a store that takes no writes may still be read
                left = session.ends - self._now()
                await self._broker.use_session(digest_, max(0.001, min(self._rules.idle, left)))
            told_at = now + self._rules.idle / _USES_OF_IDLE
        self._read.put(digest_, (session, now + CACHED_SECONDS, told_at), _ENTRY_BYTES)
        return session


_ENDED = "the session has ended: sign in again"


def _seal(secret: str, credential: str) -> str:
    """Encrypt a credential by a key that the secret yields, and its digest does not."""
    return _cipher(secret).encrypt(credential.encode("utf-8", "surrogatepass")).decode()


def _unseal(secret: str, sealed: str) -> str:
    from cryptography.fernet import InvalidToken  # noqa: PLC0415 - an extra

    try:
        return _cipher(secret).decrypt(sealed.encode()).decode("utf-8", "surrogatepass")
    except InvalidToken:
        raise errors.SessionEnded(_ENDED) from None


def _cipher(secret: str) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415 - an extra

    key = hmac.digest(secret.encode(), b"rq-broker session credential", sha256)
    return Fernet(urlsafe_b64encode(key))
