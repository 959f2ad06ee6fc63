"""The policy: each field explained once, changed with a preview, refused at the field."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

from playwright.async_api import Page, expect

from rq_broker.domain.policy import ROWS
from rq_broker.store.broker import Broker
from tests import making
from tests.dashboard.asking import changes, read

TEXTS = resources.files("rq_broker.api") / "dashboard" / "js" / "texts" / "policy.js"


async def test_each_field_is_explained_as_the_api_does_and_in_chinese() -> None:
    """The page says of each field what the API's document says, and has it in both languages."""
    pair = re.compile(r'"means\.(\w+)": (\[".*"\]),\n')
    texts = {name: json.loads(text) for name, text in pair.findall(TEXTS.read_text("utf-8"))}
    assert {name: en for name, (en, _) in texts.items()} == {row.name: row.meaning for row in ROWS}
    assert all(zh for _, zh in texts.values())


async def test_a_change_is_shown_before_it_is_made(url: str, page: Page, broker: Broker) -> None:
    """What changes is listed before and after; only then is it changed, and logged."""
    await broker.set_policy("vm", {"limits": {"lab": {"VCPU": 8}, "old": {"VCPU": 1}}})
    await page.goto(f"{url}/policy/vm")
    await page.get_by_label("Patience").fill("1 h 30 min")
    await page.get_by_role("checkbox", name="Strict order").check()
    await page.get_by_role("button", name="Remove old").click()
    await (
        page.get_by_role("group", name="Limits of owners limits", exact=True)
        .get_by_label("At most")
        .fill("16")
    )
    await page.get_by_role("button", name="Review 3 changes…").click()
    dialog = page.get_by_role("dialog", name="Change the policy of vm?")
    await expect(dialog.get_by_role("row", name="Patience 5 min 1 h 30")).to_be_visible()
    assert (await broker.policy("vm")).patience == 300
    await dialog.get_by_role("button", name="Change the policy").click()
    await expect(page.get_by_text("The policy is changed.")).to_be_visible()
    policy = (await read(url, "/types/vm"))["policy"]
    assert (policy["patience"], policy["strict_order"]) == (5400, True)
    assert policy["limits"] == {"lab": {"VCPU": 16}}
    assert (await changes(url, "vm"))[0][0] == "set_policy"


async def test_a_value_out_of_bounds_is_told_at_its_field(
    url: str, page: Page, broker: Broker
) -> None:
    """A field says which values it takes, and nothing can be saved meanwhile."""
    await broker.set_policy("vm", {"patience": 60})
    await page.goto(f"{url}/policy/vm")
    field = page.get_by_label("Callbacks at once")
    await field.fill("0")
    await expect(page.get_by_text("A whole number from 1 to 10,000.")).to_be_visible()
    assert await field.get_attribute("aria-invalid") == "true"
    await expect(page.get_by_role("button", name="A value is wrong")).to_be_disabled()
    await page.get_by_role("button", name="Discard").click()
    await expect(field).to_have_value("32")


async def test_what_the_api_refuses_is_told_at_its_field(
    url: str, page: Page, broker: Broker, watch: list[Any]
) -> None:
    """A refusal that the page could not foresee stands at the field that it names."""
    watch[-1].allow("409", "400")
    await broker.set_policy("vm", {"patience": 60})
    await page.goto(f"{url}/policy/vm")
    await page.locator("#p-names").select_option("per_owner")
    await making.submit(broker, "d", "vm")
    await page.get_by_role("button", name="Review 1 change…").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Change the policy").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("names")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#p-names-e")).to_contain_text("names")


async def test_what_is_typed_outlasts_what_is_read(url: str, page: Page, broker: Broker) -> None:
    """A field that somebody writes in keeps its text while the page reads the policy anew; the
    others show what another has changed."""
    await broker.set_policy("vm", {"patience": 60})
    await page.goto(f"{url}/policy/vm")
    await page.get_by_label("Patience").fill("1 h 3")
    await broker.set_policy("vm", {"patience": 120, "concurrency": 7})
    await page.get_by_role("button", name="Pause grants").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause grants").click()
    await expect(page.get_by_label("Callbacks at once")).to_have_value("7")
    async with page.expect_response("**/v1/"):  # the page's own next poll
        pass
    await expect(page.get_by_label("Patience")).to_have_value("1 h 3")


async def test_grants_are_paused_and_resumed(url: str, page: Page, broker: Broker) -> None:
    """Pausing asks once and says what goes on; resuming is one click; both are logged."""
    await broker.set_policy("vm", {"patience": 60})
    await page.goto(f"{url}/policy/vm")
    await page.get_by_role("button", name="Pause grants").click()
    await page.get_by_role("dialog").get_by_role("button", name="Pause grants").click()
    await expect(page.get_by_text("Paused", exact=True)).to_be_visible()
    assert (await broker.policy("vm")).paused
    await page.get_by_role("button", name="Resume grants").click()
    await expect(page.get_by_text("Granting", exact=True)).to_be_visible()
    paused = [after.get("paused") for _, _, after in await changes(url, "vm")]
    assert paused[:2] == [False, True]
