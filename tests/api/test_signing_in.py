"""Signing in and out: a cookie stands for what its credential proves now, on pages of this API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api.server.connections import Connections
from rq_broker.domain.identity import Identity, Role
from rq_broker.domain.tokens import Rotation
from rq_broker.identity import sessions, tokens
from rq_broker.identity.sessions import SessionRules
from rq_broker.store.broker import Broker
from tests.api.conftest import refused
from tests.api.server.serving import LIMITS, lifespan_of, running
from tests.api.signing_in import OWN_PAGE, browser, serving, sign_in, token_of
from tests.api.tenants import WhoHeader
from tests.making import submit as submit_job
from tests.processes import until
from tests.redis_reads import key_names

SECRET = re.compile(r"session=([\w-]{43})")


@pytest.fixture(autouse=True)
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request ask the store, as it would half a second later."""
    monkeypatch.setattr(sessions, "CACHED_SECONDS", -1.0)
    monkeypatch.setattr(tokens, "CACHED_SECONDS", -1.0)


def secret_in(answer: httpx.Response) -> str:
    found = SECRET.search(answer.headers["set-cookie"])
    assert found
    return found[1]


async def test_a_life_of_a_session(broker: Broker) -> None:
    """A token signs in; the cookie alone does what the token may; signing out ends it for all who
    have the cookie, and each of the changes is in the audit log by the token's name."""
    app, token = serving(broker), await token_of(broker, "operator")
    await broker.set_policy("vm", {})
    async with browser(app) as page, browser(app) as thief:
        refused(await page.get("/types/vm"), 401, "unauthenticated")
        answer = await sign_in(page, token)
        assert (answer.json()["data"]["name"], answer.json()["data"]["role"]) == (
            "token:me",
            "operator",
        )
        secret = secret_in(answer)
        thief.cookies = httpx.Cookies(page.cookies)
        assert (await page.get("/session")).json()["data"]["role"] == "operator"
        changed = await page.patch("/types/vm", json={"paused": True})
        assert changed.is_success
        assert (await thief.get("/types/vm")).is_success
        gone = await page.delete("/session")
        assert gone.is_success
        assert "Max-Age=0" in gone.headers["set-cookie"]
        refused(await thief.get("/types/vm"), 401, "session_ended")
        nobody = (await thief.get("/session")).json()["data"]
        assert (nobody["role"], nobody["sign_in"]) == (None, ["token"])
        stale = {"Cookie": f"rq_broker_session={secret}"}
        refused(await page.get("/types/vm", headers=stale), 401, "session_ended")
    lines = (await broker.audit_log("/"))[0] + (await broker.audit_log("vm"))[0]
    told = {(line.verb, line.who, line.address) for line in lines if line.address}
    assert told == {
        (verb, "token:me", "10.1.1.1") for verb in ("create_session", "end_session", "set_policy")
    }


async def test_what_redis_has_opens_no_session(broker: Broker, client: Redis) -> None:
    """Neither the token nor the cookie is in Redis, nor another credential in the clear."""
    who = WhoHeader(Identity("a guest with a name", Role.VIEWER))
    app, token = serving(broker, who), await token_of(broker, "viewer")
    async with browser(app) as page:
        secrets = [token, secret_in(await sign_in(page, token))]
        answer = await page.post("/session", headers={"X-Who": "a guest with a name"})
        secrets.append(secret_in(answer))
        assert (await page.get("/session")).json()["data"]["name"] == "a guest with a name"
    stored = []
    for name in await key_names(client):
        kind = await client.type(name)
        stored.append(name)
        if kind == "hash" and ":session:" in name:
            stored.append(str(await client.hgetall(name)))
        elif kind == "stream":
            stored.append(str(await client.xrange(name)))
    assert len([name for name in stored if ":session:" in name]) == 1  # the former one has ended
    assert "sealed" in str(stored)
    assert not any(secret in text for text in stored for secret in secrets)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda broker: broker.revoke_token("me"), "token_revoked"),
        (lambda broker: tokens.rotate(broker, "me", Rotation()), "token_revoked"),
        (lambda broker: broker.runner.client.flushall(), "session_ended"),
    ],
)
async def test_a_session_ends_with_its_token(
    broker: Broker, end: Callable[[Broker], Any], code: str
) -> None:
    """What was signed in by a token that is revoked or replaced is refused, and nobody on the page;
    so is all that Redis has forgotten."""
    async with browser(serving(broker)) as page:
        await sign_in(page, await token_of(broker, "viewer"))
        assert (await page.get("/readyz")).status_code == 200
        await end(broker)
        refused(await page.get("/readyz"), 401, code)
        assert (await page.get("/session")).json()["data"]["role"] is None


