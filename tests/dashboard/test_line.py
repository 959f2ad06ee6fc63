"""The line of a type: its rows, a million of them, filters and search, and how it stays calm."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page, Route, expect
from showing import scene

from rq_broker.store.broker import Broker
from tests import making
from tests.dashboard.conftest import PHONE, Watch, context
from tests.dashboard.lines import (
    HOUR,
    TYPE,
    a_million,
    followed,
    names,
    order,
    queue,
    row,
    rows,
    until,
)

LINE = f"line/{quote(TYPE)}"
FRAMES = "() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
"""Waits until the page has drawn what it knows."""
APART = """axis => {
  const boxes = [...axis.children].map(each => {
    const range = document.createRange();
    range.selectNodeContents(each);
    return range.getBoundingClientRect();
  });
  return boxes.every((box, n) => n === 0 || boxes[n - 1].right < box.left);
}"""
"""Whether the texts of a head stand beside each other, none over another."""
MOST_ROWS = 400
"""Rows in the document at most, however long the line is."""


async def test_a_line_without_hosts_says_so(url: str, broker: Broker, page: Page) -> None:
    """Where nobody waits, a type without hosts does not claim that it grants."""
    await broker.set_policy(TYPE, {"patience": 60})
    await page.goto(f"{url}/{LINE}")
    await expect(page.get_by_role("heading", name="Nobody waits")).to_be_visible()
    await expect(page.get_by_text(f"{TYPE} has no hosts yet")).to_be_visible()


async def test_a_row_says_who_how_big_and_why(url: str, broker: Broker, page: Page) -> None:
    """A row has its place, name, owner, size, wait, forecast and reason; markup in it is text."""
    await queue(broker, "a")
    size = [{"VCPU": 8, "Memory": 32768, "count": 4}]
    for name in (scene.HOSTILE, scene.LONG):
        await scene.submit(broker, TYPE, name, "<b>lab</b>", size)
    await page.goto(f"{url}/{LINE}")
    hostile = row(page, scene.HOSTILE)
    await expect(hostile.locator(".pos")).to_have_text("2")
    await expect(hostile.locator(".job")).to_have_text(f"{scene.HOSTILE}<b>lab</b>")
    await expect(hostile.locator(".size")).to_contain_text("4 × 8 VCPU, 32 GB")
    await expect(hostile.locator(".eta")).to_contain_text("never")
    await expect(hostile.locator(".why")).to_contain_text("no host")
    await expect(row(page, scene.LONG).get_by_title(scene.LONG)).to_be_visible()
    grid = page.get_by_role("grid", name=TYPE)
    await expect(grid).to_have_attribute("aria-rowcount", "4")
    await page.get_by_role("button", name="繁體中文").click()
    await expect(hostile.locator(".eta")).to_contain_text("不會輪到")
    await expect(page.get_by_role("button", name="暫停更新")).to_be_visible()


async def test_a_job_without_instances_needs_a_slot(url: str, broker: Broker, page: Page) -> None:
    """Its size is what it needs, one slot; `nothing` is that of an instance that needs nothing."""
    for name, data in (("slot", "{}"), ("none", '{"instances":[{}]}')):
        await making.submit(broker, name, TYPE, data=data)
    await page.goto(f"{url}/{LINE}")
    await expect(row(page, "slot").locator(".size")).to_contain_text("1 Slots")
    await expect(row(page, "none").locator(".size")).to_contain_text("nothing")


async def test_the_count_tells_of_jobs_beside_the_line(
    url: str, broker: Broker, page: Page
) -> None:
    """Three wait, as the tab says, and the list of two says where the third one is."""
    await queue(broker, "a", "b")
    await queue(broker, "later", not_before="2096-01-01T00:00:00Z")
    await page.goto(f"{url}/{LINE}")
    await expect(page.locator(".said")).to_have_text("1–2 of 2, 1 beside the line")


async def test_the_axis_is_drawn_for_forecasts_only(url: str, broker: Broker, page: Page) -> None:
    """Where no row has a forecast the head has its word alone; else no mark covers the word."""

    async def with_forecasts(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        jobs = [{**job, "ETA": {"p50": HOUR, "p90": 5 * HOUR}} for job in body["data"]]
        await route.fulfill(json={**body, "data": jobs})

    head = page.get_by_role("grid").locator(".eta-axis")
    await queue(broker, "a")
    await page.goto(f"{url}/{LINE}")
    await expect(row(page, "a").locator(".eta")).to_contain_text("never")
    await expect(head).to_have_text("Turn in")
    await expect(page.locator(".eta-bar")).to_have_count(0)
    await page.route(re.compile(r"/v1/.*status=queued"), with_forecasts)
    await page.reload()
    await expect(page.locator(".eta-bar .mid")).to_be_visible()
    await expect(head).to_have_text("Turn in4 h6 h")
    assert await head.evaluate(APART)


async def test_a_million_rows(url: str, broker: Broker, page: Page) -> None:
    """Scroll bar, keys and wheel reach any place; few rows are drawn and few pages read."""
    await queue(broker, "one")
    asked = await a_million(page)
    await page.goto(f"{url}/{LINE}")
    await expect(row(page, "job-1")).to_be_visible()
    grid = page.get_by_role("grid")
    await expect(grid).to_have_attribute("aria-rowcount", "1000001")
    await page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
    before = await _first_in_sight(page, 450_000)
    assert int(before[4:]) < 550_000
    await page.mouse.move(700, 500)
    await page.mouse.wheel(0, 480)  # ten rows, though the list is squeezed
    after = f"job-{int(before[4:]) + 10}"
    await expect(row(page, after)).to_be_visible()
    await until(
        page,
        "([name]) => { const row = document.querySelector(`[data-name='${name}']`);"
        " return row && Math.abs(row.getBoundingClientRect().top) < 48; }",
        after,
    )
    await rows(page).first.focus()
    await page.keyboard.press("End")
    await expect(row(page, "job-1000000")).to_be_in_viewport()
    assert await rows(page).count() <= MOST_ROWS
    await page.keyboard.press("Home")
    await expect(row(page, "job-1")).to_be_in_viewport()
    assert len(asked) < 20


async def _first_in_sight(page: Page, beyond: int) -> str:
    """Wait until rows behind this place are in sight; return the name of the first."""
    name: str = await until(
        page,
        "([beyond]) => [...document.querySelectorAll('.rows > [data-name]')].find(row =>"
        " row.dataset.index >= beyond && row.getBoundingClientRect().top >= 0)?.dataset.name",
        beyond,
    )
    return name


async def test_a_filter_stands_in_the_address(url: str, broker: Broker, page: Page) -> None:
    """Status, owner, size and text narrow the line; the address keeps them; rows stay in place."""
    await queue(broker, "a-1", "b-1")
    await queue(broker, "a-2", owner="lab-8")
    await scene.submit(broker, TYPE, "a-3", "lab-8", [{"VCPU": 4, "count": 4}])
    await page.goto(f"{url}/{LINE}")
    await expect(rows(page)).to_have_count(4)
    await page.keyboard.press("/")
    await page.keyboard.type("A-")
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("button", name="Owner").click()
    await page.get_by_label("Owner", exact=True).fill("lab-8")
    await page.keyboard.press("Enter")
    await expect(rows(page)).to_have_count(2)
    assert "owner=lab-8" in page.url
    await page.reload()
    await expect(rows(page)).to_have_count(2)
    assert await names(page) == ["a-2", "a-3"]
    await expect(page.locator(".grip")).to_have_count(0)
    await expect(page.get_by_text("Clear the filter to move rows")).to_be_visible()
    await page.goto(f"{url}/{LINE}?needs=VCPU:16")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="Drop the filter Size").click()
    await expect(rows(page)).to_have_count(4)
    await page.get_by_role("button", name="Running").click()
    await expect(page.get_by_text("No job matches")).to_be_visible()
    assert "status=running" in page.url


async def test_a_search_finds_by_name_owner_and_callback(
    url: str, broker: Broker, page: Page
) -> None:
    """What an index knows is offered at once: a job by name or callback, an owner's jobs."""
    await queue(broker, "a-1", "b-1")
    job = await broker.read(TYPE, "b-1")
    await page.goto(f"{url}/{LINE}?find={quote(job.callback or '', safe='')}")
    await expect(page.locator(".hit")).to_contain_text("b-1")
    box = page.get_by_role("searchbox", name="Part of a request_id")
    await box.fill("a-1")
    await expect(page.locator(".hit")).to_contain_text("place 1")
    await box.fill("lab-7")
    await page.get_by_role("button", name="lab-7 is an owner").click()
    await expect(rows(page)).to_have_count(2)


