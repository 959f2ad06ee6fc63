"""What stands around every view: keys, themes, languages, colours, paths below a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Browser, Page, Route, expect
from showing import scene
from starlette.applications import Starlette
from starlette.routing import Mount

import rq_broker.api
from rq_broker.api.server.connections import Connections
from rq_broker.store.broker import Broker
from tests.api.server.serving import LIMITS, lifespan_of
from tests.dashboard.conftest import (
    PHONE,
    Watch,
    app_of,
    context,
    module,
    served,
    sideways,
    violations,
)

FOLDER = Path(rq_broker.api.__file__).with_name("dashboard")
CODE = "\n".join(
    path.read_text() for path in FOLDER.glob("js/**/*.js") if "texts" not in path.as_posix()
)
"""All that may name a text."""
TEXTS = "async () => (await import('/modules/js/texts.js')).LANGUAGES"
COUNTED = re.compile(
    r"\{n\} (?:more |other |such )?(?:jobs|hosts|types|attempts|alternatives|changes|times|filters"
    r"|receivers|failures)\b"
)
"""A number of things, as English says it of several."""
TOKENS = (FOLDER / "css" / "tokens.css").read_text()


async def test_keys_lead_everywhere(page: Page, lab: str) -> None:
    """g and a letter goes to a view, / to the filter, ? lists the keys, which is accessible and can
    switch letters off; in a field letters are letters; each focus is seen."""
    await page.goto(f"{lab}/line/vm")
    await expect(page.locator("main h1")).to_be_visible()
    for letter, path in {
        "h": "/hosts/vm",
        "c": "/callbacks/vm",
        "p": "/policy/vm",
        "o": "/",
    }.items():
        await page.keyboard.press("g")
        await page.keyboard.press(letter)
        await expect(page).to_have_url(f"{lab}{path}")
        await page.go_back() if letter == "o" else None
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert await violations(page) == []
    await page.get_by_label("Single letters are keys").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.evaluate("localStorage.clear()")
    await page.goto(f"{lab}/hosts/vm")
    await expect(page.locator("main .find input")).to_be_visible()
    await page.keyboard.press("/")
    await expect(page.locator("main .find input")).to_be_focused()
    await page.keyboard.type("gl?")
    await expect(page).to_have_url(re.compile("/hosts/vm"))
    await page.keyboard.press("Control+k")
    await expect(page.locator(".top .find input")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert await page.evaluate(outline) != "none"


async def test_theme_and_language_are_kept(browser: Browser, watch: list[Watch], lab: str) -> None:
    """The theme and the language are the browser's until somebody switches; a switch is kept over a
    reload."""
    async with context(browser, watch, locale="zh-TW", color_scheme="dark") as opened:
        page = await opened.new_page()
        await page.goto(f"{lab}/")
        await expect(page.locator("main h1")).to_have_text("總覽")
        await expect(page.locator(".needs li").first).to_contain_text("vm：")
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.get_by_role("button", name="切換主題").click()
        await page.get_by_role("button", name="English").click()
        await page.reload()
        await expect(page.locator("main h1")).to_have_text("Overview")
        assert await page.locator("html").get_attribute("lang") == "en"
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


async def test_times_are_of_the_viewers_zone(
    browser: Browser, watch: list[Watch], lab: str
) -> None:
    """A time is that of the clock on the viewer's wall, also in the hour after midnight; the whole
    instant with its zone is its title."""
    hour = datetime.now(UTC).hour
    zone = f"Etc/GMT{hour:+}" if hour <= 12 else f"Etc/GMT{hour - 24:+}"  # it is 00:… there
    async with context(browser, watch, timezone_id=zone) as opened:
        page = await opened.new_page()
        await page.goto(f"{lab}/job/vm/train-001")
        times = page.locator(".tl time[datetime]")
        await expect(times.first).to_be_visible()
        for time in await times.all():
            instant = await time.get_attribute("datetime")
            assert instant
            local = datetime.fromisoformat(instant).astimezone(ZoneInfo(zone))
            await expect(time).to_contain_text(f"{local:%H:%M}")
            assert f"{local.day}" in (await time.get_attribute("title") or "")
            assert "GMT" in (await time.get_attribute("title") or "")


async def _unanswered(_route: Route) -> None:
    """Let a call wait for its answer for good."""


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
async def test_nothing_moves_for_who_asks_for_less(
    browser: Browser, watch: list[Watch], lab: str, motion: str
) -> None:
    """With reduced motion, what loads, a dialog and a button that is pointed at are not animated;
    without it they are."""
    async with context(browser, watch, reduced_motion=motion) as opened:
        page = await opened.new_page()
        await page.route(lambda url: "/v1/" in url and "from=" in url, _unanswered)
        await page.goto(f"{lab}/line/vm")
        await expect(page.locator(".sk").first).to_be_visible()
        await page.locator(".page-h .btn").hover()
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        moves = await page.evaluate("document.getAnimations().map(each => each.animationName)")
        assert bool(moves) == (motion == "no-preference"), moves


@pytest.mark.parametrize("root", ["/queue", "/a/b"])
async def test_below_a_path(page: Page, broker: Broker, root: str) -> None:
    """Mounted in another application, the page, its files, calls and events work below its path: a
    deep link, a reload, a link to another view, and what happens elsewhere."""
    await scene.submit(broker, "vm", "first", "y", [{"VCPU": 8}])
    lifespan = lifespan_of(Connections(LIMITS, grace=1))
    other = Starlette(routes=[Mount(root, app=app_of(broker))], lifespan=lifespan)
    async with served(other) as origin:
        await page.goto(f"{origin}{root}/line/vm")
        await expect(page.get_by_role("link", name="first")).to_be_visible()
        await scene.submit(broker, "vm", "second", "y", [{"VCPU": 8}])
        await expect(page.get_by_role("link", name="second")).to_be_visible()
        await page.get_by_role("link", name="first").click()
        await expect(page).to_have_url(f"{origin}{root}/job/vm/first")
        await page.reload()
        await expect(page.locator("main h1")).to_have_text("first")
        await page.get_by_role("link", name="Overview").first.click()
        await expect(page).to_have_url(f"{origin}{root}/")
        await page.go_back()
        await expect(page.locator("main h1")).to_have_text("first")
        broker.events.close()


async def test_a_page_is_closed_before_its_server_ends(page: Page, broker: Broker) -> None:
    """These tests close a page first: what it still asks for would be refused, a trouble of it."""
    async with served(app_of(broker)) as url:
        await page.goto(f"{url}/")
        await expect(page.locator("main h1")).to_have_text("Overview")
        broker.events.close()
    assert page.is_closed()


async def test_a_phone_reaches_every_view(page: Page, lab: str) -> None:
    """The bar of a phone leads to four views of the type shown last, "More" to the others."""
    await page.set_viewport_size(PHONE)
    await page.goto(f"{lab}/line/gpu")
    bar = page.get_by_role("navigation", name="Views", exact=True)
    await bar.get_by_role("link", name="Overview").click()
    for view in ("Hosts", "Callbacks", "Line"):
        await bar.get_by_role("link", name=view).click()
        await expect(page).to_have_url(f"{lab}/{view.lower()}/gpu")
    more = bar.get_by_role("button", name="More")
    for view in ("Reports", "Audit", "Policy"):
        await more.click()
        await bar.get_by_role("link", name=view).click()
        await expect(page).to_have_url(f"{lab}/{view.lower()}/gpu")
        await expect(bar.get_by_role("link", name=view)).to_be_hidden()
    await more.click()
    await expect(bar.get_by_role("button", name="繁體中文")).to_be_visible()
    assert await violations(page) == []
    assert await sideways(page) == []


ELLIPSES = """() => [...document.querySelectorAll('.crumbs .clip')]
  .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""
