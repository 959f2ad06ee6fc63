"""Every view, as everybody can use it: accessible, in both themes and on a phone."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect
from showing import scene

from tests.dashboard.conftest import PHONE, sideways, violations

VIEWS = {
    "overview": "",
    "line": "line/vm",
    "line cjk": f"line/{quote(scene.CJK)}",
    "line paused": f"line/{scene.BENCH}",
    "hosts": "hosts/vm",
    "job": f"job/vm/{quote(scene.HOSTILE, safe='')}",
    "job running": "job/vm/train-001",
    "callbacks": "callbacks/vm",
    "reports": "reports/vm",
    "audit": "audit/vm",
    "policy": "policy/vm",
}


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_is_for_everyone(page: Page, lab: str, view: str) -> None:
    """axe finds nothing in light and dark, and a phone scrolls down only."""
    await page.goto(f"{lab}/{VIEWS[view]}")
    await expect(page.locator("main h1")).to_be_visible()
    await expect(page.locator(".sk")).to_have_count(0)
    assert await violations(page) == []
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # colours do not fade
    assert await violations(page, "color-contrast") == []
    await page.set_viewport_size(PHONE)
    assert await sideways(page) == []
