"""Many jobs at once: selecting, what the dialog says before, and what is told after."""

from __future__ import annotations

from urllib.parse import quote

from playwright.async_api import Page, expect

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.dashboard.lines import TYPE, order, queue, row, rows

LINE = f"line/{quote(TYPE)}"


async def test_selected_jobs_are_withdrawn_once_asked(url: str, broker: Broker, page: Page) -> None:
    """x and Shift+arrows select; the dialog names them and has the focus on the safe answer."""
    await queue(broker, "a", "b", "c", "d")
    await page.goto(f"{url}/{LINE}")
    await row(page, "b").focus()
    await page.keyboard.press("x")
    await page.keyboard.press("Shift+ArrowDown")
    bar = page.get_by_role("toolbar")
    await expect(bar).to_contain_text("2 jobs selected · 8 VCPU")
    await bar.get_by_role("button", name="Withdraw…").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Withdraw 2 jobs?")
    await expect(dialog.get_by_role("listitem")).to_have_text(["blab-7", "clab-7"])
    await expect(dialog.get_by_role("button", name="Keep them")).to_be_focused()
    assert await order(broker) == ["a", "b", "c", "d"]
    await dialog.get_by_role("button", name="Withdraw 2").click()
    await expect(page.get_by_text("2 withdrawn.")).to_be_visible()
    assert await order(broker) == ["a", "d"]
    await expect(rows(page)).to_have_count(2)


async def test_all_that_match_is_the_filter_itself(url: str, broker: Broker, page: Page) -> None:
    """Ctrl+A means every job of the filter, seen or not, and moves those to the front."""
    await queue(broker, *(f"j{number}" for number in range(3)))
    await queue(broker, *(f"k{number}" for number in range(130)), owner="lab-8")
    await page.goto(f"{url}/{LINE}?find=K&owner=lab-8")
    await expect(row(page, "k0")).to_be_visible()
    await row(page, "k0").focus()
    await page.keyboard.press("Control+a")
    bar = page.get_by_role("toolbar")
    await expect(bar).to_contain_text("match")
    await bar.get_by_role("button", name="Move to front").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Move 130 jobs to the front?")
    await expect(page.get_by_role("dialog")).to_contain_text("and 110 more")
    await page.get_by_role("button", name="Move 130").click()
    await expect(page.get_by_text("130 moved to the front.")).to_be_visible()
    assert (await order(broker))[:131] == [*(f"k{number}" for number in range(130)), "j0"]


SLOW_BODIES = """const { json } = Response.prototype;
Response.prototype.json = async function () {
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  return json.call(this);
}"""
"""So that the next read of something begins, and ends the last one, while its body is read."""


async def test_refusals_are_told(url: str, broker: Broker, page: Page) -> None:
    """What left meanwhile is refused, counted and named; the rest is put back in line. The dialog
    that says so stays when the list is empty, though reads overtake each other."""
    await page.add_init_script(SLOW_BODIES)
    await queue(broker, "a", "b")
    for name in ("a", "b"):
        await broker.transition(TYPE, name, Status.ERROR)
    await page.goto(f"{url}/{LINE}?status=error")
    await expect(rows(page)).to_have_count(2)
    await page.get_by_label("Select all that are shown").click()
    await page.get_by_role("button", name="Put back in line…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Put 2 jobs back in line?")
    await broker.withdraw(TYPE, "b")
    await page.get_by_role("button", name="Put back 2").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("1 put back in line.")
    await expect(dialog).to_contain_text("1 is refused:")
    await expect(page.get_by_text("No job matches")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    assert await order(broker) == ["a"]
