"""The page under attack: other pages in its user's browser, and names that are markup."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from rq_broker.api.server.connections import Connections
from rq_broker.domain.capacity import Host
from rq_broker.domain.identity import ACTOR, Actor, Role
from rq_broker.domain.tokens import NewToken
from rq_broker.identity import tokens
from rq_broker.identity.tokens import TokenAuthenticator
from rq_broker.store.broker import Broker
from tests.api.server.serving import LIMITS, lifespan_of
from tests.dashboard.conftest import PATIENCE_MS, Watch, app_of, served
from tests.making import submit

# Another page on another port of the same name: to the browser it is the same site, so that
# SameSite=Strict lets it send the cookie. It tries each way that a page has to send something.
EVIL = """<!doctype html><title>evil</title>
<iframe name="sink"></iframe><iframe id="frame"></iframe>
<script>
const lab = "LAB", json = {"Content-Type": "application/json"};
async function attempt(path, options) {
  try {
    const answer = await fetch(lab + path, {credentials: "include", ...options});
    return answer.type === "opaque" ? "opaque" : "read " + (await answer.text()).slice(0, 60);
  } catch { return "failed"; }
}
function form(path, type, name, value) {
  const form = document.createElement("form");
  Object.assign(form, {action: lab + path, method: "post", enctype: type, target: "sink"});
  const field = document.createElement("input");
  Object.assign(field, {name, value});
  form.append(field); document.body.append(form);
  return new Promise(done => {
    document.querySelector("iframe[name=sink]").onload = () => done("sent");
    form.submit();
  });
}
function stream(path) {
  return new Promise(done => {
    const source = new EventSource(lab + path, {withCredentials: true});
    source.onopen = () => { source.close(); done("read"); };
    source.onerror = () => { source.close(); done("failed"); };
  });
}
function loads(kind, path) {
  return new Promise(done => {
    const element = document.createElement(kind);
    element.onload = () => done("loaded");
    element.onerror = () => done("failed");
    element.src = lab + path;
    document.body.append(element);
  });
}
async function attack() {
  const pause = JSON.stringify({paused: true});
  const opaque = {method: "POST", mode: "no-cors"};
  const results = {
    "read": await attempt("/v1/vm"),
    "read opaque": await attempt("/v1/vm", {mode: "no-cors"}),
    "stream": await stream("/types/vm/events"),
    "script": await loads("script", "/v1/vm"),
    "image": await loads("img", "/v1/vm"),
    "put": await attempt("/types/vm", {method: "PUT", headers: json, body: pause}),
    "delete": await attempt("/v1/vm/d", {method: "DELETE"}),
    "sign out": await attempt("/session", {method: "DELETE"}),
    "sign in": await attempt("/session", opaque),
    "plain": await attempt("/v1/vm/d", {...opaque, body: '{"position": "back"}'}),
    "plain action": await attempt("/types/vm/actions",
      {...opaque, body: '{"action": "withdraw", "request_ids": ["d"]}'}),
    "empty": await attempt("/types/vm/destinations/reset", opaque),
    "form": await form("/v1/vm/d", "text/plain", '{"status": "error", "x": "', '"}'),
    "form data": await form("/session", "application/x-www-form-urlencoded", "a", "b"),
    "beacon": navigator.sendBeacon(lab + "/v1/vm/d", '{"status": "error"}') ? "sent" : "failed",
  };
  const frame = document.getElementById("frame");
  await new Promise(done => { frame.onload = done; frame.src = lab + "/line/vm"; });
  results.frame = frame.contentDocument === null ? "closed" : "open";
  return results;
}
</script>"""


class Witness:
    """An application that tells what came with a cookie from another page."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.seen: dict[tuple[str, str], int] = {}
        """Method and path → the status of the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and remember."""
        headers = dict(scope.get("headers", ()))
        if b"cookie" not in headers or headers.get(b"sec-fetch-site") != b"same-site":
            await self._app(scope, receive, send)
            return

        async def seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen[scope["method"], scope["path"]] = message["status"]
            await send(message)

        await self._app(scope, receive, seen)


