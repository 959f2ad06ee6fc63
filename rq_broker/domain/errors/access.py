"""Refusals of a credential, and of what the identity that it proves may not do."""

from __future__ import annotations

from rq_broker.domain.errors.root import BrokerError


class Unauthenticated(BrokerError):
    """The request has no credential, or one that proves nobody."""

    status = 401
    code = "unauthenticated"
    remedy = "Send `Authorization: Bearer <token>`, or another credential that the sentence names."


class TokenMalformed(Unauthenticated):
    """The token is none that the broker could have made: a letter is missing or wrong."""

    code = "token_malformed"
    remedy = "Copy the whole token, to its last letter."


class TokenUnknown(Unauthenticated):
    """The token is well formed, but this installation has none like it."""

    code = "token_unknown"
    remedy = "Check that the token was made for this installation; ask an admin for another one."


class TokenExpired(Unauthenticated):
    """The token has expired."""

    code = "token_expired"
    remedy = "Ask an admin to rotate the token."


class TokenRevoked(Unauthenticated):
    """The token was revoked, or a rotation replaced it."""

    code = "token_revoked"
    remedy = "Use the token that replaced it, or ask an admin for another one."


class SessionEnded(Unauthenticated):
    """The browser's session has ended: it idled, its time was up, or somebody signed out."""

    code = "session_ended"
    remedy = "Sign in again."


class SignInRefused(Unauthenticated):
    """The issuer has not confirmed a sign-in, or its answer is to another one."""

    code = "sign_in_refused"
    remedy = "Sign in again, in one window, from the beginning."


class NoRole(Unauthenticated):
    """The credential is valid, but gives none of the roles that the broker knows."""

    status = 403
    code = "no_role"
    remedy = (
        "Ask for a role of the project or claim that the operator has mapped to one of the "
        "broker's."
    )


class KeystoneRefused(Unauthenticated):
    """Keystone does not know the token: it has expired, was revoked, or never was one."""

    code = "keystone_token_refused"
    remedy = "Get a new token from Keystone."


class KeystoneUnscoped(Unauthenticated):
    """The token of Keystone is not one of a project whose jobs the broker accepts."""

    code = "keystone_token_unscoped"
    remedy = "Get a token of a project of the domain that the broker accepts."


class JwtRefused(Unauthenticated):
    """The JWT is not accepted; the sentence says why."""

    code = "jwt_refused"
    remedy = "Get a new token from the issuer."


class JwtMalformed(JwtRefused):
    """It is no JWT: not three parts of base64url, or not JSON in them."""

    code = "jwt_malformed"
    remedy = "Send the whole JWT, with its two dots."


class JwtAlgorithm(JwtRefused):
    """It is signed by an algorithm that is not accepted, or not signed at all."""

    code = "jwt_algorithm"
    remedy = "Have the issuer sign with an asymmetric algorithm that the sentence names."


class JwtUnknownKey(JwtRefused):
    """The issuer has published no key of this `kid` for this algorithm."""

    code = "jwt_unknown_key"
    remedy = "Get a new token; if it stays, have the operator check `--jwt-keys`."


class JwtKeyNotNamed(JwtRefused):
    """It has no `kid`, and several keys could have signed it."""

    code = "jwt_key_not_named"
    remedy = "Have the issuer put the `kid` of its key into the token's header."


class JwtBadSignature(JwtRefused):
    """The key that it names has not signed it."""

    code = "jwt_bad_signature"
    remedy = "Get a new token from the issuer, and change nothing in it."


class JwtWrongIssuer(JwtRefused):
    """`iss` is another issuer."""

    code = "jwt_wrong_issuer"
    remedy = "Get a token from the issuer that the operator has named by `--jwt-issuer`."


class JwtWrongAudience(JwtRefused):
    """`aud` does not have the broker's audience."""

    code = "jwt_wrong_audience"
    remedy = "Get a token for the audience that the operator has named by `--jwt-audience`."


class JwtExpired(JwtRefused):
    """`exp` has passed."""

    code = "jwt_expired"
    remedy = "Get a new token from the issuer."


class JwtNotYetValid(JwtRefused):
    """`nbf` has not come yet."""

    code = "jwt_not_yet_valid"
    remedy = "Wait until then, or set the clocks right."


class JwtClaims(JwtRefused):
    """A claim that the broker needs is missing, or has another form."""

    code = "jwt_claims"
    remedy = "Have the issuer put the claim that the sentence names into the token."


class Forbidden(BrokerError):
    """Who asks is known, and may not do this."""

    status = 403
    code = "forbidden"
    remedy = "Ask with an identity whose role may do it, see [Security](security.md)."


class ReadOnly(BrokerError):
    """This API process changes nothing. Others, of the same Redis, may."""

    status = 403
    code = "read_only"
    remedy = "Send the change to an API that runs without `--read-only`."


class IdentityUnavailable(BrokerError):
    """Whether a credential is valid cannot be found out at the moment. Repeat the call."""

    status = 503
    code = "identity_unavailable"
    remedy = "Repeat it after `Retry-After`."
    retry_after = 2
    """Seconds until a caller should repeat the call."""


class KeystoneUnavailable(IdentityUnavailable):
    """Keystone does not answer, or refuses the broker's own login."""

    code = "keystone_unavailable"
    remedy = "Repeat it after `Retry-After`; if it stays, have the operator check Keystone."


class IssuerUnavailable(IdentityUnavailable):
    """The issuer at which people sign in does not answer, or answers what is no answer."""

    code = "issuer_unavailable"
    remedy = "Repeat it after `Retry-After`; if it stays, have the operator check `--jwt-issuer`."


class JwtKeysUnavailable(IdentityUnavailable):
    """The keys of the issuer of JWTs were never read, or too long ago."""

    code = "jwt_keys_unavailable"
    remedy = "Repeat it after `Retry-After`; if it stays, have the operator check `--jwt-keys`."
