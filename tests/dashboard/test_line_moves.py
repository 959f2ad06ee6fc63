"""Moving a job: by mouse, by keyboard, with a preview, refused when the line changed, undone."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page, expect

from rq_broker.store.broker import Broker
from tests.dashboard.conftest import Watch, context, cut
from tests.dashboard.lines import (
    TYPE,
    first_and_put_back,
    order,
    queue,
    row,
    rows,
    until,
    with_little,
    with_times,
)

LINE = f"line/{quote(TYPE)}"


async def _drag(page: Page, name: str, to: str) -> None:
    """Drag the row of one job to that of another by its grip."""
    await row(page, name).hover()
    grip = await row(page, name).locator(".grip").bounding_box()
    target = await row(page, to).bounding_box()
    assert grip is not None
    assert target is not None
    x, y = grip["x"] + 4, grip["y"] + grip["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x, y - 4)
    await expect(page.locator(".drop")).to_have_count(0)  # less than 6 px lift nothing
    await page.mouse.move(x, target["y"] + target["height"] / 2, steps=4)


async def test_a_row_is_dragged_previewed_moved_and_put_back(
    url: str, broker: Broker, page: Page
) -> None:
    """The preview says whose turn comes later by how much; one call moves; Undo moves back."""
    await queue(broker, "a", "b", "c")
    await page.route("**/what-if", with_times)
    await page.goto(f"{url}/{LINE}")
    await _drag(page, "c", "a")
    await expect(page.locator(".drop")).to_have_text("Position 1")
    await page.mouse.up()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Move c from 3 to 1?")
    await expect(dialog).to_contain_text(
        "It would start about 2 h sooner. 2 jobs would start later"
    )
    later = dialog.get_by_role("row").filter(has=page.get_by_text("b", exact=True))
    await expect(later).to_contain_text("+1 h")
    await expect(later).to_contain_text("lab-7")  # whose it is
    assert await cut(dialog) == []
    assert await order(broker) == ["a", "b", "c"]
    await expect(page.get_by_role("button", name="Move to 1")).to_be_focused()
    await page.keyboard.press("Enter")
    await first_and_put_back(page, broker)


async def test_what_is_within_the_error_of_a_forecast_is_no_change(
    url: str, broker: Broker, page: Page
) -> None:
    """A job that the API counts as unchanged is not listed; of nobody no delay is told."""
    await queue(broker, "a", "b", "c")
    await page.route("**/what-if", with_little)
    await page.goto(f"{url}/{LINE}")
    await row(page, "c").focus()
    for key in ("Space", "Home", "Space"):
        await page.keyboard.press(key)
    dialog = page.get_by_role("dialog", name="Move c from 3 to 1?")
    await expect(dialog.locator(".sum")).to_contain_text("0 jobs")
    await expect(dialog.locator(".sum")).not_to_contain_text("at most")
    await expect(dialog.locator("tbody tr")).to_have_count(1)
    await expect(dialog).to_contain_text("No forecast changes: nobody is known to wait longer.")


async def test_what_is_not_known_is_not_counted_as_unchanged(
    url: str, broker: Broker, page: Page
) -> None:
    """Of a type without a history no start is known; the preview does not say that nobody moves."""
    await queue(broker, "a", "b", "c")
    await page.goto(f"{url}/{LINE}")
    await row(page, "c").get_by_role("button", name="Move to front").click()
    dialog = page.get_by_role("dialog", name="Move c from 3 to 1?")
    await expect(dialog.locator(".sum")).to_contain_text("Not moved1 job")  # itself
    await expect(dialog).to_contain_text("Of 2 jobs between no forecast is known")


@pytest.mark.parametrize(
    ("keys", "place"),
    [(["ArrowUp", "ArrowUp"], 2), (["Home"], 1), (["PageUp"], 1), (["3"], 3), (["End"], 5)],
)
async def test_a_row_is_moved_by_keyboard(
    url: str, broker: Broker, page: Page, keys: list[str], place: int
) -> None:
    """Space lifts, keys carry and each step is spoken, Space previews, Enter moves."""
    await queue(broker, "a", "b", "c", "d", "e")
    await page.goto(f"{url}/{LINE}")
    await row(page, "d").focus()
    await page.keyboard.press("Space")
    for key in keys:
        await page.keyboard.press(key)
    status = page.locator(".line-foot [role=status]")
    await expect(status).to_contain_text(f"Position {place} of 5")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("dialog")).to_contain_text(f"Move d from 4 to {place}?")
    action = page.get_by_role("button", name=f"Move to {place}")
    await expect(action).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text(f"Moved d to {place}.")).to_be_visible()
    assert (await order(broker)).index("d") == place - 1


async def test_escape_puts_a_row_back(url: str, broker: Broker, page: Page) -> None:
    """Esc ends a drag, a lift and a preview; nothing is asked of the API."""
    await queue(broker, "a", "b", "c")
    await page.goto(f"{url}/{LINE}")
    await _drag(page, "c", "a")
    await page.keyboard.press("Escape")
    await expect(page.locator(".drop")).to_have_count(0)
    await page.mouse.up()
    await row(page, "c").focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Home")
    await page.keyboard.press("Escape")
    await expect(page.locator(".drop")).to_have_count(0)
    await row(page, "c").get_by_role("button", name="Move to front").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert await order(broker) == ["a", "b", "c"]


async def test_two_people_move_at_once(
    browser: Browser, watch: list[Watch], url: str, broker: Broker
) -> None:
    """A move whose preview is no longer true is refused, and shows the new one; then it is made."""
    await queue(broker, "a", "b", "c")
    async with context(browser, watch) as one, context(browser, watch) as two:
        watch[-1].allow("412")
        watch[-2].allow("412")
        first, second = await one.new_page(), await two.new_page()
        for page in (first, second):
            await page.goto(f"{url}/{LINE}")
            await expect(rows(page)).to_have_count(3)
            await row(page, "c").hover()
        await row(first, "c").get_by_role("button", name="Move to front").click()
        await expect(first.get_by_role("button", name="Move to 1")).to_be_enabled()
        await row(second, "c").focus()
        for key in ("Space", "ArrowUp", "Space"):
            await second.keyboard.press(key)
        await second.get_by_role("button", name="Move to 2").click()
        await expect(second.get_by_text("Moved c to 2.")).to_be_visible()
        await first.get_by_role("button", name="Move to 1").click()
        await expect(first.get_by_text("The line changed while you looked.")).to_be_visible()
        await expect(first.get_by_role("dialog")).to_contain_text("Move c from 2 to 1?")
        await expect(first.get_by_text("It is at 2 now, no longer at 3.")).to_be_visible()
        assert await order(broker) == ["a", "c", "b"]
        await first.get_by_role("button", name="Move to 1").click()
        await expect(first.get_by_text("Moved c to 1.")).to_be_visible()
        await second.mouse.move(5, 5)
        await expect(row(second, "c").locator(".pos")).to_have_text("1")
    assert await order(broker) == ["c", "a", "b"]


@pytest.mark.parametrize("is_open", [True, False])
async def test_two_people_move_the_same_job_to_the_same_place(
    browser: Browser, watch: list[Watch], url: str, broker: Broker, is_open: bool
) -> None:
    """The second reads that the job is there already, in a preview that is asked for afterwards and
    after a click on one that was open; no move from a place to the same place is offered."""
    await queue(broker, "a", "b", "c")
    async with context(browser, watch) as opened:
        page = await opened.new_page()
        await page.goto(f"{url}/{LINE}")
        await expect(rows(page)).to_have_count(3)
        await row(page, "c").hover()  # holds the rows as they are
        front = row(page, "c").get_by_role("button", name="Move to front")
        if is_open:
            await front.click()
            await expect(page.get_by_role("button", name="Move to 1")).to_be_enabled()
        await broker.reorder(TYPE, "c", "position", "front")
        if is_open:
            watch[-1].allow("412")
            await page.get_by_role("button", name="Move to 1").click()
        else:
            await front.click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("c is at 1 already")
        await expect(dialog).to_contain_text("it stood at 3 when you chose to move it")
        await expect(dialog.get_by_role("button", name="Move to 1")).to_have_count(0)
        close = dialog.get_by_role("button", name="Close")
        await expect(close).to_be_focused()
        await close.click()
        await expect(dialog).to_have_count(0)
    assert await order(broker) == ["c", "a", "b"]


async def test_let_this_one_go_first_takes_two_clicks(url: str, broker: Broker, page: Page) -> None:
    """From / by the pointer alone: the arrow of a job that is next in its line, and yes to the
    preview; any other job is found there by its name. Undo puts it back."""
    await queue(broker, "a", "b", "c", "d")
    await page.goto(url)
    clicks: list[str] = []
    await page.expose_function("clicked", lambda text: clicks.append(text))  # noqa: PLW0108 - playwright takes no method of a builtin
    await page.evaluate("addEventListener('click', event => clicked(event.target.innerText), true)")
    first = page.get_by_role("region", name="Next in line")
    await expect(first.get_by_role("row")).to_have_count(1 + 3)
    await first.get_by_role("button", name="Move to front: b").click()
    await page.get_by_role("button", name="Move to 1").click()
    await expect(page.get_by_text("Moved b to 1.")).to_be_visible()
    assert await order(broker) == ["b", "a", "c", "d"]
    assert clicks == ["Move to front", "Move to 1"]
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("Moved b back to 2.")).to_be_visible()
    await page.get_by_role("searchbox", name="Find a job").fill("d")
    found = page.get_by_role("region", name="Jobs named “d”")
    await found.get_by_role("button", name="Move to front: d").click()
    await page.get_by_role("button", name="Move to 1").click()
    await expect(page.get_by_text("Moved d to 1.")).to_be_visible()
    assert await order(broker) == ["d", "a", "b", "c"]
    await expect(found.get_by_role("row").last.locator("td").nth(1)).to_have_text("1")
    await page.get_by_role("searchbox", name="Find a job").fill("nobody")
    await expect(page.get_by_text("No job is named “nobody”.")).to_be_visible()


async def test_the_list_scrolls_where_a_row_is_carried_to_its_edge(
    url: str, broker: Broker, page: Page
) -> None:
    """Near the lower edge of the window the line goes on by itself; the row lands where it is."""
    await queue(broker, *(f"j{number}" for number in range(60)))
    await page.goto(f"{url}/{LINE}")
    await _drag(page, "j2", "j3")
    await page.mouse.move(300, await page.evaluate("innerHeight") - 8)
    await expect(row(page, "j40")).to_be_in_viewport()
    await page.mouse.move(300, 8)
    await until(page, "() => scrollY < 300")
    await page.mouse.up()
    await expect(page.get_by_role("dialog")).to_contain_text("Move j2 from 3 to")


async def test_a_finger_lifts_a_row_by_resting_on_its_grip(
    browser: Browser, watch: list[Watch], url: str, broker: Broker
) -> None:
    """After 300 ms of touch a row is carried, and lands where the finger leaves."""
    await queue(broker, "a", "b", "c")
    tablet = {"width": 1024, "height": 768}
    async with context(browser, watch, viewport=tablet, has_touch=True) as opened:
        page = await opened.new_page()
        await page.goto(f"{url}/{LINE}")
        grip = await row(page, "c").locator(".grip").bounding_box()
        target = await row(page, "a").bounding_box()
        assert grip
        assert target
        x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
        touch = await opened.new_cdp_session(page)

        async def finger(kind: str, *points: tuple[float, float]) -> None:
            at = [{"x": left, "y": top} for left, top in points]
            await touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

        await finger("touchStart", (x, y))
        await expect(page.locator(".drop")).to_have_text("Position 3")
        await finger("touchMove", (x, target["y"] + target["height"] / 2))
        await expect(page.locator(".drop")).to_have_text("Position 1")
        await finger("touchEnd")
        await expect(page.get_by_role("dialog")).to_contain_text("Move c from 3 to 1?")
