"""Refusals of a credential, and of what the identity that it proves may not do."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class Unauthenticated(BrokerError):
    """The request has no credential, or one that proves nobody."""

    status = 401
    code = "unauthenticated"


class TokenMalformed(Unauthenticated):
    """The token is none that the broker could have made: a letter is missing or wrong."""

    code = "token_malformed"


class TokenUnknown(Unauthenticated):
    """The token is well formed, but this installation has none like it."""

    code = "token_unknown"


class TokenExpired(Unauthenticated):
    """The token has expired."""

    code = "token_expired"


class TokenRevoked(Unauthenticated):
    """The token was revoked, or a rotation replaced it."""

    code = "token_revoked"


class NoRole(Unauthenticated):
    """The credential is valid, but gives none of the roles that the broker knows."""

    status = 403
    code = "no_role"


class KeystoneRefused(Unauthenticated):
    """Keystone does not know the token: it has expired, was revoked, or never was one."""

    code = "keystone_token_refused"


class KeystoneUnscoped(Unauthenticated):
    """The token of Keystone is not one of a project whose jobs the broker accepts."""

    code = "keystone_token_unscoped"


class JwtRefused(Unauthenticated):
    """The JWT is not accepted; the subclasses say why."""

    code = "jwt_refused"


class JwtMalformed(JwtRefused):
    """It is no JWT: not three parts of base64url, or not JSON in them."""

    code = "jwt_malformed"


class JwtAlgorithm(JwtRefused):
    """It is signed by an algorithm that is not accepted, or not signed at all."""

    code = "jwt_algorithm"


class JwtUnknownKey(JwtRefused):
    """The issuer has published no key of this `kid` for this algorithm."""

    code = "jwt_unknown_key"


class JwtKeyNotNamed(JwtRefused):
    """It has no `kid`, and several keys could have signed it."""

    code = "jwt_key_not_named"


class JwtBadSignature(JwtRefused):
    """The key that it names has not signed it."""

    code = "jwt_bad_signature"


class JwtWrongIssuer(JwtRefused):
    """`iss` is another issuer."""

    code = "jwt_wrong_issuer"


class JwtWrongAudience(JwtRefused):
    """`aud` does not have the broker's audience."""

    code = "jwt_wrong_audience"


class JwtExpired(JwtRefused):
    """`exp` has passed."""

    code = "jwt_expired"


class JwtNotYetValid(JwtRefused):
    """`nbf` has not come yet."""

    code = "jwt_not_yet_valid"


class JwtClaims(JwtRefused):
    """A claim that the broker needs is missing, or has another form."""

    code = "jwt_claims"


class Forbidden(BrokerError):
    """Who asks is known, and may not do this: see the table of roles."""

    status = 403
    code = "forbidden"


class IdentityUnavailable(BrokerError):
    """Whether a credential is valid cannot be found out at the moment. Repeat the call."""

    status = 503
    code = "identity_unavailable"
    retry_after = 2
    """Seconds until a caller should repeat the call."""


class KeystoneUnavailable(IdentityUnavailable):
    """Keystone does not answer, or refuses the broker's own login."""

    code = "keystone_unavailable"


class JwtKeysUnavailable(IdentityUnavailable):
    """The keys of the issuer of JWTs were never read, or too long ago."""

    code = "jwt_keys_unavailable"
