"""The hosts: a map of all, who holds one, where a size would fit, and draining."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page, expect

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests import making
from tests.dashboard.asking import changes, read, send
from tests.dashboard.conftest import PHONE, Watch, sideways

HOST: dict[str, Any] = {"capacity": {"VCPU": 64, "Memory": 65536}, "aggregates": ["a"]}


async def test_a_host_says_who_holds_it_and_since_when(
    url: str, page: Page, broker: Broker
) -> None:
    """A click on a tile shows used, held and free, and the job that holds, which is a link."""
    await making.bring(broker, Status.RUNNING, "holder", "vm")
    await page.goto(f"{url}/hosts/vm")
    await page.get_by_role("button", name="h1: VCPU 2 % taken").click()
    await expect(page).to_have_url(f"{url}/hosts/vm?host=h1")
    await page.reload()  # what is chosen stands in the address
    chosen = page.get_by_role("complementary", name="h1")
    await expect(chosen.get_by_role("img")).to_have_accessible_name(
        "VCPU: 0 used, 1 held, 0 kept, 63 free of 64"
    )
    await expect(chosen).to_contain_text("Held by 1 job")
    await expect(chosen).to_contain_text("o · since")
    await chosen.get_by_role("link", name="holder").click()
    await expect(page.get_by_role("heading", name="holder", level=1)).to_be_visible()


async def test_a_host_is_drained_and_put_back(url: str, page: Page) -> None:
    """Draining asks once and says who stays; what was drained is put back as it was."""
    await send(url, "PUT", "/types/vm/hosts/h1", {**HOST, "used": {"VCPU": 3}, "traits": ["X"]})
    before = await read(url, "/types/vm/hosts/h1")
    await page.goto(f"{url}/hosts/vm?host=h1")
    await page.get_by_role("button", name="Drain…").click()
    dialog = page.get_by_role("dialog", name="Drain h1?")
    await expect(dialog).to_contain_text("no job holds it")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await dialog.get_by_role("button", name="Drain").click()
    out = page.get_by_role("region", name="Out of service")
    await expect(out).to_contain_text("h1")
    assert await read(url, "/types/vm/hosts") == []
    await out.get_by_role("button", name="Put back: h1").click()
    await expect(
        page.get_by_role("button", name="h1: VCPU 5 % taken; Memory 0 % taken")
    ).to_be_visible()
    assert await read(url, "/types/vm/hosts/h1") == before
    verbs = [verb for verb, _, _ in await changes(url, "vm")]
    assert verbs == ["set_host", "drop_host", "set_host"]


async def test_a_host_in_use_drains_until_its_last_job_ends(
    url: str, page: Page, broker: Broker
) -> None:
    """A drained host that a job holds stays in the map as draining, and can be put back there."""
    await making.bring(broker, Status.RUNNING, "holder", "vm")
    await page.goto(f"{url}/hosts/vm?host=h1")
    await page.get_by_role("button", name="Drain…").click()
    dialog = page.get_by_role("dialog", name="Drain h1?")
    await expect(dialog).to_contain_text("1 job keeps what it holds")
    await dialog.get_by_role("button", name="Drain").click()
    await expect(page.get_by_role("button", name="Draining")).to_be_visible()
    await page.get_by_role("button", name="Put back: h1").click()
    await expect(page.get_by_role("button", name="h1: VCPU 2 % taken", exact=True)).to_be_visible()
    assert not (await read(url, "/types/vm/hosts/h1"))["dropped"]


async def test_a_size_is_shown_where_it_would_fit(url: str, page: Page) -> None:
    """The hosts with room for one instance are marked, and counted; the address keeps the size."""
    for name, vcpu in (("small", 4), ("large", 64)):
        await send(url, "PUT", f"/types/vm/hosts/{name}", {**HOST, "capacity": {"VCPU": vcpu}})
    await page.goto(f"{url}/hosts/vm")
    await page.locator("summary").filter(has_text="Where would it fit?").click()
    await page.get_by_role("spinbutton", name="VCPU").fill("16")
    await page.locator("form").get_by_role("button", name="Where would it fit?").click()
    await expect(page.get_by_text("16 VCPU fits on 1 of 2 hosts now.")).to_be_visible()
    await expect(page.get_by_role("button", name="large: VCPU 0 % taken; fits")).to_be_visible()
    await expect(page).to_have_url(f"{url}/hosts/vm?fit=VCPU%3A16")


async def test_a_thousand_hosts_are_one_page(url: str, page: Page, watch: list[Watch]) -> None:
    """All tiles are there at once, arrow keys reach them, and nothing scrolls sideways."""
    watch[-1].allow("status of 404")  # of holders: the API has none of these hosts
    one = await send(url, "PUT", "/types/vm/hosts/one", HOST)
    hosts = [{**one, "name": f"node-{n:04}", "aggregates": [f"rack-{n % 10}"]} for n in range(1000)]
    await page.route("**/hosts/", lambda route: route.fulfill(json={"data": hosts, "ok": True}))
    await page.route("**/holders", lambda route: route.fulfill(json={"data": [], "ok": True}))
    await page.goto(f"{url}/hosts/vm")
    tiles = page.locator(".tile")
    await expect(tiles).to_have_count(1000)
    assert await sideways(page) == []
    await page.set_viewport_size(PHONE)
    assert await sideways(page) == []
    await tiles.first.focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowRight")
    assert await page.evaluate("document.activeElement.classList.contains('tile')")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("complementary", name="node-")).to_be_visible()


async def test_capacity_that_is_kept_is_drawn_and_named(
    url: str, page: Page, broker: Broker
) -> None:
    """A host that is kept for the next job says for which, and from when on."""
    await broker.set_policy("vm", {"patience": 0})
    await making.bring(broker, Status.RUNNING, "holder", "vm")
    await making.submit(broker, "big", "vm", shape=making.shape({"VCPU": 64}))
    await page.goto(f"{url}/hosts/vm?host=h1")
    await expect(page.get_by_role("button", name="h1: VCPU 2 % taken; Kept")).to_be_visible()
    chosen = page.get_by_role("complementary", name="h1")
    await expect(chosen).to_contain_text("big starts here about")


async def test_a_type_without_hosts_says_so(url: str, page: Page, broker: Broker) -> None:
    """Without a host the page says that nothing can be granted, and how one is published."""
    await making.submit(broker, "d", "vm")
    await page.goto(f"{url}/hosts/vm")
    await expect(page.get_by_text("Until then nothing can be granted.")).to_be_visible()


async def test_hosts_without_aggregate_count_as_none(url: str, page: Page) -> None:
    """The head counts the aggregates that have names: hosts without one are in none."""
    for name, aggregates in (("h1", ["a"]), ("h2", ["a"]), ("h3", [])):
        await send(url, "PUT", f"/types/vm/hosts/{name}", {**HOST, "aggregates": aggregates})
    await page.goto(f"{url}/hosts/vm")
    await expect(
        page.get_by_role("heading", name="3 hosts, 1 aggregate", exact=True)
    ).to_be_visible()
    await expect(page.get_by_role("region", name="No aggregate")).to_be_visible()