"""The crumbs of which a part is cut."""


@pytest.mark.parametrize("path", ["line/vm", "hosts/vm", f"line/{quote(scene.CJK)}"])
async def test_a_phone_has_whole_crumbs(page: Page, lab: str, path: str) -> None:
    """Words that have room in the bar of a phone are not cut, in both languages."""
    await page.set_viewport_size(PHONE)
    await page.goto(f"{lab}/{path}")
    for heading in ("Overview", "總覽"):
        await expect(page.locator(".crumbs")).to_contain_text(heading)
        assert await page.evaluate(ELLIPSES) == []
        await page.evaluate("localStorage.setItem('language', 'zh-Hant')")
        await page.reload()


async def test_a_phone_finds_jobs_from_everywhere(page: Page, lab: str) -> None:
    """Where the field has no room, a button leads to one that finds jobs."""
    await page.set_viewport_size(PHONE)
    await page.goto(f"{lab}/hosts/vm")
    button = page.get_by_role("button", name="Find a job or owner")
    await button.click()
    await expect(page).to_have_url(f"{lab}/line/vm")
    for path in ("line/vm", ""):
        await page.goto(f"{lab}/{path}")
        await expect(page.locator("main .find input")).to_be_visible()
        await button.click()
        await expect(page.locator("main .find input")).to_be_focused()
    assert await sideways(page) == []


