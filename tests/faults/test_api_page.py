"""A real Chromium opens the API's page: it searches, signs in, sends calls, and is accessible.

Without Chromium developers skip this file; in CI its absence is a failure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Page, expect

from rq_broker.api import create_app
from rq_broker.api.server.connections import Connections
from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import Authenticator
from rq_broker.identity.tokens import TokenAuthenticator, create
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.api.server.serving import LIMITS, lifespan_of, running
from tests.faults.test_browser import chromium

AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
GRAVE = ("serious", "critical")
"""Impacts that axe gives to what keeps people from using a page."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
PATIENCE_MS = 60_000.0
"""How long the page may take on a loaded machine."""


class Watched:
    """The API's page in a browser, and what went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.troubles: list[str] = []
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("request", lambda request: self._check(request.url))

    def _note(self, kind: str, text: str) -> None:
        # Chromium itself writes a line for each answer that is a refusal.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.troubles.append(text)

    def _check(self, url: str) -> None:
        if not url.startswith(f"{self.url}/"):
            self.troubles.append(f"a request to {url}")

    async def open(self) -> None:
        await self.page.goto(f"{self.url}/docs/api")

    async def try_it(self, name: str) -> tuple[str, str]:
        """Send a call as it is filled in; returns the status and the answer that are shown."""
        call = self.page.locator(f"#{name}")
        if not await call.locator(".try").evaluate("details => details.open"):
            await call.locator(".try > summary").click()
        await call.get_by_role("button", name="Send").click()
        status = call.locator("output .status")
        await expect(status).not_to_have_text("…")
        await expect(call.locator("output pre")).not_to_be_empty()
        shown = await call.locator("output pre").text_content()
        return await status.inner_text(), shown or ""

    async def violations(self) -> list[tuple[str, Any]]:
        """Return what axe finds that keeps people from using the page."""
        await self.page.evaluate(AXE)
        found = await self.page.evaluate("axe.run()")
        return [
            (each["id"], each["nodes"][0]["html"])
            for each in found["violations"]
            if each["impact"] in GRAVE
        ]


@asynccontextmanager
async def opened(broker: Broker, folder: Path, *by: Authenticator) -> AsyncIterator[Watched]:
    """Serve the API, and open its page."""
    app = create_app(
        broker,
        callback_base="http://127.0.0.1:9/",
        authenticators=by,
        lifespan=lifespan_of(Connections(LIMITS, grace=5)),
    )
    expect.set_options(timeout=PATIENCE_MS)
    async with running(app) as server, chromium(folder) as browser:
        browser.set_default_timeout(PATIENCE_MS)
        watched = Watched(await browser.new_page(), f"http://127.0.0.1:{server.config.port}")
        await watched.open()
        yield watched


async def test_the_page_is_searched_and_sends_calls(tmp_path: Path) -> None:
    """Without access control: the search finds calls and codes, Try it submits a job and shows a
    refusal, nothing is asked of another origin, the console stays empty."""
    broker = Broker(in_memory())
    async with opened(broker, tmp_path) as watched:
        page = watched.page
        await page.keyboard.press("/")
        await page.keyboard.type("explain")
        await expect(page.locator("#found")).to_contain_text("1 calls")
        await expect(page.locator("#explain")).to_be_visible()
        await expect(page.locator("#submit")).to_be_hidden()
        await page.keyboard.press("Escape")
        await expect(page.locator("#submit")).to_be_visible()
        status, answer = await watched.try_it("submit")
        assert (status, '"RequestID": "train-42"' in answer) == ("201 Created", True)
        assert (await broker.read("vm", "train-42")).owner_id == "lab-7"
        status, answer = await watched.try_it("submit")
        assert (status, '"duplicate_request_id"' in answer) == ("409 Conflict", True)
        example = await page.locator("#submit .code pre").first.text_content()
        assert f"{watched.url}/v1/vm" in (example or "")
        assert watched.troubles == []


async def test_the_page_is_accessible(tmp_path: Path) -> None:
    """axe finds nothing grave in light and in dark, all that folds out unfolded; a phone's screen
    scrolls down only."""
    async with opened(Broker(in_memory()), tmp_path) as watched:
        page = watched.page
        # Without the other calls, which the same code writes: axe takes a second for each.
        await page.get_by_role("searchbox").fill("conflict update")
        await page.evaluate(
            "document.querySelectorAll('#update details').forEach(each => each.open = true)"
        )
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            assert await watched.violations() == []
        await page.set_viewport_size({"width": 375, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") == 375


async def test_calls_are_sent_where_somebody_signed_in(tmp_path: Path) -> None:
    """With tokens the page opens without one and sends nothing; a wrong one is refused in words,
    a right one sends calls, and the tab keeps it over a reload."""
    broker = Broker(in_memory())
    await broker.set_policy("vm", {})
    token = (await create(broker, NewToken(Role.ADMIN, name="me"))).secret
    async with opened(broker, tmp_path, TokenAuthenticator(broker.token)) as watched:
        page = watched.page
        await page.locator("#submit .try > summary").click()
        send = page.locator("#submit").get_by_role("button", name="Send")
        await expect(send).to_be_disabled()
        for wrong in (token[:-1], token):
            await page.get_by_label("Token", exact=True).fill(wrong)
            await page.get_by_role("button", name="Sign in").click()
            said = "Signed in" if wrong == token else "letter"
            await expect(page.locator("#who")).to_contain_text(said)
        assert (await watched.try_it("submit"))[0] == "201 Created"
        await page.reload()
        await expect(page.locator("#who")).to_contain_text("Signed in")
        assert (await watched.try_it("read"))[0] == "200 OK"
        assert watched.troubles == []