async def test_a_page_on_another_port_reads_and_changes_nothing(
    browser: Browser, broker: Broker
) -> None:
    """The browser of an operator who is signed in sends the cookie for it, and the API refuses:
    no job, policy or session is changed, no answer read, no frame shown."""
    await submit(broker, "d")
    before = await broker.read("vm", "d")
    witness = Witness(app_of(broker, authenticators=[TokenAuthenticator(broker.token)]))
    token = await tokens.create(broker, NewToken(Role.OPERATOR, "me"))
    async with served(witness) as lab:
        page_of_evil = HTMLResponse(EVIL.replace("LAB", lab))

        async def evil(_: Request) -> HTMLResponse:
            return page_of_evil

        lifespan = lifespan_of(Connections(LIMITS, grace=1))
        evil_app = Starlette(routes=[Route("/", evil)], lifespan=lifespan)
        async with served(evil_app) as other:
            opened = await browser.new_context()
            opened.set_default_timeout(PATIENCE_MS)
            page = await opened.new_page()
            await page.goto(f"{lab}/line/vm")
            await page.get_by_label("Token").fill(token.secret)
            await page.keyboard.press("Enter")
            await expect(page.get_by_label("Signed in as token:me")).to_be_visible()
            attacker = await opened.new_page()
            await attacker.goto(other)
            results = await attacker.evaluate("attack()")
            again = await page.evaluate("fetch('/session').then(answer => answer.json())")
            await opened.close()
        broker.events.close()
    assert [
        name for name, result in results.items() if result.startswith(("read ", "loaded"))
    ] == []
    assert results["frame"] == "closed"
    for method, path in (("GET", "/v1/vm"), ("POST", "/v1/vm/d"), ("POST", "/types/vm/actions")):
        assert (method, path) in witness.seen  # so the cookie did come, and was not enough
    page_of_frame = witness.seen.pop(("GET", "/line/vm"), 200)
    assert page_of_frame == 200  # it is public, and its policy keeps it out of frames
    assert set(witness.seen.values()) == {403}
    assert await broker.read("vm", "d") == before
    assert not (await broker.policy("vm")).paused
    assert again["data"]["name"] == "token:me"
    assert [line.verb for line in (await broker.audit_log("/"))[0]] == ["create_session"]
    assert (await broker.audit_log("vm"))[0] == []


BAD = "<img src=x onerror=hacked=1>"
"""A name that is markup, wherever the broker takes one."""


@pytest_asyncio.fixture(loop_scope="session")
async def hostile(broker: Broker) -> AsyncIterator[str]:
    """Serve an API in which everything that somebody may name is markup."""
    acting = ACTOR.set(Actor(BAD, "10.9.9.9", BAD))
    host = Host(BAD, {"VCPU": 4, BAD: 1}, aggregates=frozenset({BAD}), traits=frozenset({BAD}))
    await broker.set_host(BAD, host)
    await broker.set_policy(BAD, {"limits": {BAD: {"VCPU": 9}}})
    for name in (BAD, f"{BAD}2", f"{BAD}3"):
        await submit(
            broker,
            name,
            type_=BAD,
            owner_id=BAD,
            callback=f"http://a.test/{quote(name)}",
            data=f'{{"note":"{BAD}"}}',
        )
    ACTOR.reset(acting)
    async with served(app_of(broker)) as url:
        yield url
        broker.events.close()


VIEWS = (
    *("", "line/TYPE", "hosts/TYPE", "callbacks/TYPE", "audit/TYPE", "policy/TYPE"),
    *("job/TYPE/TYPE", "reports/TYPE", "line/TYPE?find=TYPE", "job/TYPE/TYPEx"),
)


async def test_markup_in_names_is_text(hostile: str, page: Page, watch: list[Watch]) -> None:
    """In every view no script of a name runs and no element of it appears; what is loaded comes
    from the API alone, and the policy of the page has nothing to stop."""
    watch[0].allow("status of 404")  # of the job that is not there
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    shown = 0
    for view in VIEWS:
        await page.goto(f"{hostile}/{view.replace('TYPE', quote(BAD, safe=''))}")
        await expect(page.locator("main h1, main h2").first).to_be_visible()
        if not view:
            types = page.get_by_role("region", name="Types")
            await expect(types.get_by_role("link", name=BAD)).to_be_visible()
        assert await page.evaluate("typeof hacked") == "undefined", view
        assert await page.locator("img, iframe, object, embed").count() == 0, view
        shown += await page.get_by_text(BAD).count()
    assert shown > len(VIEWS)
    assert dialogs == []