async def test_sessions_end_by_themselves(broker: Broker, client: Redis) -> None:
    """One that idles is gone from Redis, one that is used goes on, but not beyond its lifetime."""
    app = serving(broker, session_rules=SessionRules(idle=100.0, lifetime=1000.0))
    async with browser(app) as page:
        await sign_in(page, await token_of(broker, "viewer"))
        (name,) = [name for name in await key_names(client) if ":session:" in name]
        assert 90 < await client.ttl(name) <= 100
        await client.pexpire(name, 5000)
        assert (await page.get("/readyz")).status_code == 200  # told once in ten seconds
        assert 90 < await client.ttl(name) <= 100
        await client.hset(name, "ends", 1)
        refused(await page.get("/readyz"), 401, "session_ended")
        assert await client.ttl(name.replace(":session:", ":sessions:").rpartition(":")[0]) == -2
        (listed,) = [name for name in await key_names(client) if ":sessions:" in name]
        assert 990 < await client.ttl(listed) <= 1000


async def test_signing_in_makes_a_new_secret(broker: Broker) -> None:
    """A cookie that somebody planted is not taken over, and the session before is ended."""
    app, token = serving(broker), await token_of(broker, "viewer")
    planted = "A" * 43
    async with browser(app) as page, browser(app) as other:
        page.cookies.set("rq_broker_session", planted)
        first = secret_in(await sign_in(page, token))
        assert first != planted
        page.cookies = httpx.Cookies({"rq_broker_session": first})
        second = secret_in(await sign_in(page, token))
        assert second not in (first, planted)
        for secret, status in ((planted, 401), (first, 401), (second, 200)):
            headers = {"Cookie": f"rq_broker_session={secret}"}
            assert (await other.get("/readyz", headers=headers)).status_code == status
        refused(
            await other.post("/session", headers={"Cookie": f"rq_broker_session={second}"}),
            401,
            "unauthenticated",
        )


@pytest.mark.parametrize(
    ("base", "root", "name", "path"),
    [
        ("http://api.test", "", "rq_broker_session", "/"),
        ("http://api.test", "/rq", "rq_broker_session", "/rq"),
        ("https://api.test", "", "__Host-rq_broker_session", "/"),
        ("https://api.test", "/rq", "__Secure-rq_broker_session", "/rq"),
    ],
)
async def test_the_cookie_is_the_browsers_alone(
    broker: Broker, base: str, root: str, name: str, path: str
) -> None:
    """No script reads it, no other site sends it, over TLS nothing else carries it, and below a
    prefix it goes nowhere else; there it is the session, under no other name."""
    app, token = serving(broker), await token_of(broker, "viewer")
    async with browser(app, base, root=root) as page:
        answer = await sign_in(page, token)
        first, *attributes = answer.headers["set-cookie"].split("; ")
        assert first.startswith(f"{name}=")
        secure = ["Secure"] if base.startswith("https") else []
        assert attributes == [f"Path={path}", "HttpOnly", "SameSite=Strict", *secure]
        assert (await page.get("/session")).json()["data"]["role"] == "viewer"
        page.cookies = httpx.Cookies({"other": secret_in(answer)})
        assert (await page.get("/session")).json()["data"]["role"] is None


FOREIGN = [
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://api.test"},
    {"Origin": "http://api.test:8081"},
    {"Origin": "null"},
    {"Origin": "https://evil.test"},
    {"Origin": "https://named.test"},
]


async def test_the_cookie_counts_for_own_pages_only(broker: Broker) -> None:
    """A browser that asks for another page, on another port of this name too, is told nothing and
    changes nothing by the cookie; a change needs the browser's word that the page is ours."""
    from rq_broker.api.browser_guard import BrowserRules  # noqa: PLC0415 - beside its only use

    rules = BrowserRules.of(None, ["https://named.test"])
    app, token = serving(broker, browsers=rules), await token_of(broker, "operator")
    await broker.set_policy("vm", {})
    async with browser(app) as page:
        await sign_in(page, token)
        del page.headers["Sec-Fetch-Site"]
        for headers in FOREIGN:
            refused(await page.get("/types/vm", headers=headers), 403, "foreign_origin")
            answer = await page.patch("/types/vm", json={"paused": True}, headers=headers)
            refused(answer, 403, "foreign_origin")
            answer = await page.delete("/session", headers=headers)
            refused(answer, 403, "foreign_origin")
        refused(await page.patch("/types/vm", json={"paused": True}), 403, "foreign_origin")
        assert not (await broker.policy("vm")).paused
        own = {"Origin": "http://api.test"}
        assert (await page.get("/types/vm")).is_success
        assert (await page.get("/types/vm", headers={"Sec-Fetch-Site": "none"})).is_success
        assert (await page.patch("/types/vm", json={"paused": True}, headers=own)).is_success
        named = {"Origin": "https://named.test", "Authorization": f"Bearer {token}"}
        assert (await page.get("/types/vm", headers=named)).is_success


