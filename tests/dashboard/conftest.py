"""A real Chromium, one for all tests of a process, and pages whose troubles fail their test.

The tests of this folder and their fixtures run in one event loop, since the browser does. Without
Chromium developers skip them; in CI its absence is a failure.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Route,
    ViewportSize,
    async_playwright,
    expect,
)
from showing import scene
from standins.applications import url_of
from starlette.types import ASGIApp

import rq_broker.api
from rq_broker.api import create_app
from rq_broker.api.server.connections import Connections
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.api.server.serving import LIMITS, lifespan_of, running

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000.0
"""How long the page may take to show what a test waits for, on a loaded machine."""
AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
PHONE: ViewportSize = {"width": 375, "height": 812}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the browser's loop; skip them where there is no browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            if iscoroutinefunction(getattr(item, "obj", None)):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if not CHROMIUM and os.environ.get("CI") != "true":
                item.add_marker(pytest.mark.skip("no chromium on PATH: apt-get install chromium"))


@pytest.fixture(scope="session")
def _patient() -> Iterator[None]:
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(_patient: None) -> AsyncIterator[Browser]:
    """Start the browser."""
    assert CHROMIUM, "CI installs chromium, and it is not there"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        await browser.close()


class Watch:
    """What goes wrong in the pages of a context: a test fails on it unless it `allows` it."""

    def __init__(self, context: BrowserContext) -> None:
        self.troubles: list[str] = []
        self._context = context
        self._allowed = ["status of 503"]  # so an API on a loaded machine; the page asks again
        self.origin = ""
        """Scheme, host and port of what is opened; every request must go there."""
        context.on("weberror", lambda error: self._note(f"error: {error.error}"))
        context.on("console", lambda line: self._log(line.type, f"{line.text} {line.location}"))
        context.on("request", lambda request: self._check(request.url))

    def allow(self, *texts: str) -> None:
        """Allow troubles that hold one of these texts, as those that the test makes itself."""
        self._allowed += texts

    async def close(self) -> None:
        """Close the pages; a call that a test's own answer still makes for them is no trouble."""
        if self in OPEN:
            OPEN.remove(self)
            for page in self._context.pages:
                await page.unroute_all(behavior="ignoreErrors")
            await self._context.close()

    def none(self) -> None:
        """Fail if there was trouble."""
        troubles = [
            trouble
            for trouble in self.troubles
            if not any(allowed in trouble for allowed in self._allowed)
        ]
        assert not troubles, "\n".join(troubles)

    def _note(self, trouble: str) -> None:
        self.troubles.append(trouble)

    def _log(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "assert"):  # violations of the CSP are errors
            self._note(f"console: {text}")

    def _check(self, url: str) -> None:
        self.origin = self.origin or "/".join(url.split("/", 3)[:3])
        if not url.startswith((f"{self.origin}/", "data:", "blob:")):
            self._note(f"request to another origin: {url}")


OPEN: list[Watch] = []
"""What watches the contexts that are open now."""


@pytest.fixture
def watch() -> list[Watch]:
    """Return what watches the pages that a test opened, one for each context."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, watch: list[Watch]) -> AsyncIterator[Page]:
    """Open a page of its own; at the end, no trouble in it may have gone unsaid."""
    async with context(browser, watch) as opened:
        yield await opened.new_page()


@asynccontextmanager
async def context(
    browser: Browser, watches: list[Watch], **options: Any
) -> AsyncIterator[BrowserContext]:
    """Open a browser context, as a second person has one; its troubles fail the test."""
    options = {"locale": "en", "timezone_id": "Asia/Taipei", **options}
    opened = await browser.new_context(**options)
    opened.set_default_timeout(PATIENCE_MS)
    watches.append(Watch(opened))
    watch = watches[-1]
    OPEN.append(watch)
    try:
        yield opened
    finally:
        await watch.close()
    watch.none()


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on loopback in this process; yields its URL.

    Before it ends, the pages that were opened from it are closed: they would ask, and find nobody.
    """
    async with running(app) as server:
        url = url_of(server)
        yield url
        for watch in [each for each in OPEN if each.origin == url]:
            await watch.close()


def app_of(broker: Broker, **options: Any) -> ASGIApp:
    """Build the API of a broker, with the options of `create_app`."""
    lifespan = lifespan_of(Connections(LIMITS, grace=1))
    return create_app(broker, callback_base="http://127.0.0.1:9/", lifespan=lifespan, **options)


@pytest_asyncio.fixture(loop_scope="session")
async def broker() -> AsyncIterator[Broker]:
    """Return an empty broker of this test."""
    client = in_memory()
    yield Broker(client)
    await client.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def url(broker: Broker) -> AsyncIterator[str]:
    """Serve the API of this test's broker."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(served(app_of(broker)))
        broker.events.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab() -> AsyncIterator[str]:
    """Serve the realistic scene, for tests that only look; yields its URL."""
    client = in_memory()
    broker = Broker(client)
    await scene.fill(broker)
    async with scene.notifier(broker), served(app_of(broker)) as url:
        yield url
        broker.events.close()
    await client.aclose()


FOLDER = Path(rq_broker.api.__file__).with_name("dashboard")


async def module(route: Route) -> None:
    """Answer a module as it is written: the page loads all of them as one."""
    path = FOLDER / route.request.url.partition("/modules/")[2]
    await route.fulfill(body=path.read_text(), content_type="text/javascript")


WIDER = """limit => [...document.querySelectorAll('body *')].filter(each => {
  const box = each.getBoundingClientRect();
  return box.width && box.right > limit + 0.5 && !each.closest('dialog:not([open])');
}).slice(0, 5).map(each => each.cloneNode().outerHTML ?? each.tagName)"""


async def sideways(page: Page) -> list[str]:
    """Return what makes a page scroll sideways; nothing where it does not."""
    width = await page.evaluate("innerWidth")
    if await page.evaluate("document.documentElement.scrollWidth") <= width:
        return []
    wide: list[str] = await page.evaluate(WIDER, width)
    return wide


CUT = """dialog => [...dialog.querySelectorAll('*')].filter(each => {
  const [box, within] = [each.getBoundingClientRect(), dialog.getBoundingClientRect()];
  return box.width && (box.right > within.right + 0.5 || box.left < within.left - 0.5);
}).map(each => each.cloneNode().outerHTML)"""


async def cut(dialog: Locator) -> list[str]:
    """Return what of a dialog is drawn beyond its edges, where nobody sees it."""
    await dialog.page.wait_for_timeout(300)  # it may still slide in
    beyond: list[str] = await dialog.evaluate(CUT)
    return beyond


async def violations(page: Page, *rules: str) -> list[tuple[str, str, str]]:
    """Return what axe finds wrong: the rule, what it asks for, the first element; by all rules
    unless some are named."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    options = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = await page.evaluate("options => axe.run(options)", options)
    return [(each["id"], each["help"], each["nodes"][0]["html"]) for each in found["violations"]]
