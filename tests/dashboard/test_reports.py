"""The reports: what a person sees of waits, demand, owners, more hosts and late holders.

`url` stands before `page`: so the page is closed before what it still asks is gone.
"""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, Route, expect
from showing import history, scene

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.dashboard.conftest import PHONE, Watch, context, sideways, violations


async def make_lab(broker: Broker) -> None:
    """A type with a past, whose running jobs hold for a day longer than they said."""
    await scene.fill(broker)
    await history.add_history(broker, scene.GPU)
    for name in ("llm-0", "llm-1"):
        key = Keys(scene.GPU).of("job", name)
        granted = await broker.runner.command("HGET", key, "granted")
        await broker.runner.command("HSET", key, "granted", int(granted) - 86_400_000)


async def test_the_page_shows_waits_and_demand_over_time(
    url: str, page: Page, broker: Broker
) -> None:
    """Both charts are drawn, each beside a table of the same; a choice stays in the address."""
    await make_lab(broker)
    await page.goto(f"{url}/reports/{scene.GPU}")
    waits = page.get_by_role("region", name="How long jobs had waited")
    await expect(waits.get_by_role("img", name="9 in 10 waited up to, By size")).to_be_visible()
    await expect(waits.locator("canvas")).to_be_visible()
    await waits.get_by_text("As a table").click()
    await expect(waits.get_by_role("columnheader", name="from 1 host")).to_be_visible()
    await waits.get_by_role("button", name="Half waited up to").click()
    await expect(waits.get_by_role("img", name="Half waited up to")).to_be_visible()
    demand = page.get_by_role("region", name="Demand against capacity")
    await demand.get_by_text("As a table").click()
    await expect(demand.get_by_role("cell", name="64 GPU").first).to_be_visible()
    await demand.get_by_label("Resource").select_option("VCPU")
    await expect(demand.get_by_role("cell", name="512 VCPU").first).to_be_visible()
    await page.get_by_role("button", name="By owner").click()
    await expect(waits.get_by_text("vision", exact=True).first).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name="By owner")).to_have_attribute(
        "aria-pressed", "true"
    )
    assert await violations(page) == []


async def test_more_hosts_are_tried_by_a_form(url: str, page: Page, broker: Broker) -> None:
    """The answer says how many jobs would start, and links to them; nothing is changed."""
    await make_lab(broker)
    await page.goto(f"{url}/reports/{scene.GPU}")
    more = page.get_by_role("region", name="With more hosts")
    await more.get_by_label("How many").fill("3")
    await more.get_by_label("Like").select_option("gpu-1")
    await more.get_by_role("button", name="Show what would start").click()
    await expect(more.get_by_role("status")).to_contain_text("would start at once, with")
    assert len(await broker.hosts(scene.GPU)) < 10
    job = more.get_by_role("link").first
    name = await job.text_content()
    await job.click()
    await expect(page.get_by_role("heading", name=name or "")).to_be_visible()
    assert (await broker.read(scene.GPU, name or "")).status is Status.QUEUED


async def test_who_holds_for_too_long_is_one_click_away(
    url: str, page: Page, broker: Broker
) -> None:
    """The longest beyond is first, with whose it is and how far, and leads to the job."""
    await make_lab(broker)
    await page.goto(f"{url}/reports/{scene.GPU}")
    late = page.get_by_role("region", name="Held for longer than expected")
    rows = late.get_by_role("row")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(1)).to_contain_text("21 h 30")
    await late.get_by_role("link", name="llm-0").click()
    await expect(page.get_by_role("heading", name="llm-0")).to_be_visible()


async def test_owners_have_a_row_each(url: str, page: Page, broker: Broker) -> None:
    """What each submitted, was granted, held and waits for stands in one row."""
    await make_lab(broker)
    await page.goto(f"{url}/reports/{scene.GPU}")
    owners = page.get_by_role("region", name="Owners")
    await expect(owners.get_by_role("columnheader", name="GPU-hours held")).to_be_visible()
    await expect(owners.get_by_role("row", name="vision")).to_be_visible()


async def test_a_type_without_a_past_says_so(url: str, page: Page, broker: Broker) -> None:
    """Nothing counted, nobody late, nothing waits: each is said, and nothing is blank."""
    await scene.fill(broker)
    await page.goto(f"{url}/reports/{scene.BENCH}")
    await expect(page.get_by_role("heading", name="Nothing was counted")).to_be_visible()
    await expect(page.get_by_text("Nobody holds anything for longer")).to_be_visible()
    await page.get_by_role("button", name="Show what would start").click()
    await expect(page.get_by_text("The type is paused: nothing is granted")).to_be_visible()


async def test_a_report_that_fails_is_told_and_tried_again(
    url: str, page: Page, broker: Broker, watch: list[Watch]
) -> None:
    """The failure stands where the report would be, with a button that reads it anew."""
    await make_lab(broker)
    watch[0].allow("500")

    async def fail(route: Route) -> None:
        body = '{"error": "the broker failed", "code": "internal", "ok": false}'
        await route.fulfill(status=500, body=body, content_type="application/json")

    await page.route("**/report?*", fail)
    await page.goto(f"{url}/reports/{scene.GPU}")
    await expect(page.get_by_text("the broker failed").first).to_be_visible()
    await page.unroute("**/report?*")
    await page.get_by_role("button", name="Try again").first.click()
    await expect(page.get_by_role("region", name="Demand against capacity")).to_be_visible()


@pytest.mark.parametrize("locale", ["zh-TW", "en"])
async def test_it_fits_a_phone_in_both_languages(
    url: str, browser: Browser, watch: list[Watch], broker: Broker, locale: str
) -> None:
    """Nothing scrolls sideways, in the dark too, and axe finds nothing there."""
    await make_lab(broker)
    async with context(
        browser,
        watch,
        locale=locale,
        viewport=PHONE,
        color_scheme="dark",
    ) as opened:
        page = await opened.new_page()
        await page.goto(f"{url}/reports/{scene.GPU}")
        await expect(page.locator("canvas")).to_have_count(2)
        heading = "需求與容量" if locale == "zh-TW" else "Demand against capacity"
        await expect(page.get_by_role("heading", name=heading)).to_be_visible()
        assert await sideways(page) == []
        assert await violations(page, "color-contrast") == []
