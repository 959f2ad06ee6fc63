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


BLIND = """() => {
  const ring = each => getComputedStyle(each).outline + getComputedStyle(each).boxShadow;
  const reached = [...document.querySelectorAll('a, button, input, select, summary, [tabindex]')]
    .filter(each => each.tabIndex >= 0 && !each.disabled && each.checkVisibility());
  const blind = reached.filter(each => {
    document.activeElement.blur();
    const without = ring(each);
    each.focus();
    return ring(each) === without;
  });
  return [reached.length, blind.map(each => each.outerHTML.slice(0, 200))];
}"""
"""How many things Tab reaches, and those that look the same with the focus as without it."""
COLOUR_ALONE = """() => [...document.querySelectorAll('[data-tone]')]
  .filter(each => each.checkVisibility() && !(each.querySelector('.i') && each.textContent.trim()))
  .map(each => each.outerHTML.slice(0, 200))"""
"""What has a colour that means something, and not both an icon and words."""


@pytest.mark.parametrize("view", VIEWS)
async def test_a_view_is_for_everyone(page: Page, lab: str, view: str) -> None:
    """axe finds nothing in light and dark, and on a phone, which scrolls down only; the focus is
    seen wherever Tab leads; no colour speaks alone."""
    await page.goto(f"{lab}/{VIEWS[view]}")
    await expect(page.locator("main h1")).to_be_visible()
    await expect(page.locator(".sk")).to_have_count(0)
    assert await violations(page) == []
    assert await page.evaluate(COLOUR_ALONE) == []
    await page.keyboard.press("Tab")  # what has the focus shows it from now on
    reached, blind = await page.evaluate(BLIND)
    assert reached > 10
    assert blind == []
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # colours do not fade
    assert await violations(page, "color-contrast") == []
    await page.set_viewport_size(PHONE)
    assert await sideways(page) == []
    assert await violations(page) == []
