"""A real Chromium opens a hostile page, which tries all that a page can send; Redis stays as it is.

Without Chromium developers skip this file; in CI its absence is a failure.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from faulting.listener import listening
from playwright.async_api import BrowserContext, Route, async_playwright
from redis.asyncio import Redis
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rq_broker.api import create_app
from rq_broker.api.server.connections import Connections
from rq_broker.cli.serving import browser_rules
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from tests import making
from tests.api.server.serving import LIMITS, lifespan_of, running
from tests.api_client import SEED
from tests.processes import until

CHROMIUM = shutil.which("chromium")
REBOUND = "rebound.test"
"""A name of the attacker's, which leads to loopback once its page is open."""
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
    # Chromium keeps pages from local networks by itself; other browsers do not.
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
]

if not CHROMIUM and os.environ.get("CI") != "true":
    pytest.skip("there is no chromium on PATH: as root, apt-get install chromium", True)

PAGE = "<!doctype html><title>a page</title><iframe name=into></iframe>"
"""What hostile and friendly servers answer; the scripts come from the test."""

TRIES = """
async ({api, job}) => {
  const results = {};
  const outcome = async (name, attempt) => {
    try {
      const answer = await attempt();
      results[name] = answer === undefined ? 'sent' : `${answer.type} ${answer.status}`;
    } catch (error) { results[name] = 'failed'; }
  };
  const body = name => JSON.stringify({...job, request_id: name, callback: name});
  const post = (name, init) => outcome(name, () => fetch(`${api}/v1/vm/`,
    {method: 'POST', body: body(name), ...init}));
  const plain = {'Content-Type': 'text/plain'};
  await post('simple', {mode: 'no-cors', headers: plain});
  await post('simple-cors', {headers: plain});
  await post('json', {headers: {'Content-Type': 'application/json'}});
  await post('untyped', {mode: 'no-cors', body: new Blob([body('untyped')])});
  await post('keepalive', {mode: 'no-cors', keepalive: true, referrerPolicy: 'no-referrer'});
  await outcome('read', () => fetch(`${api}/v1/vm/`));
  await outcome('delete', () => fetch(`${api}/v1/vm/d`, {method: 'DELETE'}));
  await outcome('policy', () => fetch(`${api}/types/vm`,
    {method: 'PUT', body: '{"paused": true}'}));
  await outcome('keys', () => fetch(`${api}/types/vm/keys`, {method: 'POST', mode: 'no-cors',
    body: JSON.stringify({owner: '*', keys: []})}));
  await outcome('done', () => fetch(`${api}/v1/vm/d`, {method: 'POST', mode: 'no-cors',
    body: '{"status": "done"}'}));
  await outcome('beacon', async () => { navigator.sendBeacon(`${api}/v1/vm/`, body('beacon')); });
  await outcome('beacon-blob', async () => {
    navigator.sendBeacon(`${api}/v1/vm/`, new Blob([body('blob')], {type: 'text/plain'})); });
  const loaded = (name, element, path) => outcome(name, () => new Promise((done, fail) => {
    Object.assign(element, {src: api + path, onload: () => done(undefined), onerror: fail});
    document.body.append(element);
  }));
  await loaded('image', new Image(), '/v1/vm/d');
  await loaded('script', document.createElement('script'), '/v1/vm/');
  await loaded('frame', document.createElement('iframe'), '/docs/');
  for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
    await outcome(`form ${enctype}`, async () => {
      const form = document.createElement('form');
      const [before, after] = body('form').split('"form"');
      Object.assign(form, {action: `${api}/v1/vm/`, method: 'post', enctype, target: 'into'});
      const field = document.createElement('input');
      Object.assign(field, {name: `${before}"form", "x": "`, value: `"${after}`});
      form.append(field);
      document.body.append(form);
      const answered = new Promise(done => document.querySelector('[name=into]').onload = done);
      form.submit();
      await answered;
    });
  await outcome('events', () => new Promise((done, fail) => {
    const source = new EventSource(`${api}/v1/vm/`);
    source.onopen = done;
    source.onerror = event => { source.close(); fail(event); };
  }));
  await outcome('socket', () => new Promise((done, fail) => {
    const socket = new WebSocket(`${api.replace('http', 'ws')}/v1/vm/`);
    socket.onopen = () => done(undefined);
    socket.onerror = fail;
  }));
  await outcome('sandbox', async () => {
    const frame = document.createElement('iframe');
    frame.sandbox = 'allow-scripts';
    const init = JSON.stringify({method: 'POST', mode: 'no-cors', body: body('sandbox')});
    frame.srcdoc = `<script>fetch('${api}/v1/vm/', ${init})
      .finally(() => parent.postMessage('', '*'))<` + '/script>';
    const answered = new Promise(done => window.onmessage = done);
    document.body.append(frame);
    await answered;
  });
  return results;
}
"""
"""Sends everything that changes state in every way a page has; returns what became of each try."""

