"""The overview: every type in a row, what needs attention, and two clicks to a reason."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, Route, ViewportSize, expect
from showing import scene

from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests import making
from tests.dashboard.asking import changes
from tests.dashboard.conftest import PHONE, app_of, served, sideways, violations


async def test_each_type_is_a_row_that_tells_what_is_wrong_with_it(page: Page, lab: str) -> None:
    """Depth, running, use and trouble stand in one row; what needs attention stands above."""
    await page.goto(f"{lab}/")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="vm", exact=True))
    await expect(row).to_contain_text("running")
    await expect(row).to_contain_text(re.compile("1 destination fails|No notifier"))
    await expect(row.get_by_role("img", name="VCPU")).to_be_visible()
    needs = page.get_by_role("region", name="Needs attention")
    await expect(needs).to_contain_text("vm: one destination fails: its callbacks are not answered")
    await needs.get_by_role("link", name="See callbacks: vm").click()
    await expect(page).to_have_url(f"{lab}/callbacks/vm")


async def test_why_is_my_request_still_waiting_is_two_clicks_away(
    page: Page, lab: str, watch: list[Any]
) -> None:
    """From / one click shows the line, where each row says why; a second one shows all of it."""
    watch[-1].allow("503")  # a reason may take too long on a loaded machine: the page asks again
    await page.goto(f"{lab}/")
    await page.get_by_role("row").get_by_role("link", name="vm", exact=True).click()  # 1
    grid = page.get_by_role("grid")
    await expect(grid.get_by_role("link").first).to_be_visible()
    await grid.get_by_role("link").first.click()  # 2
    why = page.get_by_role("region", name="Why it waits")
    await expect(why.locator(".say")).not_to_be_empty()
    await expect(page.get_by_role("region", name="When its turn comes")).to_be_visible()


async def test_a_paused_type_is_resumed_where_it_is_told(
    url: str, page: Page, broker: Broker
) -> None:
    """One click resumes grants; the sentence goes, the API says so, and the audit log has it."""
    await broker.set_policy("vm", {"paused": True})
    await making.submit(broker, "d", "vm")
    await page.goto(f"{url}/")
    needs = page.get_by_role("region", name="Needs attention")
    await expect(needs).to_contain_text("vm: grants are paused. 1 job waits")
    await needs.get_by_role("button", name="Resume grants: vm").click()
    await expect(needs).not_to_contain_text("paused")
    assert not (await broker.policy("vm")).paused
    assert await changes(url, "vm") == [("set_policy", "vm", {"paused": False})]


async def test_a_bar_shows_what_is_kept(url: str, page: Page, broker: Broker) -> None:
    """Of what is free, the part that is kept for the next is hatched, and named for who hears the
    page, in both languages."""
    await broker.set_host("vm", Host("h", {"VCPU": 4}))
    await broker.note("vm", (), (), {"h": {"VCPU": 3}})
    await page.goto(f"{url}/")
    bar = page.get_by_role("img", name="VCPU: 0 used, 0 held, 3 kept, 1 free")
    await expect(bar.locator("[fill='url(#hatch)']")).to_have_attribute("width", "75%")
    await page.get_by_role("button", name="繁體中文").click()
    label = "VCPU：已使用 0，我們保留 0，留給下一個 3，可用 1"
    await expect(page.get_by_role("img", name=label)).to_be_visible()


async def test_what_is_slow_to_come_is_drawn_as_a_skeleton(url: str, page: Page) -> None:
    """What comes within 200 ms shows nothing before; then its shape stands there until it comes."""
    asked: list[Route] = []

    def keep(route: Route) -> None:  # playwright takes no method of a builtin
        asked.append(route)

    await page.route("**/types", keep)
    await page.clock.install(time=0)
    await page.clock.pause_at(1_000)
    await page.goto(f"{url}/")
    shape = page.locator("main [aria-busy=true]")
    while not await shape.count():  # the page asks who is there, and goes on with its next frame
        await page.clock.run_for(16)
    await page.clock.run_for(150)
    await expect(shape).to_be_hidden()
    await page.clock.run_for(250)
    await expect(shape).to_be_visible()
    for route in asked:
        await route.continue_()
    await expect(page.get_by_role("heading", name="No types yet")).to_be_visible()


async def test_an_installation_without_types_says_what_to_do(url: str, page: Page) -> None:
    """An empty installation is told in a sentence, in both languages, and fills by itself."""
    await page.goto(f"{url}/")
    await expect(page.get_by_role("heading", name="No types yet")).to_be_visible()
    await page.get_by_role("button", name="繁體中文").click()
    await expect(page.get_by_role("heading", name="還沒有類型")).to_be_visible()
    async with httpx.AsyncClient(base_url=url) as api:
        await api.put("/types/新/hosts/h", json={"capacity": {"VCPU": 1}})
    await expect(page.get_by_role("row").get_by_role("link", name="新")).to_be_visible()


@pytest_asyncio.fixture(loop_scope="session")
async def many(redis_server: Server) -> AsyncIterator[str]:
    """Serve a hundred types of Redis itself: fakeredis takes seconds for their scripts."""
    client = connect(redis_server.url)
    await client.flushall()
    broker = Broker(client)
    for n in range(100):
        await broker.set_policy(f"type-{n:03}", {"patience": 60})
    async with served(app_of(broker)) as url:
        yield url
        broker.events.close()
    await client.aclose()


async def test_many_types_are_one_call(many: str, page: Page) -> None:
    """All rows come from one call, the first charts from few more; a filter finds one."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(many)))
    await page.goto(f"{many}/")
    await expect(page.get_by_role("row")).to_have_count(100 + 1)
    assert "/types" in asked
    of_a_type = [path for path in asked if path.startswith("/types/")]
    assert len(of_a_type) <= 12
    assert all("/report?" in path for path in of_a_type)
    await page.get_by_role("searchbox", name="Type").fill("024")
    await expect(page.get_by_role("row")).to_have_count(2)


@pytest.mark.parametrize("screen", [{"width": 1280, "height": 720}, PHONE], ids=["desk", "phone"])
async def test_a_job_is_found_by_its_name_without_scrolling(
    url: str, page: Page, broker: Broker, screen: ViewportSize
) -> None:
    """However many types there are: what is typed and what it finds are in sight, the address keeps
    it, and what stood there before moves down."""
    await page.set_viewport_size(screen)
    for n in range(9):
        await broker.set_policy(f"type-{n}", {"paused": True})
    await making.submit(broker, "mine", "type-7")
    await page.goto(f"{url}/")
    field = page.get_by_role("searchbox", name="Find a job by its whole name")
    await expect(field).to_be_in_viewport(ratio=1)
    await page.keyboard.press("Control+k")
    await expect(field).to_be_focused()
    await page.keyboard.type("mine")
    found = page.get_by_role("region", name="Jobs named “mine”")
    await expect(found.get_by_role("link", name="mine")).to_be_in_viewport(ratio=1)
    await expect(page).to_have_url(f"{url}/?find=mine")
    await page.reload()
    await expect(found.get_by_role("link", name="mine")).to_be_visible()
    assert await sideways(page) == []
    assert await violations(page) == []
    await field.fill("")
    await expect(found).to_have_count(0)
    await expect(page.get_by_role("region", name="Next in line")).to_be_visible()


async def test_what_happens_is_told_at_once(page: Page, lab: str) -> None:
    """The scene's types stand in the side bar too, with their number of waiting jobs."""
    await page.goto(f"{lab}/")
    side = page.get_by_role("navigation", name="Types")
    await expect(side.get_by_role("link", name=scene.CJK)).to_be_visible()
