"""The page follows all types over one connection: without a gap, and over a restart of the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, Request, expect
from showing import scene

from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server
from tests.dashboard.conftest import Watch
from tests.processes import Children, children

BODY = {"owner_id": "y", "data": {"instances": [{"VCPU": 1}]}}
REFUSED = "net::ERR_"
"""What Chromium says of a call to an API that is away."""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Children]:
    with children(tmp_path) as started:
        yield started


def submit(url: str, *names: str) -> None:
    """Submit jobs from elsewhere."""
    for name in names:
        body = {**BODY, "request_id": name}
        assert httpx.post(f"{url}/v1/vm/", json=body).status_code == 201


def have_job(url: str) -> None:
    """Submit the job of a type that several tests look at, if none of them has."""
    answer = httpx.post(f"{url}/v1/away/", json={**BODY, "request_id": "d"})
    assert answer.status_code in (201, 409)


async def test_what_happens_elsewhere_is_shown(page: Page, broker: Broker, url: str) -> None:
    """A job that somebody submits comes into the line; a hidden page asks nothing, and has caught
    up when it is shown again."""
    await broker.set_host("vm", Host("h", {"VCPU": 4}))
    await scene.submit(broker, "vm", "first", "y", [{"VCPU": 8}])
    await page.goto(f"{url}/line/vm")
    await expect(page.get_by_role("link", name="first")).to_be_visible()
    await scene.submit(broker, "vm", "second", "y", [{"VCPU": 8}])
    await expect(page.get_by_role("link", name="second")).to_be_visible()
    await page.evaluate(HIDE, True)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await scene.submit(broker, "vm", "third", "y", [{"VCPU": 8}])
    await expect(page.locator(".live")).to_have_text("Live")
    assert requests == []
    await page.evaluate(HIDE, False)
    await expect(page.get_by_role("link", name="third")).to_be_visible()
    assert any(url.endswith("/events") for url in requests)


HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


async def test_the_overview_tells_what_happens_in_every_type(
    page: Page, broker: Broker, url: str
) -> None:
    """A job submitted over HTTP comes into "Just now" and into its row's count, also after a break
    of a stream that had told where it began and no event."""
    for type_ in ("vm", "gpu"):
        await broker.set_host(type_, Host("h", {"VCPU": 4}))
    await scene.submit(broker, "gpu", "in-the-break", "y", [{"VCPU": 8}])
    begun = "id: 0\r\n\r\n"  # the place before every event
    first = {"headers": {"Content-Type": "text/event-stream"}, "body": begun}
    await page.route("**/events", lambda route: route.fulfill(**first), times=1)
    await page.goto(f"{url}/")
    feed = page.get_by_role("region", name="Just now")
    await expect(feed.get_by_role("link", name="in-the-break")).to_be_visible()
    body = {**BODY, "request_id": "at-once", "data": {"instances": [{"VCPU": 8}]}}
    async with httpx.AsyncClient(base_url=url) as api:
        assert (await api.post("/v1/vm/", json=body)).status_code == 201
    await expect(feed.get_by_role("listitem").first).to_contain_text("at-once waits in vm")
    for type_ in ("vm", "gpu"):
        row = page.get_by_role("row").filter(has=page.get_by_role("link", name=type_, exact=True))
        await expect(row.locator("td").nth(1)).to_have_text("1")


async def test_one_connection_serves_every_view(page: Page, broker: Broker, url: str) -> None:
    """Who goes from view to view and from type to type keeps the one stream of the page."""
    for type_ in ("vm", "gpu"):
        await scene.submit(broker, type_, f"first-{type_}", "y", [{"VCPU": 8}])
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if is_stream(request) else None)
    await page.goto(f"{url}/")
    for type_ in ("vm", "gpu"):
        await page.get_by_role("navigation", name="Types").get_by_role("link", name=type_).click()
        await expect(page.get_by_role("link", name=f"first-{type_}")).to_be_visible()
    await scene.submit(broker, "gpu", "second", "y", [{"VCPU": 8}])
    await expect(page.get_by_role("link", name="second")).to_be_visible()
    assert streams == [f"{url}/events"]


async def test_more_types_than_a_stream_has_are_no_lost_connection(
    page: Page, watch: list[Watch], broker: Broker, url: str
) -> None:
    """Where the API refuses the stream of all types, a view follows its own type instead."""
    watch[0].allow("status of 400")
    await scene.submit(broker, "vm", "first", "y", [{"VCPU": 8}])
    await page.route("**/events", lambda route: route.fulfill(status=400, json={"error": "many"}))
    await page.goto(f"{url}/")
    await expect(page.get_by_role("region", name="Just now")).to_be_visible()
    await page.get_by_role("navigation", name="Types").get_by_role("link", name="vm").click()
    await expect(page.get_by_role("link", name="first")).to_be_visible()
    await scene.submit(broker, "vm", "second", "y", [{"VCPU": 8}])
    await expect(page.get_by_role("link", name="second")).to_be_visible()
    await expect(page.locator(".live")).to_have_text("Live")


def is_stream(request: Request) -> bool:
    """Tell whether a request is the page's stream of events."""
    return request.url.partition("?")[0].endswith("/events")