async def test_order_is_held_while_one_points(url: str, broker: Broker, page: Page) -> None:
    """News waits while the pointer is over the rows, and comes when it leaves them."""
    await queue(broker, "a", "b")
    await followed(page, f"{url}/{LINE}")
    await row(page, "b").hover()
    await queue(broker, "c")
    await expect(page.get_by_text("Held, 1 change waits")).to_be_visible()
    assert await names(page) == ["a", "b"]
    await page.mouse.move(5, 5)
    await expect(rows(page)).to_have_count(3)


async def test_a_row_that_left_stays_a_while(url: str, broker: Broker, page: Page) -> None:
    """A job that is withdrawn is struck through where it stood, and nothing jumps."""
    await queue(broker, "a", "b", "c")
    await followed(page, f"{url}/{LINE}")
    await row(page, "c").hover()
    top = await row(page, "c").bounding_box()
    await broker.withdraw(TYPE, "b")
    await expect(row(page, "b")).to_contain_text("Withdrawn")
    assert await row(page, "c").bounding_box() == top
    await page.mouse.move(5, 5)
    await expect(row(page, "b")).to_have_count(0)


async def test_a_row_that_left_while_the_line_was_read_stays_too(
    url: str, broker: Broker, page: Page
) -> None:
    """What was read lacks a job whose event is still to come: the row is struck through all the
    same, and stays."""
    await queue(broker, "a", "b", "c")
    await followed(page, f"{url}/{LINE}")
    answered = asyncio.Event()

    async def late(route: Route) -> None:
        if not answered.is_set():
            await broker.withdraw(TYPE, "b")
            await route.fulfill(response=await route.fetch())
            answered.set()
        else:
            await route.continue_()

    await page.clock.set_fixed_time(await page.evaluate("Date.now()"))  # so that 4 s do not pass
    await page.route(lambda asked: "from=" in asked, late)
    await queue(broker, "d")  # so that the line is read anew
    await answered.wait()
    await expect(row(page, "b")).to_contain_text("Withdrawn")
    await page.evaluate(FRAMES)
    assert await names(page) == ["a", "b", "c"]


