"""The callbacks: which receivers answer, and how what was given up gets back into the line."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect
from showing import scene

from rq_broker.admission.granter import Granter
from rq_broker.delivery.courier import Courier
from rq_broker.domain.deliveries import GONE, WITHDRAWN
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, Settlement
from tests import making
from tests.couriers import DOWN, OK, answering
from tests.dashboard.asking import changes, read, send
from tests.dashboard.conftest import cut


async def _give_up(broker: Broker, *names: str) -> None:
    """Let the callbacks of jobs fail for good, at one receiver whose breaker opens."""
    await making.publish(broker, "h1", "vm")
    for name in names:
        await making.grant_to(broker, "http://x:80", name)
        delivery = await making.claim_one(broker)
        failure = Settlement("failed", "connection_refused", 2, health="unhealthy")
        await making.settle(broker, delivery, failure)


async def test_a_receiver_that_does_not_answer_is_reset(
    url: str, page: Page, broker: Broker
) -> None:
    """Troubled receivers come first and can be filtered; a reset asks once and is logged."""
    await scene.fill(broker)
    await page.goto(f"{url}/callbacks/vm")
    await page.get_by_role("button", name="Trouble 2").click()
    await expect(page).to_have_url(f"{url}/callbacks/vm?only=trouble")
    row = page.get_by_role("row").filter(has_text=scene.AWAY).filter(has_text="vision")
    await expect(row).to_contain_text("failures in a row")
    await row.get_by_role("button", name="Reset…").click()
    dialog = page.get_by_role("dialog", name=f"Reset {scene.AWAY}?")
    await dialog.get_by_role("button", name="Reset").click()
    await expect(page.get_by_role("button", name="Trouble 1")).to_be_visible()
    assert (await changes(url, "vm", "reset"))[0][0] == "reset"


async def test_a_receiver_whose_last_call_failed_is_not_said_to_answer(
    url: str, page: Page, broker: Broker
) -> None:
    """Its breaker is still closed, and the row says that it fails, among those in trouble."""
    await _give_up(broker, "d")
    await page.goto(f"{url}/callbacks/vm?only=trouble")
    row = page.get_by_role("row").filter(has_text="1 failure in a row")
    await expect(row.locator(".badge")).to_have_text("Failing")
    await expect(page.get_by_role("button", name="Answers 0")).to_be_visible()


async def test_offers_that_nobody_took_are_no_receiver(
    url: str, page: Page, broker: Broker
) -> None:
    """Where nobody was called, the overview accuses no receiver, and the row tells of offers; the
    job that missed them stands among those in error, without attempts."""
    await making.publish(broker, "h1", "vm")
    await broker.set_policy("vm", {"offer": 0.01})
    job = {"request_id": "d", "owner_id": "y", "data": {"instances": [{"VCPU": 1}]}}
    await send(url, "POST", "/v1/vm/", job)
    while (await read(url, "/v1/vm/d"))["Status"] != "error":
        await Granter(broker, "vm").run_once()
        await broker.sweep("vm")
    await page.goto(f"{url}/callbacks/vm")
    row = page.get_by_role("row").filter(has_text="Offers without callback")
    await expect(row).to_contain_text("3 missed in a row")
    await expect(row).not_to_contain_text(re.compile("answering|failure"))
    ended = page.get_by_role("region", name="Jobs in error").get_by_role("row").filter(has_text="d")
    await expect(ended.locator("[data-l=Attempts]")).to_have_text("—")
    await expect(ended.locator(".badge")).to_have_text("Offers missed")
    await row.get_by_role("button", name="Reset… Offers without callback y").click()
    dialog = page.get_by_role("dialog", name="Reset Offers without callback?")
    await expect(dialog).to_contain_text("Nobody is called.")
    await dialog.get_by_role("button", name="Reset").click()
    await expect(row.locator(".badge")).to_have_text("Taken")


async def test_a_receiver_is_tested(url: str, page: Page, broker: Broker) -> None:
    """A test goes to where the receiver's jobs are called, from a notifier; what became of it
    stands in the dialog, the failure first and then, once it is repaired, the answer."""
    await _give_up(broker, "d")
    sender = answering(DOWN, OK)
    courier = Courier(broker, "vm", sender, asyncio.Semaphore(4))
    await page.goto(f"{url}/callbacks/vm")
    await page.get_by_role("button", name="Test… http://x:80 o").click()
    dialog = page.get_by_role("dialog", name="Send a test to http://x:80?")
    await expect(dialog.get_by_label("Address")).to_have_value("http://x:80/d")
    assert await cut(dialog) == []
    for answer in ("503", "200"):
        sent = len(sender.urls)
        await dialog.get_by_role("button", name="Send").click()
        while len(sender.urls) == sent:
            await courier.tests.run_once()
        await expect(dialog.get_by_role("status")).to_contain_text(f"{answer} 1 ms")
    assert sender.urls == ["http://x:80/d"] * 2
    assert len(await changes(url, "vm", "send_test")) == 2


async def test_one_job_that_was_given_up_is_requeued(url: str, page: Page, broker: Broker) -> None:
    """The job goes back into the line by one click, which the audit log has."""
    await _give_up(broker, "d")
    await page.goto(f"{url}/callbacks/vm")
    row = page.get_by_role("row").filter(has_text="d").filter(has_text="Refused").last
    await row.get_by_role("button", name="Requeue d").click()
    await expect(page.get_by_text("No job is in error.")).to_be_visible()
    await expect(page.get_by_text("d is back in the line.")).to_be_visible()
    assert (await read(url, "/v1/vm/d"))["Status"] == "queued"
    assert (await changes(url, "vm"))[0] == ("transition", "d", {"status": "queued"})


async def test_a_job_that_its_receiver_gave_up_has_its_answer(
    url: str, page: Page, broker: Broker
) -> None:
    """The 410 of a receiver stands as other answers do, and not as a sentence in English."""
    await making.publish(broker, "h1", "vm")
    await making.grant_to(broker, "http://x:80", "d")
    gone = Settlement("failed", GONE, error=WITHDRAWN)
    await making.settle(broker, await making.claim_one(broker), gone)
    await page.goto(f"{url}/callbacks/vm")
    button = page.get_by_role("button", name="Requeue d")
    row = page.get_by_role("row").filter(has=button)
    await expect(row.locator(".badge")).to_have_text("410")
    await expect(row).not_to_contain_text("withdrawn")


async def test_all_jobs_are_requeued_after_a_dry_run(url: str, page: Page, broker: Broker) -> None:
    """The dialog says first how many are meant, and afterwards how many went back."""
    names = [f"job-{n}" for n in range(9)]
    await making.publish(broker, "h1", "vm")
    for name in names:
        await making.bring(broker, Status.ERROR, name, "vm")
    await page.goto(f"{url}/callbacks/vm")
    await page.get_by_role("button", name="Requeue all 9…").click()
    dialog = page.get_by_role("dialog", name="Put 9 jobs back in line?")
    await expect(dialog).to_contain_text("and 1 more")
    assert (await read(url, "/types/vm"))["counts"]["error"] == 9
    await dialog.get_by_role("button", name="Put back").click()
    await expect(page.get_by_text("9 put back in line.")).to_be_visible()
    assert (await read(url, "/types/vm"))["counts"]["queued"] == 9


@pytest.mark.parametrize("language", ["en", "zh-Hant"])
async def test_a_type_that_called_nobody_says_so(
    url: str, page: Page, broker: Broker, language: str
) -> None:
    """Without a callback the page says when one will stand there, in both languages."""
    await making.submit(broker, "d", "vm")
    await page.add_init_script(f"localStorage.setItem('language', '{language}')")
    await page.goto(f"{url}/callbacks/vm")
    title = {"en": "No callback was sent yet", "zh-Hant": "還沒有送出回呼"}[language]
    await expect(page.get_by_role("heading", name=title)).to_be_visible()