async def test_the_api_is_killed_and_comes_back(
    page: Page, watch: list[Watch], processes: Children, redis_server: Server
) -> None:
    """The page says after 3 s that it is not live, offers no change after 10, and goes on with what
    happened meanwhile once an API answers, without a reload."""
    watch[0].allow(REFUSED)
    api = processes.api(redis_server.url)
    api.ready()
    url = api.url
    submit(url, "before")
    await page.clock.install()
    await page.goto(f"{url}/line/vm")
    await expect(page.get_by_role("link", name="before")).to_be_visible()
    pause = page.get_by_role("button", name="Pause grants")
    await expect(pause).to_be_enabled()
    await page.evaluate("window.sameLoad = true")
    api.kill()
    await page.clock.fast_forward(3_500)
    await expect(page.locator(".live")).to_contain_text("Not live since")
    await expect(pause).to_be_enabled()
    await page.clock.fast_forward(7_000)
    await expect(page.locator("main")).to_contain_text("has not answered since")
    await expect(pause).to_be_disabled()
    await expect(pause).to_have_css("cursor", "not-allowed")  # it looks so, too
    await expect(page.get_by_text("The API does not answer.")).to_have_count(0)
    port = url.rpartition(":")[2]
    again = processes.start("api", "--port", port, "--redis", redis_server.url, "--workers", "2")
    again.url = url
    again.ready()
    submit(url, "meanwhile")
    await expect(page.locator(".live")).to_have_text("Live", timeout=30_000)
    await expect(page.get_by_role("link", name="meanwhile")).to_be_visible()
    await expect(pause).to_be_enabled()
    assert await page.evaluate("window.sameLoad")


@pytest.mark.parametrize("view", ["", "line/away", "hosts/away", "job/away/d", "reports/away"])
async def test_a_page_asks_less_and_less_while_the_api_is_away(
    page: Page, watch: list[Watch], processes: Children, redis_server: Server, view: str
) -> None:
    """What it repeats by itself becomes one request that waits up to 15 s; it asks at once when the
    network is back, when it is shown again and when the person says so; and says when it asks."""
    watch[0].allow(REFUSED)
    api = processes.api(redis_server.url)
    api.ready()
    have_job(api.url)
    await page.clock.install()
    await page.goto(f"{api.url}/{view}")
    await expect(page.locator(".live")).to_have_text("Live")
    await expect(page.locator("main h1")).to_be_visible()
    api.kill()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(api.url)))
    await pass_time(page, seconds=20)
    assert 3 <= len(asked) <= 20, asked
    asked.clear()
    await pass_time(page, seconds=40)
    assert 2 <= len(asked) <= 6, asked
    note = page.locator(".note", has_text="has not answered since")
    await expect(note).to_contain_text("Next try in")
    for ask in (BACK_ONLINE, SHOWN_AGAIN):
        async with page.expect_request("**/v1/"):
            await page.evaluate(ask)
        await expect(note).to_contain_text("Next try in")
    async with page.expect_request("**/v1/"):
        await note.get_by_role("button", name="Try now").click()


BACK_ONLINE = "() => window.dispatchEvent(new Event('online'))"
SHOWN_AGAIN = "() => document.dispatchEvent(new Event('visibilitychange'))"


async def pass_time(page: Page, seconds: int) -> None:
    """Let time pass in a page whose clock is ours, and between its steps what it asks for fail."""
    for _ in range(2 * seconds):
        await page.clock.run_for(500)
        await page.wait_for_timeout(20)
