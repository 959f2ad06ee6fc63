"""What foreign pages may not do, by the headers that browsers send; headers of every answer."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from rq_broker.api import create_app
from rq_broker.api.browser_guard import BrowserRules
from rq_broker.domain.errors import Invalid
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.api.conftest import BASE, refused, submission

RULES = BrowserRules.of(["Broker.Lab.", "*.lab.example"], ["https://board.lab:8443"])
OWN = "http://broker.lab"
NAMED = "https://board.lab:8443"
EVIL = "http://evil.example:8080"


@pytest.fixture
async def guarded() -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an API that is called by some names and has one named origin."""
    store = in_memory()
    app = create_app(Broker(store), callback_base=BASE, inbox=True, browsers=RULES)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=OWN) as client:
        yield client
    await store.aclose()


def _send(api: httpx.AsyncClient, **headers: str) -> httpx.Request:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.build_request("POST", "/v1/vm/", json=submission("d"), headers=names)


HOSTS = {
    "broker.lab": True,
    "BROKER.lab:8080": True,
    "broker.lab.": True,
    "a.b.lab.example:1": True,
    "localhost:8080": True,
    "127.0.0.1:8080": True,
    "10.1.2.3": True,
    "[::1]:8080": True,
    "[2001:db8::1]": True,
    "": True,
    "evil.example": False,
    "lab.example": False,
    "xlab.example": False,
    "broker.lab.evil.example:8080": False,
    "localhost.evil.example": False,
    "127.0.0.1.evil.example": False,
    "[evil.example]": False,
    "broker.lab@evil.example": False,
    "ärger": False,
}


async def test_only_its_names_call_the_api(guarded: httpx.AsyncClient) -> None:
    """Another name than the allowed ones, localhost and addresses is a 421, for reads as well."""
    for host, allowed in HOSTS.items():
        for path in ("/healthz", "/v1/vm/"):
            answer = await guarded.get(path, headers=[(b"host", host.encode("latin-1"))])
            if allowed:
                assert answer.status_code == 200, host
            else:
                refused(answer, 421, "host_not_allowed", "--allowed-hosts")


FOREIGN: dict[str, Mapping[str, str]] = {
    "another site": {"origin": EVIL},
    "another port": {"origin": "http://broker.lab:81"},
    "a name that ends alike": {"origin": "http://evil-broker.lab"},
    "a sandboxed frame, a file": {"origin": "null"},
    "an origin without a host": {"origin": ""},
    "another site, as the browser says": {"sec_fetch_site": "cross-site"},
    "another port, as the browser says": {"origin": OWN, "sec_fetch_site": "same-site"},
    "a named origin in another case": {"origin": NAMED + "0"},
}
OURS: dict[str, Mapping[str, str]] = {
    "no browser": {},
    "its own page": {"origin": OWN},
    "its own page behind TLS": {"origin": "https://broker.lab", "host": "broker.lab:443"},
    "its own page, as the browser says": {"origin": "https://x.y", "sec_fetch_site": "same-origin"},
    "what the user typed": {"sec_fetch_site": "none"},
    "a named origin": {"origin": NAMED, "sec_fetch_site": "cross-site"},
}


async def test_a_foreign_page_changes_nothing(guarded: httpx.AsyncClient) -> None:
    """Whatever changes state is refused with 403 if a foreign page sends it; reads are answered."""
    for case in FOREIGN.values():
        refused(await guarded.send(_send(guarded, **case)), 403, "foreign_origin")
        headers = {name.replace("_", "-"): value for name, value in case.items()}
        for method, path in (("PUT", "/types/vm"), ("DELETE", "/v1/vm/d"), ("POST", "/inbox/x")):
            refused(await guarded.request(method, path, headers=headers), 403, "foreign_origin")
        listed = await guarded.get("/v1/vm/", headers=headers)
        assert listed.json()["data"] == []
        assert "access-control-allow-origin" not in listed.headers


@pytest.mark.parametrize("case", OURS)
async def test_other_clients_are_served(guarded: httpx.AsyncClient, case: str) -> None:
    """What is no page, the API's own pages and those of named origins submit."""
    answer = await guarded.send(_send(guarded, **OURS[case]))
    assert answer.status_code == 201, answer.text


