"""Takes a picture of every view of the dashboard: light, dark, on a phone, in Chinese.

    scripts/screenshots.py FOLDER [VIEW …]

What is pictured is the scene of showing/scene.py, on a store in memory whose clock has gone some
hours, so that waits and ages look like those of a day.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from playwright.async_api import Browser, Page, expect
from showing import history, scene
from showing.serving import chromium, has_chinese_font, served

from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory

VIEWS = {
    "overview": "",
    "line": f"line/{scene.VM}",
    "line-cjk": f"line/{quote(scene.CJK)}",
    "line-empty": f"line/{scene.BENCH}",
    "hosts": f"hosts/{scene.VM}",
    "hosts-gpu": f"hosts/{scene.GPU}",
    "job-waiting": f"job/{scene.VM}/fold-batch-7731",
    "job-hostile": f"job/{scene.VM}/{quote(scene.HOSTILE, safe='')}",
    "job-running": f"job/{scene.VM}/train-001",
    "job-none": f"job/{scene.VM}/no-such-job",
    "callbacks": f"callbacks/{scene.VM}",
    "reports": f"reports/{scene.VM}",
    "audit": f"audit/{scene.VM}",
    "policy": f"policy/{scene.VM}",
}
MODES: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True},
    "zh-Hant": {"locale": "zh-TW"},
}
_WIDE = {"width": 1440, "height": 900}
_SETTLE_MS = 1_500
"""What a view takes to draw what it reads after it has come up."""
_SLOW_MS = 20_000
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


async def take(browser: Browser, url: str, folder: Path, mode: str, names: list[str]) -> None:
    """Take the pictures of one mode."""
    options = {"viewport": _WIDE, "locale": "en", "timezone_id": "Asia/Taipei", **MODES[mode]}
    context = await browser.new_context(**options)
    page = await context.new_page()
    page.on("console", lambda line: print(f"{mode}: console: {line.text}"))
    page.on("pageerror", lambda error: print(f"{mode}: error: {error}"))
    for name in names:
        await page.goto(f"{url}/{VIEWS[name]}")
        await _settled(page)
        await page.screenshot(path=folder / f"{name}.{mode}.png")
    await context.close()


async def _settled(page: Page) -> None:
    await page.locator("main h1, main .empty, main .note").first.wait_for()
    await page.wait_for_timeout(_SETTLE_MS)
    await expect(page.locator(".sk")).to_have_count(0, timeout=_SLOW_MS)


async def main(folder: Path, names: list[str]) -> None:
    """Take all pictures into a folder."""
    if not has_chinese_font():
        print("no Chinese font is installed (apt-get install fonts-noto-cjk): expect boxes")
    broker, clock = Broker(in_memory()), Clock(back=3 * 3600)
    with patch("time.time", clock):
        await scene.fill(broker, waiting=60, forward=clock.forward)
        clock.forward(3 * 3600)
        for type_ in (scene.VM, scene.GPU):
            await history.add_history(broker, type_)
        async with scene.notifier(broker), served(broker) as url, chromium() as browser:
            for mode in MODES:
                await take(browser, url, folder, mode, names)
    print(f"{len(names) * len(MODES)} pictures are in {folder}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)  # of the clock that is set forward
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:] or list(VIEWS)))