async def test_a_row_without_a_reason_is_read_again(url: str, broker: Broker, page: Page) -> None:
    """A job that no plan has looked at yet gets its reason some seconds later, though nothing
    happens."""
    await queue(broker, "a")
    is_looked_at = False

    async def early(route: Route) -> None:
        body = await (await route.fetch()).json()
        jobs = [{**job, "Why": job["Why"] if is_looked_at else None} for job in body["data"]]
        await route.fulfill(json={**body, "data": jobs})

    await page.route(lambda asked: "from=" in asked, early)
    await page.clock.install(time=0)
    await followed(page, f"{url}/{LINE}")
    await page.clock.pause_at(600_000)
    await page.clock.run_for(1_500)  # what the opening of the stream has it read
    await expect(row(page, "a").locator(".why")).to_have_text("Not looked at yet.")
    is_looked_at = True
    await page.clock.run_for(8_000)  # less than until all rows are read anew anyway
    await expect(row(page, "a").locator(".why")).to_contain_text("no host")


async def test_changes_above_do_not_move_the_view(url: str, broker: Broker, page: Page) -> None:
    """Who reads further down keeps the rows in sight, and is told how much changed above."""
    await queue(broker, *(f"j{number}" for number in range(60)))
    await followed(page, f"{url}/{LINE}")
    await row(page, "j5").hover()
    await page.mouse.wheel(0, 1600)
    await expect(row(page, "j30")).to_be_in_viewport()
    await page.mouse.move(5, 5)
    await until(page, "() => scrollY > 1000")
    top = await row(page, "j30").evaluate("row => Math.round(row.getBoundingClientRect().top)")
    for name in ("j0", "j1"):
        await broker.withdraw(TYPE, name)
    await page.get_by_role("button", name="2 changes above").click(trial=True)
    assert top == await row(page, "j30").evaluate(
        "row => Math.round(row.getBoundingClientRect().top)"
    )
    await expect(row(page, "j30").locator(".pos")).to_have_text("29")
    await page.get_by_role("button", name="2 changes above").click()
    await expect(row(page, "j2")).to_be_in_viewport()