TYPES = {
    "application/json": True,
    "application/json; charset=utf-8": True,
    "APPLICATION/JSON;x=y": True,
    "application/merge-patch+json": True,
    "text/plain": False,
    "text/plain; application/json": False,
    "application/x-www-form-urlencoded": False,
    "multipart/form-data; boundary=x": False,
    "application/jsonp": False,
    "": False,
}


async def test_a_browser_sends_json(guarded: httpx.AsyncClient) -> None:
    """From a browser only JSON types pass, which a form cannot send; `curl -d` and Go's clients
    send what they like, as to the original service."""
    for media, passes in TYPES.items():
        assert (await guarded.send(_send(guarded, content_type=media))).status_code == 201
        for header in ({"origin": OWN}, {"sec_fetch_site": "same-origin"}, {"origin": NAMED}):
            answer = await guarded.send(_send(guarded, content_type=media, **header))
            if passes:
                refused(answer, 409, "duplicate_request_id")
            else:
                refused(answer, 415, "unsupported_media_type", "application/json")
        without_body = await guarded.delete("/v1/vm/d", headers={"origin": OWN})
        assert without_body.status_code == 200


async def test_cors_is_off_unless_named(guarded: httpx.AsyncClient) -> None:
    """A preflight of a named origin says what it may send; all of its answers may be read."""
    ask = {"access-control-request-method": "PUT", "access-control-request-headers": "content-type"}
    answer = await guarded.options("/types/vm", headers={**ask, "origin": NAMED})
    assert answer.status_code == 204
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    for path in ("/v1/vm/", "/nowhere"):
        answer = await guarded.get(path, headers={"origin": NAMED})
        assert answer.headers["access-control-allow-origin"] == NAMED
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"
    for origin in (EVIL, OWN, "null", NAMED.upper()):
        answer = await guarded.options("/types/vm", headers={**ask, "origin": origin})
        assert answer.status_code == 405
        assert not any(name.startswith("access-control") for name in answer.headers)


async def test_a_websocket_is_refused(guarded: httpx.AsyncClient) -> None:
    """The handshake of a WebSocket, whose `Upgrade` the server takes out, is a 400."""
    headers = {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13"}
    answer = await guarded.get("/v1/vm/", headers=headers)
    refused(answer, 400, "websocket_unsupported")
    assert "/events" in answer.json()["error"]  # what there is instead


@pytest.mark.parametrize("origin", ["board.lab", "*", "https://*.lab", "https://a/b", "ftp://a"])
def test_an_origin_that_is_none_stops_the_start(origin: str) -> None:
    """--cors-origins takes origins only, and never all of them."""
    with pytest.raises(Invalid, match="--cors-origins"):
        BrowserRules.of((), [origin])


async def test_every_answer_says_how_a_browser_may_take_it(
    app: Starlette, api: httpx.AsyncClient
) -> None:
    """No answer is sniffed; none but a page is kept by anybody, and a page loads nothing."""
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    paths -= {path for path in paths if path.endswith("/events")}  # without end, see test_events
    names = {"{type}": "vm", "{request_id}": "d", "{host}": "h", "{token}": "t", "{test}": "e",
             "{page}": "concepts", "{source}": "s", "{rest:path}": "x"}  # fmt: skip
    for template in sorted(paths | {"/nowhere", "/docs/nowhere", "/docs/concepts.md"}):
        path = re.sub(r"\{[a-z_:]+\}", lambda name: names[name[0]], template)
        for method in ("GET", "POST", "PUT", "DELETE"):
            headers = (await api.request(method, path)).headers
            assert headers["x-content-type-options"] == "nosniff", (method, path)
            if headers["content-type"].startswith("text/html"):
                policy = headers["content-security-policy"]
                assert policy.startswith("default-src 'none'; ")
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert headers["x-frame-options"] == "DENY"
                assert headers["referrer-policy"] == "no-referrer"
            elif not headers["content-type"].startswith("text/markdown"):
                assert headers["cache-control"] == "no-store", (method, path)
