"""JWTs: what an issuer signs about a caller, as `Authorization: Bearer <JWT>`.

A JWT is accepted if a published key of the issuer has signed it by one of ALGORITHMS, for our
audience, and the present time lies within its span. Its claims say who asks, see jwt_claims.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from joserfc import jws
from joserfc.jws import CompactSignature, JWSRegistry

from rq_broker.domain import errors
from rq_broker.domain.identity import Identity
from rq_broker.identity.answer_cache import AnswerCache
from rq_broker.identity.bearer import BEARER, bearer
from rq_broker.identity.jwt_claims import ClaimReader
from rq_broker.identity.jwt_keys import ALGORITHMS, IssuerKeys, PublicKey
from rq_broker.identity.tokens import MARK

SPAN = 60.0
"""Seconds that a verified JWT is remembered at most, so that a client's requests do not each cost a
verification (0.1 ms of CPU). A withdrawn key is accepted for so much longer."""
_MOST_CHARACTERS = 16 * 1024
"""Longest JWT that is read."""


class _Registry(JWSRegistry):
    """What joserfc accepts: our algorithms, and headers that it does not know."""

    max_header_length = 8 * 1024

    def __init__(self) -> None:
        super().__init__(algorithms=list(ALGORITHMS), strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        """Return the model of an algorithm; that of EdDSA is limited to its curve."""
        if name not in ALGORITHMS:
            raise errors.JwtAlgorithm(f"the JWT's alg must be one of {', '.join(ALGORITHMS)}")
        return self.algorithms["Ed25519" if name == "EdDSA" else name]


_REGISTRY = _Registry()


class JwtAuthenticator:
    """Finds out whom a JWT proves.

    Args:
        keys: The keys of the issuer.
        claims: Reads an identity from the claims.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        keys: IssuerKeys,
        claims: ClaimReader,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._claims = claims
        self._answers = AnswerCache(clock)
        self._known: Sequence[PublicKey] = ()

    @property
    def name(self) -> str:
        """The word for this kind of credential."""
        return "jwt"

    @property
    def scheme(self) -> Mapping[str, str]:
        """The security scheme of the API document."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says."""
        return BEARER

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """Return whom the JWT proves; None without one, and for one of the broker's own tokens.

        Raises:
            JwtRefused: It proves nobody; the subclass says why.
            NoRole: Its claims give no role.
            JwtKeysUnavailable: The issuer's keys cannot be read.
        """
        token = bearer(headers)
        if token is None or token.startswith(MARK):
            return None
        return self._answers.get(token) or await self._checked(token)

    async def _checked(self, token: str) -> Identity:
        compact = _parsed(token)
        await self._verify(compact)
        identity, seconds = self._claims.read(compact.payload or b"")
        self._answers.keep(token, identity, min(seconds, SPAN))
        return identity

    async def _verify(self, compact: CompactSignature) -> None:
        """Raise JwtRefused unless one of the issuer's keys has signed a JWT."""
        keys = await self._keys.current()
        try:
            _check_signature(compact, keys)
        except (errors.JwtUnknownKey, errors.JwtBadSignature):
            # The issuer may have a new key since, under a new id or under the old one.
            renewed = await self._keys.renewed()
            if renewed is keys:
                raise
            _check_signature(compact, renewed)
            keys = renewed
        if keys is not self._known:
            self._known = keys
            self._answers.clear()


def _parsed(token: str) -> CompactSignature:
    """Return the parts of a JWT, whose signature is not yet checked."""
    if len(token) > _MOST_CHARACTERS:
        raise errors.JwtMalformed(f"the JWT is longer than {_MOST_CHARACTERS} characters")
    try:
        compact = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY)
        header: Any = compact.protected
        is_object = isinstance(header, dict)
    except Exception:  # whatever hostile text makes the libraries raise, it is no JWT
        is_object = False
    if not is_object:
        raise errors.JwtMalformed("the credential after Bearer is no JWT")
    algorithm, kid = header.get("alg"), header.get("kid")
    if not (isinstance(algorithm, str) and algorithm in ALGORITHMS):
        raise errors.JwtAlgorithm(f"the JWT's alg must be one of {', '.join(ALGORITHMS)}")
    if "crit" in header or "b64" in header or not isinstance(kid, str | None):
        raise errors.JwtMalformed("the JWT's header has a crit or b64, or a kid that is no string")
    return compact


def _check_signature(compact: CompactSignature, keys: Sequence[PublicKey]) -> None:
    algorithm, kid = compact.protected["alg"], compact.protected.get("kid")
    fitting = [key for key in keys if algorithm in key.algorithms and kid in (None, key.kid)]
    if not fitting:
        raise errors.JwtUnknownKey(f"the issuer has no key of this kid for {algorithm}")
    if kid is None and len(fitting) > 1:
        raise errors.JwtKeyNotNamed(f"the JWT has no kid, and the issuer several {algorithm} keys")
    if not any(_has_signed(key, compact) for key in fitting):
        raise errors.JwtBadSignature("the JWT's signature is not that of its key")


def _has_signed(key: PublicKey, compact: CompactSignature) -> bool:
    try:
        return jws.validate_compact(compact, key.key, registry=_REGISTRY)
    except Exception:  # a signature of another length, and whatever else a hostile one causes
        return False
