"""Sign-in at an issuer: a browser goes there and comes back with a session, or with a reason."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import orjson
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rq_broker.api import create_app
from rq_broker.api.server.connections import Connections
from rq_broker.identity.jwt import JwtAuthenticator
from rq_broker.identity.jwt_claims import ClaimReader
from rq_broker.identity.jwt_keys import IssuerKeys
from rq_broker.identity.oidc import OidcClient, OidcSignIn
from rq_broker.identity.sessions import SessionRules
from rq_broker.store.broker import Broker
from tests.api.server.serving import LIMITS, lifespan_of, running
from tests.api.signing_in import browser
from tests.api.tenants import WhoHeader

KEY = ECKey.generate_key("P-256", {"kid": "k"})


@dataclass
class Issuer:
    """An issuer at which somebody is signed in already, and says yes."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    """Those of its tokens that a test changes."""
    access_token: str | None = "opaque"
    login: str | None = None
    """`Authorization` of the last exchange."""
    is_away: bool = False
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> Starlette:
        """Return what it serves."""
        routes = [
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/keys", self.keys),
            Route("/token", self.token, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=lifespan_of(Connections(LIMITS, grace=1)))

    async def discovery(self, _: Request) -> Response:
        """Say where everything is."""
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize?realm=lab",
                "token_endpoint": f"{self.url}/token",
            }
        )

    async def keys(self, _: Request) -> Response:
        """Publish its key."""
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})

    def authorize(self, url: str) -> str:
        """Return where a browser is sent back to that comes to a URL of it."""
        assert url.startswith(f"{self.url}/authorize?realm=lab&")
        asked = dict(parse_qsl(urlsplit(url).query))
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        assert asked["client_id"] == "rq"
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    async def token(self, request: Request) -> Response:
        """Exchange a code, once, for who has its verifier."""
        if self.is_away:
            return Response(status_code=502)
        self.login = request.headers.get("authorization")
        form = {
            name: values[0] for name, values in parse_qs((await request.body()).decode()).items()
        }
        asked = self._codes.pop(form["code"], None)
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest())
        if (
            asked is None
            or challenge.decode().rstrip("=") != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims = {"iss": self.url, "aud": "rq", "sub": "lin", "exp": int(time.time()) + 60}
        claims |= {"nonce": asked["nonce"], "roles": ["operator"], **self.claims}
        id_token = jwt.encode({"alg": "ES256", "kid": "k"}, claims, KEY)
        return JSONResponse({"id_token": id_token, "access_token": self.access_token})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    """Serve an issuer on loopback."""
    issuer = Issuer()
    async with running(issuer.app()) as server:
        issuer.url = f"http://127.0.0.1:{server.config.port}"
        yield issuer


def serving(broker: Broker, issuer: Issuer, secret: str = "") -> Starlette:
    """Return an API at which people sign in by an issuer."""
    claims = ClaimReader(issuer=issuer.url, audience="rq", owner="sub", role="roles", roles=ROLES)
    authenticator = JwtAuthenticator(IssuerKeys(f"{issuer.url}/keys"), claims)
    sign_in = OidcSignIn(OidcClient(issuer.url, "rq", secret), authenticator)
    rules = SessionRules(issuer=sign_in)
    return create_app(broker, authenticators=[authenticator, WhoHeader()], session_rules=rules)


ROLES = ("operator=operator", "client=client")


async def go(
    page: httpx.AsyncClient, issuer: Issuer, to: str = "/line/vm?find=a"
) -> httpx.Response:
    """Sign in there; returns the answer that leads back."""
    begun = await page.get("/session/oidc", params={"to": to})
    assert begun.status_code == 303, begun.text
    return await page.get(issuer.authorize(begun.headers["location"]))


@pytest.mark.parametrize("base", ["http://api.test", "https://api.test"])
async def test_a_browser_comes_back_with_a_session(
    broker: Broker, issuer: Issuer, base: str
) -> None:
    """It is where it was, who it is says the ID token, the log names it, the issuer was given the
    secret, and no token is in a cookie."""
    async with browser(serving(broker, issuer, "s3"), base) as page:
        assert (await page.get("/session")).json()["data"]["sign_in"] == ["jwt", "who", "oidc"]
        answer = await go(page, issuer)
        assert (answer.status_code, answer.headers["location"]) == (303, "/line/vm?find=a")
        cookies = answer.headers.get_list("set-cookie")
        assert ["SameSite=Strict" in cookie for cookie in cookies] == [True, False]
        assert all("Secure" in cookie for cookie in cookies) == base.startswith("https")
        session = (await page.get("/session")).json()["data"]
        assert (session["name"], session["role"]) == ("jwt:lin", "operator")
        assert "eyJ" not in str(cookies)
    assert issuer.login == "Basic cnE6czM="
    ((line,), _) = await broker.audit_log("/")
    assert (line.verb, line.who, line.address) == ("create_session", "jwt:lin", "10.1.1.1")


async def test_an_access_token_goes_before_the_id_token(broker: Broker, issuer: Issuer) -> None:
    """Where it is a JWT for this API, it says who asks, as it does for programs."""
    claims = {"iss": issuer.url, "aud": "rq", "sub": "tool", "exp": int(time.time()) + 60}
    issuer.access_token = jwt.encode(
        {"alg": "ES256", "kid": "k"}, {**claims, "roles": ["operator"]}, KEY
    )
    async with browser(serving(broker, issuer)) as page:
        await go(page, issuer)
        assert (await page.get("/session")).json()["data"]["name"] == "jwt:tool"
    assert issuer.login is None


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "another sign-in's token": ({"nonce": "x"}, "sign_in_refused"),
    "no role here": ({"roles": ["stranger"]}, "no_role"),
    "for somebody else": ({"aud": "other"}, "jwt_wrong_audience"),
    "of another issuer": ({"iss": "https://evil.test"}, "jwt_wrong_issuer"),
}


async def test_what_the_issuer_says_is_checked(broker: Broker, issuer: Issuer) -> None:
    """A browser comes back without a session, to where it was, with the code of the reason."""
    async with browser(serving(broker, issuer)) as page:
        for name, (claims, code) in REFUSALS.items():
            issuer.claims, issuer.access_token = claims, None
            answer = await go(page, issuer)
            assert answer.headers["location"] == f"/line/vm?sign_in={code}", name
        issuer.is_away = True
        answer = await go(page, issuer)
        assert answer.headers["location"] == "/line/vm?sign_in=issuer_unavailable"
        assert (await page.get("/session")).json()["data"]["role"] is None


async def test_an_answer_counts_once_in_the_browser_that_asked(
    broker: Broker, issuer: Issuer
) -> None:
    """Another browser that is given the link of an attacker is not signed in as the attacker, nor
    is one with an attempt of its own; a link does not work twice."""
    app = serving(broker, issuer)
    async with browser(app) as page, browser(app) as victim:
        begun = await page.get("/session/oidc")
        link = issuer.authorize(begun.headers["location"])
        refused = "/?sign_in=sign_in_refused"
        assert (await victim.get(link)).headers["location"] == refused
        await victim.get("/session/oidc")
        assert (await victim.get(link)).headers["location"] == refused
        again = dict(page.cookies)
        assert (await page.get(link)).headers["location"] == "/"
        page.cookies = httpx.Cookies(again)
        assert (await page.get(link)).headers["location"] == refused


@pytest.mark.parametrize("to", ["//evil.test/", "https://evil.test/", "/\\evil.test", "", "/a\nb"])
async def test_nobody_is_led_elsewhere(broker: Broker, issuer: Issuer, to: str) -> None:
    """What is no path of this API becomes its first page."""
    async with browser(serving(broker, issuer)) as page:
        assert (await go(page, issuer, to)).headers["location"] == "/"


async def test_an_issuer_that_is_another(broker: Broker, issuer: Issuer) -> None:
    """What it publishes must be its own, and its places on TLS or on loopback."""
    app = serving(broker, issuer)
    issuer.url += "/other"
    async with browser(app) as page:
        answer = await page.get("/session/oidc")
    assert answer.headers["location"] == "/?sign_in=issuer_unavailable"
    assert orjson.dumps(answer.text) == b'""'