async def test_over_tls_a_page_without_it_is_foreign(broker: Broker) -> None:
    """Whoever is on the way and serves http://api.test changes nothing at https://api.test."""
    async with browser(serving(broker), "https://api.test") as page:
        await sign_in(page, await token_of(broker, "operator"))
        del page.headers["Sec-Fetch-Site"]
        answer = await page.delete("/session", headers={"Origin": "http://api.test"})
        refused(answer, 403, "foreign_origin")
        assert (await page.delete("/session", headers={"Origin": "https://api.test"})).is_success


async def test_sign_ins_of_one_address_are_bounded(broker: Broker) -> None:
    """Its 21st attempt within the minute waits, whether the others were refused or not; another
    address, and what is no sign-in, is served."""
    app, token = serving(broker), await token_of(broker, "viewer")
    async with browser(app) as page, browser(app, address="10.1.1.2") as other:
        for attempt in range(20):
            answer = await sign_in(page, token if attempt % 2 else "rqb_wrong")
            assert answer.status_code == (200 if attempt % 2 else 401)
        answer = await sign_in(page, token)
        refused(answer, 429, "rate_limited", "too many sign-ins")
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert (await page.get("/session")).json()["data"]["role"] == "viewer"
        assert (await sign_in(other, token)).is_success


async def test_without_access_control_there_is_nothing_to_sign_in_to(broker: Broker) -> None:
    """The answer is who asks, without a cookie."""
    from rq_broker.api import create_app  # noqa: PLC0415 - beside its only use

    async with browser(create_app(broker)) as page:
        answer = await page.post("/session")
        assert answer.json()["data"]["name"] == "anyone"
        assert "set-cookie" not in answer.headers
        assert (await page.delete("/session")).is_success


async def test_a_stream_ends_with_the_session(broker: Broker) -> None:
    """Whoever has signed out reads no event any more in a stream that was open before."""
    token = await token_of(broker, "viewer")
    app = serving(broker, lifespan=lifespan_of(Connections(LIMITS, grace=1)))
    await broker.set_policy("vm", {})
    lines: list[str] = []

    async def is_told() -> bool:
        return "before" in "".join(lines)

    async with running(app) as server:
        url = f"http://127.0.0.1:{server.config.port}"
        page = httpx.AsyncClient(base_url=url, headers=OWN_PAGE, timeout=30)
        await sign_in(page, token)
        async with page.stream("GET", "/types/vm/events") as stream:
            reading = asyncio.create_task(read_into(lines, stream))
            await submit_job(broker, "before")
            await until(is_told, "the first event")
            assert (await page.delete("/session")).is_success
            await submit_job(broker, "after")
            await asyncio.wait_for(reading, 30)
        await page.aclose()
        broker.events.close()
    assert "after" not in "".join(lines)


async def read_into(lines: list[str], stream: httpx.Response) -> None:
    """Read a stream to its end."""
    async for text in stream.aiter_text():
        lines.append(text)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer bad", "token_malformed"),
        ("Bearer ", "token_malformed"),
        ("Basic bTpw", "unauthenticated"),
        ("rqb_x", "unauthenticated"),
    ],
)
async def test_a_header_that_proves_nothing_goes_before_a_cookie(
    broker: Broker, header: str, code: str
) -> None:
    """Whoever sends the header is not taken for whom the cookie proves, and is told what is wrong
    with it, with the cookie and without."""
    app, token = serving(broker), await token_of(broker, "operator")
    async with browser(app) as page, browser(app) as stranger:
        await sign_in(page, token)
        for client in (page, stranger):
            answer = await client.get("/v1/vm/", headers={"Authorization": header})
            refused(answer, 401, code)
        assert (await page.get("/v1/vm/")).status_code == 200


async def test_a_bearer_without_the_mark_leaves_other_credentials(broker: Broker) -> None:
    """A credential in a header of its own is proven, whatever else is in Authorization."""
    app = serving(broker, WhoHeader(Identity("op", Role.OPERATOR)))
    async with browser(app) as page:
        headers = {"Authorization": "Bearer bad", "X-Who": "op"}
        assert (await page.get("/v1/vm/", headers=headers)).status_code == 200
