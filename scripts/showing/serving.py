"""Serves the scene on loopback and opens Chromium on it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright
from standins.applications import serving, url_of

from rq_broker.api import create_app
from rq_broker.identity import Authenticator
from rq_broker.store.broker import Broker

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]


@asynccontextmanager
async def served(
    broker: Broker, authenticators: Sequence[Authenticator] = ()
) -> AsyncIterator[str]:
    """Serve the API of a broker in this process; yields its URL."""
    app = create_app(broker, callback_base="http://127.0.0.1:9/", authenticators=authenticators)
    async with serving(app, lifespan="off", timeout_graceful_shutdown=1) as server:
        yield url_of(server)
        broker.events.close()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the Chromium that is installed."""
    program = shutil.which("chromium")
    if not program:
        sys.exit("there is no chromium on PATH: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        await browser.close()


def has_chinese_font() -> bool:
    """Tell whether Chinese is drawn as more than boxes."""
    listed = subprocess.run(["fc-list", ":lang=zh-tw"], capture_output=True, check=False)
    return bool(listed.stdout.strip())
