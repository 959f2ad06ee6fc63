"""Takes a picture of every view of the dashboard: light, dark, on a phone, in Chinese.

Views are VIEWS and the STATES of showing/states.py, on the scene of showing/scene.py: a store in
memory whose clock has gone some hours. Without names, all are pictured in all modes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import httpx
from playwright.async_api import Browser, Error, Page, ViewportSize, expect
from showing import history, scene
from showing.serving import chromium, has_chinese_font, served
from showing.states import STATES, State, happen
from showing.steering import steer

from rq_broker.domain.identity import Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory

VIEWS = {
    "overview": State("", after=happen, is_whole=True),
    "line": State(f"line/{scene.VM}"),
    "line-cjk": State(f"line/{quote(scene.CJK)}"),
    "line-empty": State(f"line/{scene.BENCH}"),
    "hosts": State(f"hosts/{scene.VM}"),
    "hosts-gpu": State(f"hosts/{scene.GPU}"),
    "job-waiting": State(f"job/{scene.VM}/fold-batch-7731"),
    "job-hostile": State(f"job/{scene.VM}/{quote(scene.HOSTILE, safe='')}"),
    "job-running": State(f"job/{scene.VM}/train-001"),
    "job-none": State(f"job/{scene.VM}/no-such-job"),
    "callbacks": State(f"callbacks/{scene.VM}"),
    "reports": State(f"reports/{scene.VM}"),
    "audit": State(f"audit/{scene.VM}"),
    "policy": State(f"policy/{scene.VM}"),
    "docs": State("docs"),
    "docs-api": State("docs/api"),
    "docs-page": State("docs/operating"),
    **STATES,
}
MODES: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True},
    "zh-Hant": {"locale": "zh-TW"},
}
_WIDE: ViewportSize = {"width": 1440, "height": 900}
_SPAN = 3 * 3600
"""Seconds that the scene takes, and some that have passed since."""
_SETTLE_MS = 1_000
"""What a view takes to draw what it reads after it has come up."""
_TALLEST = 2_600
"""Pixels of a page that are pictured at most."""
_COMING = re.compile("being computed|計算中|正在計算")
_SLOW_MS = 60_000
"""What its first forecasts may take on a loaded machine."""


class Clock:
    """A clock that the scene sets forward, so that it is made within hours of a second."""

    def __init__(self, back: float) -> None:
        self._real = time.time
        self._offset = -back

    def __call__(self) -> float:
        return self._real() + self._offset

    def forward(self, seconds: float) -> None:
        self._offset = min(0.0, self._offset + seconds)


async def take(
    browser: Browser, urls: dict[str, str], folder: Path, mode: str, names: list[str]
) -> int:
    """Take the pictures of one mode, each in a context of its own: a state may change it.

    Returns how many could be taken.
    """
    taken = 0
    options = {"viewport": _WIDE, "locale": "en", "timezone_id": "Asia/Taipei", **MODES[mode]}
    for name in names:
        context = await browser.new_context(**options)
        page = await context.new_page()
        try:
            await _take(page, VIEWS[name], urls, folder / f"{name}.{mode}.png")
            taken += 1
        except (Error, AssertionError) as error:  # the others are worth having
            print(f"{name} {mode}: {error}")
        await page.unroute_all(behavior="ignoreErrors")
        await context.close()
    return taken


async def _take(page: Page, state: State, urls: dict[str, str], path: Path) -> None:
    page.on("pageerror", lambda error: print(f"{path.stem}: error: {error}"))
    if state.before:
        await state.before(page)
    await page.goto(f"{urls[state.at]}/{state.path}")
    await _settled(page, state)
    if state.after:
        await state.after(page)
    if state.is_whole or not state.after:  # all of the page, as a very tall window shows it
        height = await page.evaluate("document.documentElement.scrollHeight")
        size = page.viewport_size or _WIDE
        await page.set_viewport_size({"width": size["width"], "height": min(_TALLEST, height)})
    await page.wait_for_timeout(_SETTLE_MS)
    await page.screenshot(path=path)


async def _settled(page: Page, state: State) -> None:
    await page.locator("main h1, main .empty, main .note").first.wait_for()
    await page.wait_for_timeout(_SETTLE_MS)
    if not state.is_loading:
        await expect(page.locator(".sk")).to_have_count(0, timeout=_SLOW_MS)
        with suppress(AssertionError):  # then it is pictured as it is
            await expect(page.get_by_text(_COMING)).to_have_count(0, timeout=_SLOW_MS)


@asynccontextmanager
async def _others() -> AsyncIterator[dict[str, str]]:
    """Serve the brokers of states that are not the scene's; yields name → URL."""
    async with AsyncExitStack() as stack:
        brokers = {name: Broker(in_memory()) for name in ("new", "bare", "guarded")}
        await brokers["new"].set_policy("new", {"patience": 300})
        await tokens.create(brokers["guarded"], NewToken(Role.ADMIN, "admin"))
        guards = {"guarded": [TokenAuthenticator(brokers["guarded"].token)]}
        yield {
            name: await stack.enter_async_context(served(broker, guards.get(name, ())))
            for name, broker in brokers.items()
        }


async def _forecast(url: str) -> None:
    """Wait until the first forecast of the long line is made."""
    async with httpx.AsyncClient(base_url=url, timeout=_SLOW_MS / 1000) as api:
        while True:
            answer = await api.get(f"/v1/{scene.VM}/", params={"status": "queued", "eta": 1})
            etas = [job.get("ETA") or {} for job in answer.json()["data"]]
            if any(eta.get("p50") is not None for eta in etas):
                return
            await asyncio.sleep(0.5)


async def main(folder: Path, modes: list[str], names: list[str]) -> bool:
    """Take all pictures into a folder; returns whether none is missing."""
    if not has_chinese_font():
        print("no Chinese font is installed (apt-get install fonts-noto-cjk): expect boxes")
    broker, clock = Broker(in_memory()), Clock(back=_SPAN)
    # The broker's monotonic clock goes with it: else holds would not age by what is set forward.
    # Forecasts may follow each other sooner: nobody but these pages asks.
    with (
        patch("time.time", clock),
        patch("rq_broker.store.type_clock._own_clock", clock),
        patch("rq_broker.admission.forecaster.PAUSE_FACTOR", 1.0),
    ):
        await scene.fill(broker, waiting=60, forward=clock.forward)
        clock.forward(_SPAN)
        for type_ in (scene.VM, scene.GPU):
            await history.add_history(broker, type_)
        await steer(broker, scene.VM)
        while await scene.grant(broker, scene.VM):
            await scene.settle_due(broker, scene.VM)
        async with (
            scene.notifier(broker),
            served(broker) as url,
            _others() as urls,
            chromium() as browser,
        ):
            urls["lab"] = url
            await _forecast(url)
            taken = await asyncio.gather(
                *(take(browser, urls, folder, mode, names) for mode in modes)
            )
    wanted = len(names) * len(modes)
    print(f"{sum(taken)} of {wanted} pictures are in {folder}")
    return sum(taken) == wanted


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("folder", type=Path)
    # Where none is named argparse looks for the empty list among the choices.
    choices = [[], *VIEWS, *MODES]
    words.add_argument("chosen", nargs="*", metavar="view|mode", choices=choices)
    asked = words.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)  # of the clock that is set forward
    modes = [mode for mode in MODES if mode in asked.chosen] or list(MODES)
    views = [view for view in VIEWS if view in asked.chosen] or list(VIEWS)
    sys.exit(not asyncio.run(main(asked.folder, modes, views)))