async def test_both_languages_have_every_text(page: Page, lab: str) -> None:
    """No text is missing in a language, none is left unused, all have the same values."""
    await page.route("**/modules/**", module)
    await page.goto(f"{lab}/")
    tables: dict[str, dict[str, str]] = await page.evaluate(TEXTS)
    english, chinese = tables["en"], tables["zh-Hant"]
    assert english.keys() == chinese.keys()
    prefixes = {part for part in re.findall(r"`([\w.]+\.)\$\{", CODE) if part}
    unused = [
        name
        for name in english
        if f'"{name.removesuffix(".one")}"' not in CODE
        and name != "copied"  # of the next copy button
        and not any(name.startswith(prefix) for prefix in prefixes)
    ]
    assert unused == [], f"nothing shows {unused}"
    for name, text in english.items():
        if not name.endswith(".one"):
            values = set(re.findall(r"\{(\w+)\}", text))
            assert values == set(re.findall(r"\{(\w+)\}", chinese[name])), name


async def test_one_is_said_as_one(page: Page, lab: str) -> None:
    """Where English counts things, one of them has a text of its own."""
    await page.route("**/modules/**", module)
    await page.goto(f"{lab}/")
    english: dict[str, str] = (await page.evaluate(TEXTS))["en"]
    counted = [name for name, text in english.items() if COUNTED.search(text)]
    assert "hosts.drain.hint" in counted
    assert [name for name in counted if f"{name}.one" not in english] == []


SPANS = [
    ((30, 40), "under 1 min", "不到 1 分"),
    ((30, 1200), "under 1 min – 20 min", "不到 1 分 – 20 分"),
    ((2100, 3000), "35 – 50 min", "35 – 50 分"),
    ((1800, 1830), "about 30 min", "約 30 分"),
    ((2100, 4200), "35 min – 1 h 10", "35 分 – 1 時 10 分"),
    ((3600, 7200), "1 – 2 h", "1 – 2 時"),
    ((7200, 9000), "2 h – 2 h 30", "2 時 – 2 時 30 分"),
    ((72000, 90000), "20 h – 1 d 1 h", "20 時 – 1 天 1 時"),
    ((12000, None), "3 h 20 or later", "3 時 20 分以後"),
]
"""p50 and p90 of a forecast in seconds, and how a person reads them."""


async def test_a_forecast_has_its_unit_once(page: Page, lab: str) -> None:
    """Where both ends of a forecast are in the same unit the first goes without it."""
    await page.route("**/modules/**", module)
    await page.goto(f"{lab}/")
    script = """async ([language, spans]) => {
      const { use } = await import('/modules/js/texts.js');
      const { range } = await import('/modules/js/format.js');
      use(language);
      return spans.map(([p50, p90]) => range(p50, p90).replaceAll('\u00a0', ' '));
    }"""
    spans = [times for times, *_ in SPANS]
    assert await page.evaluate(script, ["en", spans]) == [english for _, english, _ in SPANS]
    assert await page.evaluate(script, ["zh-Hant", spans]) == [chinese for *_, chinese in SPANS]


NEEDED = [
    *((text, on, 4.5) for text in ("text", "text-2", "text-3")
      for on in ("bg", "surface", "surface-2", "surface-3")),
    *(("accent", on, 4.5) for on in ("bg", "surface", "surface-2", "accent-soft")),
    *(("on-accent", on, 4.5) for on in ("accent", "accent-strong")),
    *((f"{tone}-text", on, 4.5) for tone in ("ok", "warn", "bad")
      for on in ("bg", "surface", "surface-2", "accent-soft", f"{tone}-soft")),
    *((f"{tone}-mark", on, 3.0) for tone in ("ok", "warn", "bad")
      for on in ("surface", "surface-2", f"{tone}-soft")),
    *(("control", on, 3.0) for on in ("bg", "surface")),
    *((cap, "cap-free", 3.0) for cap in ("cap-used", "cap-held")),
    *((text, "seg-on", 4.5) for text in ("text", "text-2")),
]  # fmt: skip
"""Colours, what they stand on, and the contrast that they need there."""


def test_colours_are_told_apart() -> None:
    """Every pair has its contrast in both themes, and the dark one is written twice alike."""
    light, *dark = _themes()
    assert len(dark) == 2
    assert dark[0] == dark[1]
    for theme in (light, {**light, **dark[0]}):
        for colour, on, needed in NEEDED:
            assert _contrast(theme[colour], theme[on]) >= needed, (colour, on)


def _themes() -> Iterator[dict[str, str]]:
    """Yield the colours of each block that sets them."""
    for block in re.findall(r":root[^{]*\{(.*?)\}", TOKENS, re.S):
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        if colours:
            yield colours


def _contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, by WCAG 2."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
