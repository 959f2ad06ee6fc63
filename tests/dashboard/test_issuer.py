"""Signing in at an issuer that others wrote and that is certified, by its own pages."""

from __future__ import annotations

import asyncio
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from rq_broker.identity.jwt import JwtAuthenticator
from rq_broker.identity.jwt_claims import ClaimReader
from rq_broker.identity.jwt_keys import IssuerKeys
from rq_broker.identity.oidc import OidcClient, OidcSignIn
from rq_broker.identity.sessions import SessionRules
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import free_port
from tests.api.server.serving import running
from tests.dashboard.conftest import Watch, app_of, context

PROGRAM = Path(__file__).with_name("issuer.mjs")
FOLDER = Path(sys.prefix, "servers/issuer")

pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and (FOLDER / "node_modules").exists()),
    reason="the issuer is not installed: scripts/install.sh issuer, with Node on PATH",
)


@asynccontextmanager
async def issuing(port: int, redirect: str) -> AsyncIterator[None]:
    """Run the issuer."""
    command = ("node", str(PROGRAM), str(port), redirect)
    process = await asyncio.create_subprocess_exec(
        *command, cwd=FOLDER, stdout=PIPE, stderr=DEVNULL
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"listening\n"
        yield
    finally:
        process.kill()
        await process.communicate()


async def test_a_person_signs_in_at_a_certified_issuer(
    broker: Broker, browser: Browser, watch: list[Watch]
) -> None:
    """The button leads to the issuer's own pages, and these back to where it was pressed, signed in
    with the role that the issuer names."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    claims = ClaimReader(
        issuer=url, audience="rq-broker", owner="sub", role="roles", roles=("ops=operator",)
    )
    authenticator = JwtAuthenticator(IssuerKeys(f"{url}/jwks"), claims)
    client = OidcClient(url, "rq-broker", "secret", "openid roles")
    rules = SessionRules(issuer=OidcSignIn(client, authenticator))
    await broker.set_policy("vm", {"patience": 300})
    app = app_of(broker, authenticators=[authenticator], session_rules=rules)
    async with running(app) as server, context(browser, watch) as opened:
        base = f"http://127.0.0.1:{server.config.port}"
        watch[0].allow(url, "fonts.googleapis.com")  # what the issuer's pages load
        async with issuing(port, f"{base}/session/oidc/callback"):
            page = await opened.new_page()
            await page.goto(f"{base}/line/vm?find=d")
            await page.get_by_role("link", name="Single sign-on").click()
            await page.locator("input[name=login]").fill("yang")
            await page.locator("input[name=password]").fill("any")
            await page.locator("button[type=submit]").click()
            await page.get_by_role("button", name="Continue").click()
            await expect(page).to_have_url(f"{base}/line/vm?find=d")
            await expect(page.get_by_role("heading", name="vm")).to_be_visible()
            await expect(page.get_by_label("Signed in as jwt:yang")).to_be_visible()
            await expect(page.get_by_role("button", name="Pause grants")).to_be_visible()
        broker.events.close()