@pytest.mark.parametrize("may", [{"page": "all", "read": "all"}])
async def test_who_may_change_nothing_sees_no_buttons(
    url: str, broker: Broker, page: Page, may: dict[str, str]
) -> None:
    """A viewer has rows without grips and boxes, and no menu of what it may not do."""

    async def viewer(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        await route.fulfill(json={**body, "data": {**body["data"], "role": "viewer", "may": may}})

    await page.route("**/session", viewer)
    await queue(broker, "a", "b")
    await page.goto(f"{url}/{LINE}")
    await expect(rows(page)).to_have_count(2)
    for wanted in (".grip", ".check", ".front"):
        await expect(page.locator(wanted)).to_have_count(0)
    await row(page, "b").focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("w")
    await page.keyboard.press("m")
    await expect(page.get_by_role("menuitem")).to_have_text(["Open"])


async def test_of_others_a_client_sees_sizes(url: str, broker: Broker, page: Page) -> None:
    """Between its own jobs a client sees places and sizes of others, and no name to act on."""

    async def as_client(route: Route) -> None:
        body = await (await route.fetch()).json()
        own = [job for job in body["data"] if job["OwnerID"] == "lab-7"]
        others = [{"position": 2, "instances": [{"VCPU": 8, "Memory": 32768, "count": 4}]}]
        await route.fulfill(json={**body, "data": own, "others": others})

    await queue(broker, "a")
    await queue(broker, "secret", owner="lab-8")
    await queue(broker, "c")
    await page.route(lambda asked: "from=" in asked, as_client)
    await page.goto(f"{url}/{LINE}")
    await expect(rows(page)).to_have_count(2)
    other = page.get_by_role("row", name="Another owner’s job")
    await expect(other).to_contain_text("4 × 8 VCPU, 32 GB")
    await expect(other.get_by_role("button")).to_have_count(0)
    await expect(page.get_by_text("secret")).to_have_count(0)


async def test_a_phone_selects_by_a_long_press(
    browser: Browser, watch: list[Watch], url: str, broker: Broker
) -> None:
    """On a phone rows are cards; a long press selects, and "Move…" asks where to."""
    await queue(broker, "a", "b", "c")
    async with context(browser, watch, viewport=PHONE, has_touch=True) as opened:
        page = await opened.new_page()
        await page.goto(f"{url}/{LINE}")
        await expect(rows(page)).to_have_count(3)
        box = await row(page, "c").bounding_box()
        assert box is not None
        assert box["height"] == 88
        touch = {"pointerType": "touch", "bubbles": True, "button": 0}
        await row(page, "c").locator(".size").dispatch_event("pointerdown", touch)
        await page.get_by_role("button", name="Move…").click()
        await page.get_by_label("Position, 1 to 3").fill("2")
        await page.get_by_role("button", name="See who waits longer").click()
        await page.get_by_role("button", name="Move to 2").click()
        await expect(page.get_by_text("Moved c to 2.")).to_be_visible()
    assert await order(broker) == ["a", "c", "b"]
