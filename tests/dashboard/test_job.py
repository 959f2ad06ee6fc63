"""One job: why it waits, what happened to it, its data, and what can be done with it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.async_api import Page, expect
from showing import scene

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, Settlement
from tests import making
from tests.dashboard.asking import changes, read, send
from tests.dashboard.conftest import module
from tests.dashboard.lines import TYPE, first_and_put_back, order, queue, with_times

TAIPEI = ZoneInfo("Asia/Taipei")
"""Where the viewer is."""
BESIDE_ITS_MARK = """() => {
  const [time, mark] = ["time", ".dot"].map((part) => document.querySelector(`.tl li ${part}`));
  return time && mark && time.getBoundingClientRect().right <= mark.getBoundingClientRect().left;
}"""
"""Whether the first time of the timeline ends before its mark begins."""
BIG = "92233720368547758079007199254740993"


@pytest.fixture(autouse=True)
def _busy(page: Page, watch: list[Any]) -> None:
    """Let the API say that a reason takes too long on a loaded machine: the page asks again."""
    del page
    watch[-1].allow("503")


async def act(page: Page, button: str, title: str, yes: str) -> None:
    """Choose an action, of the menu if it stands there, and say yes to what it asks."""
    if not await page.get_by_role("button", name=button).is_visible():
        await page.get_by_role("button", name="More").click()
    await page.get_by_role("button", name=button).click()
    dialog = page.get_by_role("dialog", name=title)
    await dialog.get_by_role("button", name=yes, exact=True).click()
    await expect(dialog).to_be_hidden()


async def test_a_waiting_job_says_why_for_whom_and_when(page: Page, lab: str) -> None:
    """The reason, the holders with their predicted ends, and our record of being right are told."""
    await page.goto(f"{lab}/line/vm")
    await page.get_by_role("grid").get_by_role("link").first.click()
    why = page.get_by_role("region", name="Why it waits")
    await expect(why.locator(".say")).not_to_be_empty()
    await expect(page.get_by_role("region", name="When its turn comes")).to_contain_text("forecast")
    await expect(page.get_by_role("region", name="Timeline")).to_contain_text("Submitted by")


async def test_the_turn_of_a_job_that_no_host_could_hold(
    url: str, page: Page, broker: Broker
) -> None:
    """It is said once that it never comes, and that no host could hold the job."""
    await broker.set_host(TYPE, Host("h1", {"VCPU": 1}))
    await queue(broker, "wide")
    await page.goto(f"{url}/job/{quote(TYPE)}/wide")
    said = page.get_by_role("region", name="When its turn comes").locator(".eta-big")
    await expect(said).to_have_text("NeverNo host could hold it.")


async def test_a_timeline_has_grants_and_callbacks(url: str, page: Page, broker: Broker) -> None:
    """Submit, grant, each attempt with its cause and milliseconds, and the end stand in order."""
    await making.publish(broker, "h1", "vm")
    await making.grant(broker, await making.submit(broker, "d", "vm"))
    await making.settle(
        broker, await making.claim_one(broker), Settlement("retry", "http_503", 212)
    )
    await making.settle(
        broker, await making.claim_one(broker), Settlement("failed", "timeout", 9876)
    )
    await page.goto(f"{url}/job/vm/d")
    steps = page.get_by_role("region", name="Timeline").get_by_role("listitem")
    await expect(steps).to_contain_text(
        [
            "Submitted by o",
            "Granted",
            "failed: 503",
            "failed: Timeout",
            "In error",
        ]
    )
    await expect(steps.nth(3)).to_contain_text("9,876 ms")
    await expect(page.get_by_role("region", name="Callback attempts")).to_contain_text("503")


async def test_a_job_of_another_day_says_of_which(url: str, page: Page, broker: Broker) -> None:
    """Times of the past have their day, beside the marks of the timeline and not below them; a
    forecast just after midnight has none."""
    await making.submit(broker, "d", "vm")
    await page.route("**/modules/**", module)
    evening = datetime.now(TAIPEI).replace(hour=23, minute=50) + timedelta(days=2)
    await page.clock.set_fixed_time(evening)
    await page.goto(f"{url}/job/vm/d")
    timeline = page.get_by_role("region", name="Timeline")
    await expect(timeline.locator("time").first).to_have_text(re.compile(r"^\w+ \d+, \d\d:\d\d$"))
    # Both places at one moment: the page is drawn anew as it learns more.
    await page.wait_for_function(BESIDE_ITS_MARK)
    said = (
        "after => import('/modules/js/format.js').then(({ minute }) => minute(Date.now() + after))"
    )
    assert await page.evaluate(said, 30 * 60_000) == "00:20"
    assert re.fullmatch(r"\w+ \d+, 12:50", await page.evaluate(said, 13 * 3_600_000))


async def test_data_keeps_every_digit_and_markup_is_text(url: str, page: Page) -> None:
    """Numbers that JavaScript cannot hold are shown as they were sent, a name of markup as text."""
    body = f'{{"request_id": "{scene.HOSTILE}", "owner_id": "o", "data": {{"run": {BIG}}}}}'
    async with httpx.AsyncClient(base_url=url) as api:
        assert (await api.post("/v1/vm/", content=body)).status_code == 201
    await page.goto(f"{url}/line/vm")
    await page.get_by_role("grid").get_by_role("link", name=scene.HOSTILE).click()
    await expect(page.get_by_role("heading", name=scene.HOSTILE, level=1)).to_be_visible()
    await expect(page.get_by_role("region", name="Raw data")).to_contain_text(f'"run": {BIG}')


FRONT = ("Move to front", "Move d from 2 to 1?", "Move to 1")
END = ("End it…", "End d?", "End it")
AGAIN = ("Put back in line…", "Put d back in line?", "Put back in line")


@pytest.mark.parametrize(
    "did",
    [
        (Status.QUEUED, FRONT, {"Position": 1}),
        (Status.QUEUED, END, {"Status": "done"}),
        (Status.RUNNING, AGAIN, {"Status": "queued"}),
        (Status.RUNNING, END, {"Status": "done"}),
    ],
)
async def test_an_action_does_what_it_said(
    url: str, page: Page, broker: Broker, did: tuple[Status, tuple[str, str, str], dict[str, Any]]
) -> None:
    """Each action asks once, changes the job as the API then says, and is in the audit log."""
    status, action, expected = did
    await making.submit(broker, "first", "vm")
    await making.bring(broker, status, "d", "vm")
    await page.goto(f"{url}/job/vm/d")
    await act(page, *action)
    await expect(page.locator("main [role=status]:not(:empty)").first).to_be_visible()
    job = await read(url, "/v1/vm/d")
    assert expected.items() <= job.items()
    assert (await changes(url, "vm"))[0][1] == "d"


async def test_a_job_is_moved_to_the_front_after_a_preview(
    url: str, page: Page, broker: Broker
) -> None:
    """The preview says whose turn comes later by how much, as in the line; Undo moves back."""
    await queue(broker, "a", "b", "c")
    await page.route("**/what-if", with_times)
    await page.goto(f"{url}/job/{quote(TYPE)}/c")
    await page.get_by_role("button", name="Move to front").click()
    dialog = page.get_by_role("dialog", name="Move c from 3 to 1?")
    await expect(dialog).to_contain_text("2 jobs would start later, by 1 h at most.")
    assert await order(broker) == ["a", "b", "c"]
    await dialog.get_by_role("button", name="Move to 1").click()
    await first_and_put_back(page, broker)


async def test_a_withdrawn_job_leads_to_the_line(
    url: str, page: Page, broker: Broker, watch: list[Any]
) -> None:
    """Withdrawing says what it gives back, leads to the line, and leaves a line in the log."""
    watch[-1].allow("404")  # a read that was on its way
    await making.bring(broker, Status.RUNNING, "d", "vm")
    await making.submit(broker, "d", "other")
    await page.goto(f"{url}/job/vm/d")
    await page.get_by_role("button", name="More").click()
    await page.get_by_role("button", name="Withdraw…").click()
    dialog = page.get_by_role("dialog", name="Withdraw d?")
    await expect(dialog).to_contain_text("gives back what it holds on h1")
    await dialog.get_by_role("button", name="Withdraw").click()
    await expect(page).to_have_url(f"{url}/line/vm")
    assert (await changes(url, "vm"))[0][:2] == ("withdraw", "d")


async def test_a_job_that_is_not_there_is_looked_for(
    url: str, page: Page, broker: Broker, watch: list[Any]
) -> None:
    """A missing job says where it may be, and one of the same name in another type is found."""
    watch[-1].allow("404")
    await broker.set_policy("vm", {"retention": 86400})
    await making.submit(broker, "d", "other")
    await page.goto(f"{url}/job/vm/d")
    await expect(page.get_by_text("kept as long as the policy says (1 d)")).to_be_visible()
    await page.get_by_role("button", name="Search all types").click()
    await page.get_by_role("link", name="other", exact=True).last.click()
    await expect(page).to_have_url(f"{url}/job/other/d")


async def test_numbers_are_changed_within_their_bounds(
    url: str, page: Page, broker: Broker
) -> None:
    """Priority and expected are asked for by a field that refuses what the API would refuse."""
    await making.submit(broker, "d", "vm")
    await page.goto(f"{url}/job/vm/d")
    await page.get_by_role("button", name="More").click()
    await page.get_by_role("button", name="Change expected time…").click()
    await page.get_by_label("Seconds from its grant on").fill("-5")
    await expect(page.get_by_text("A whole number from 1 to")).to_be_visible()
    await expect(page.get_by_role("button", name="Save")).to_be_disabled()
    await page.get_by_label("Seconds from its grant on").fill("3600")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="Facts")).to_contain_text("1 h, said by client")
    assert (await read(url, "/v1/vm/d"))["Expected"] == 3600


async def test_a_refused_action_says_why_beside_its_button(
    url: str, page: Page, broker: Broker, watch: list[Any]
) -> None:
    """What the API refuses is told in the dialog, with its code and its request."""
    watch[-1].allow("409", "412", "404")
    await making.bring(broker, Status.RUNNING, "d", "vm")
    await page.goto(f"{url}/job/vm/d")
    await page.get_by_role("button", name="Put back in line…").click()
    await send(url, "POST", "/v1/vm/d", {"status": "queued"})
    job = await broker.read("vm", "d")
    assert await making.grant(broker, job)
    await page.get_by_role("dialog").get_by_role("button", name="Put back in line").click()
    alert = page.get_by_role("dialog").get_by_role("alert")
    await expect(alert).to_contain_text("stale_fence")
    await expect(alert).to_contain_text("Request ")
