"""Sign-in at an issuer: OpenID Connect's authorization code flow with PKCE, for browsers.

The issuer answers with the JWTs that API clients send as well, and the same authenticator reads who
they are of. What the second half of a sign-in needs lies in a cookie of the browser that began it.
Authlib would bring a second library for JWTs, for what is two requests.
Source: OpenID Connect Core 1.0, section 3.1; RFC 7636; RFC 9700, section 2.1.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote, urlencode

import httpx
import orjson

from rq_broker.domain import errors
from rq_broker.domain.identity import Identity
from rq_broker.identity.jwt import JwtAuthenticator
from rq_broker.identity.jwt_keys import check_url, fetch

TIMEOUT = 10.0
"""Seconds that the issuer may take for one answer; a person waits for it."""
_DISCOVERY = "/.well-known/openid-configuration"
_ENDPOINTS = ("authorization_endpoint", "token_endpoint")
_TOKENS = ("access_token", "id_token")
"""Which of the issuer's answers prove an identity: the first that the authenticator accepts."""


@dataclass(frozen=True, slots=True)
class OidcClient:
    """This installation, as the issuer knows it."""

    issuer: str
    client_id: str
    secret: str = ""
    """Empty for a public client: PKCE proves who began."""
    scope: str = "openid"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that a browser has begun: what its cookie has."""

    state: str
    nonce: str
    verifier: str
    back: str
    """The path of this installation to which the browser comes back."""

    @classmethod
    def new(cls, back: str) -> Attempt:
        """Begin one that nobody can guess."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, back)

    @classmethod
    def parse(cls, text: str) -> Attempt | None:
        """Return what a cookie holds; None if it is none of ours."""
        state, nonce, verifier, back = [*text.split(".", 3), "", "", "", ""][:4]
        return cls(state, nonce, verifier, unquote(back)) if state and back else None

    def __str__(self) -> str:
        return f"{self.state}.{self.nonce}.{self.verifier}.{quote(self.back, safe='')}"


class OidcSignIn:
    """Signs people in at one issuer.

    Args:
        client: This installation.
        authenticator: Reads the issuer's JWTs.
    """

    def __init__(self, client: OidcClient, authenticator: JwtAuthenticator) -> None:
        self._client = client
        self._authenticator = authenticator
        self._endpoints: Mapping[str, str] = {}

    async def begin(self, attempt: Attempt, redirect_uri: str) -> str:
        """Return the URL at the issuer to which the browser goes. Raises IssuerUnavailable."""
        endpoints = await self._discovered()
        challenge = urlsafe_b64encode(sha256(attempt.verifier.encode()).digest())
        query = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": redirect_uri,
            "scope": self._client.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        url = endpoints["authorization_endpoint"]
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    async def end(self, attempt: Attempt, answer: Mapping[str, str], redirect_uri: str) -> Identity:
        """Return who has signed in.

        Args:
            attempt: What the browser that began it has in its cookie.
            answer: The query with which the issuer has sent the browser back.
            redirect_uri: That of the beginning.

        Raises:
            SignInRefused: The issuer has refused, or it is no answer to this attempt.
            Unauthenticated: Its tokens prove nobody here; the subclass says why.
            IssuerUnavailable: It cannot be asked.
        """
        code = answer.get("code", "")
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise errors.SignInRefused("the answer of the issuer is to another sign-in")
        if not code:
            raise errors.SignInRefused("the issuer has not signed you in")
        tokens = await self._exchange(code, attempt.verifier, redirect_uri)
        if "id_token" in tokens and _nonce_of(tokens["id_token"]) != attempt.nonce:
            raise errors.SignInRefused("the issuer's token is of another sign-in")
        return await self._identity(tokens)

    async def _identity(self, tokens: Mapping[str, Any]) -> Identity:
        refusal: errors.Unauthenticated = errors.SignInRefused("the issuer has sent no token")
        for name in _TOKENS:
            token = tokens.get(name)
            if not isinstance(token, str):
                continue
            try:
                headers = {"authorization": f"Bearer {token}"}
                identity = await self._authenticator.identify(headers)
            except errors.Unauthenticated as error:
                refusal = error
                continue
            if identity is not None:
                return identity
        raise refusal

    async def _exchange(self, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        endpoints = await self._discovered()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self._client.client_id,
            "code_verifier": verifier,
        }
        secret = self._client.secret
        login = httpx.BasicAuth(self._client.client_id, secret) if secret else httpx.Auth()
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
                answer = await client.post(endpoints["token_endpoint"], data=form, auth=login)
        except httpx.HTTPError as error:
            raise _away(error) from error
        if answer.is_client_error:
            raise errors.SignInRefused("the issuer refuses the sign-in: begin it anew")
        return _object(answer.content) if answer.is_success else _raise_away(answer.status_code)

    async def _discovered(self) -> Mapping[str, str]:
        """Return the issuer's endpoints, which it publishes; they are read once."""
        if not self._endpoints:
            url = self._client.issuer.rstrip("/") + _DISCOVERY
            try:
                document = _object(await fetch(url))
            except (OSError, ValueError, httpx.HTTPError) as error:
                raise _away(error) from error
            if document.get("issuer") != self._client.issuer:
                raise errors.IssuerUnavailable(f"{url} is of another issuer")
            endpoints = {name: str(document.get(name, "")) for name in _ENDPOINTS}
            try:
                for name, endpoint in endpoints.items():
                    check_url(endpoint, name)
            except errors.Invalid as error:
                raise _away(error) from error
            self._endpoints = endpoints
        return self._endpoints


def _nonce_of(id_token: object) -> str:
    """Return the nonce of an ID token. It came from the issuer itself, whose TLS vouches for it."""
    with suppress(ValueError, IndexError):
        payload = str(id_token).split(".")[1]
        return str(_object(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("nonce"))
    return ""


def _object(text: bytes) -> Mapping[str, Any]:
    document = orjson.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    return document


def _away(error: object) -> errors.IssuerUnavailable:
    return errors.IssuerUnavailable(f"the issuer cannot be asked: {error or type(error).__name__}")


def _raise_away(status: int) -> Mapping[str, Any]:
    raise _away(f"HTTP {status}")