POSTS = 12
"""How many of them are a POST without a preflight. Beacons may come when the script has ended."""


class Recorder:
    """The API, and what it was asked: method, whether it was a preflight's, and the status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.answers: list[tuple[str, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers.append((scope["method"], message["status"]))
            await send(message)

        await self._app(scope, receive, noting)

    def statuses(self, method: str) -> list[int]:
        return [status for verb, status in self.answers if verb == method]


@asynccontextmanager
async def chromium(folder: Path) -> AsyncIterator[BrowserContext]:
    """Start a Chromium with an empty profile."""
    assert CHROMIUM, "CI installs chromium, and it is not there"
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(folder / "profile"), executable_path=CHROMIUM, args=ARGUMENTS
        )
        yield context
        await context.close()


@asynccontextmanager
async def site() -> AsyncIterator[str]:
    """Serve PAGE on loopback to whoever asks; yields its origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
        writer.write(head + PAGE.encode())
        await writer.drain()

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}"


async def contents(redis: Redis) -> dict[str, Any]:
    """Return every key of Redis with its value."""
    return {name: await redis.dump(name) async for name in redis.scan_iter()}


UNREAD = ("read", "simple-cors", "json", "delete", "policy", "events", "socket")
"""The tries that fail in the page itself, as it may not read the answer or was refused before."""


async def test_a_foreign_page_changes_nothing(real_client: Redis, tmp_path: Path) -> None:
    """A page on another port, and one whose name is rebound to the API, change no key of Redis and
    read nothing; a page that is named submits with the same script."""
    broker = Broker(real_client)
    await making.publish(broker, h=1)
    await making.submit(broker, "d")
    before = await contents(real_client)
    async with site() as evil, site() as friend, chromium(tmp_path) as browser:
        app = Recorder(
            create_app(
                broker,
                callback_base="http://127.0.0.1:9/",
                browsers=browser_rules(Settings(cors_origins=(friend,))),
                lifespan=lifespan_of(Connections(LIMITS, grace=5)),
            )
        )
        async with running(app) as server:
            url = f"http://127.0.0.1:{server.config.port}"
            results = await _attack(browser, evil, url, app)
            assert {name: results[name] for name in UNREAD} == dict.fromkeys(UNREAD, "failed")
            assert set(results.values()) == {"failed", "sent", "opaque 0"}
            assert set(app.statuses("POST")) == {403}
            assert set(app.statuses("OPTIONS")) == {405}
            assert (app.statuses("PUT"), app.statuses("DELETE")) == ([], [])
            assert await contents(real_client) == before
            await _rebound(browser, url.replace("127.0.0.1", REBOUND))
            assert await contents(real_client) == before
            app.answers.clear()
            results = await _attack(browser, friend, url, app)
            assert results["json"] == "cors 201"
            assert await contents(real_client) != before


async def _attack(
    browser: BrowserContext, page_url: str, api: str, app: Recorder
) -> dict[str, str]:
    """Open a page and run the tries in it; return what became of each when all have come."""
    page = await browser.new_page()
    await page.goto(page_url)
    results: dict[str, str] = await page.evaluate(TRIES, {"api": api, "job": SEED})

    async def all_came() -> bool:
        return len(app.statuses("POST")) >= POSTS

    await until(all_came, f"{POSTS} posts to be answered, not {app.answers}")
    await page.close()
    return results


async def _rebound(browser: BrowserContext, url: str) -> None:
    """Open the attacker's page by a name that leads to the API from then on, and try from there.

    To the browser both are one origin, so nothing keeps the page from asking and reading.
    """
    page = await browser.new_page()

    async def attacker(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=PAGE)

    await page.route(f"{url}/", attacker)
    await page.goto(f"{url}/")
    script = """async job => Promise.all([
      fetch('/v1/vm/', {method: 'POST', body: JSON.stringify({...job, request_id: 'r'}),
        headers: {'Content-Type': 'application/json'}}),
      fetch('/types/vm/keys', {method: 'PUT', body: '{"owner": "*", "keys": []}'}),
      fetch('/v1/vm/d', {method: 'DELETE'}),
      fetch('/v1/vm/')].map(async answer => (await answer).status))"""
    assert await page.evaluate(script, SEED) == [421, 421, 421, 421]
    await page.close()
