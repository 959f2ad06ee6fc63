"""The middleware: encoded slashes in paths, and callbacks to the API itself."""

from __future__ import annotations

import re

import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.store.broker import Broker
from tests.api.conftest import listed, refused, submission, submit


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/vm/d%2Fattempts", "request_id"),
        ("DELETE", "/v1/vm/d%2f", "request_id"),
        ("POST", "/v1/vm/d%2Fe", "request_id"),
        ("DELETE", "/v1/vm%2Fd", "type"),
        ("GET", "/v1/vm%2Fd/e/f", "type"),
        ("GET", "/types/vm%2Fhosts", "type"),
        ("PUT", "/types/vm/hosts/a%2Fb/", "the host's name"),
    ],
)
async def test_a_slash_in_a_name(api: httpx.AsyncClient, method: str, path: str, name: str) -> None:
    """An encoded slash in a name is refused and never read as the separator of a path."""
    await submit(api, "d")
    refused(await api.request(method, path), 400, "invalid_request", name)
    assert await listed(api) == ["d"]


@pytest.mark.parametrize(
    ("method", "path", "part"),
    [
        ("GET", "/v1/v%ff/d", "type"),
        ("DELETE", "/v1/vm/%fe", "request_id"),
        ("GET", "/v1/vm/%ed%a0%80/explain", "request_id"),
        ("PUT", "/types/vm/hosts/%ff", "the host's name"),
        ("DELETE", "/types/vm/sources/a%c3", "the source's name"),
        ("GET", "/types/vm/destinations/tests/%80", "the test's name"),
        ("DELETE", "/tokens/%ff", "the token's name"),
        ("GET", "/v1/vm/d/%ff", "the path"),
        ("GET", "/%ff", "the path"),
        ("DELETE", "/v1/vm/d?owner_id=%ff", 'the query parameter "owner_id"'),
        ("GET", "/events?type=vm&type=%fe", 'the query parameter "type"'),
    ],
)
async def test_a_name_that_is_no_utf_8(
    api: httpx.AsyncClient, method: str, path: str, part: str
) -> None:
    """Bytes that are no UTF-8 are refused in every part of a URL: no two of them are one name."""
    await submit(api, "\ufffd", "d")
    answer = await api.request(method, path, json={"capacity": {"VCPU": 1}})
    refused(answer, 400, "invalid_request", f"{part} must be percent-encoded UTF-8")
    assert await listed(api) == ["\ufffd", "d"]


async def test_a_name_that_has_the_replacement_character(api: httpx.AsyncClient) -> None:
    """U+FFFD itself, sent as UTF-8, is a letter of a name: its job is found and withdrawn."""
    await submit(api, "\ufffd")
    assert (await api.get("/v1/vm/%EF%BF%BD")).json()["data"]["RequestID"] == "\ufffd"
    assert (await api.delete("/v1/vm/%EF%BF%BD")).status_code == 200


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("7f3a-9c.0d/~!", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("", False),
        ("a\x7fb", False),
        ("a\tb", False),
        ("\u00e9", False),
    ],
)
async def test_every_answer_has_a_request_id(
    api: httpx.AsyncClient, given: str, is_kept: bool
) -> None:
    """A well-formed X-Request-ID comes back, on refusals too; another one is replaced."""
    for path in ("/healthz", "/v1/vm%2Fd", "/nowhere", "/v1/vm/none"):
        answers = [
            await api.get(path, headers={b"X-Request-ID": given.encode("latin-1")})
            for _ in range(2)
        ]
        ids = [answer.headers["x-request-id"] for answer in answers]
        if is_kept:
            assert ids == [given, given]
        else:
            assert all(re.fullmatch("[0-9a-f]{16}", id_) for id_ in ids)
            assert len({*ids}) == 2


async def test_an_internal_error_has_the_request_id(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to what nobody foresaw, which no middleware sees, has the header once."""
    monkeypatch.setattr(broker, "types", None)
    app = httpx.ASGITransport(create_app(broker), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=app, base_url="http://api.test") as api:
        answer = await api.get("/v1", headers={"X-Request-ID": "r-1"})
    refused(answer, 500, "internal_error")
    assert answer.headers.get_list("x-request-id") == ["r-1"]


async def test_a_callback_to_the_api_changes_nothing(api: httpx.AsyncClient) -> None:
    """The API refuses every callback, whatever its body."""
    callback = {"webhook-id": "vm_1_1"}
    answer = await api.post("/v1/vm/", json=submission("d"), headers=callback)
    refused(answer, 400, "callback_forbidden", "the broker's own API")
    assert await listed(api) == []


@pytest.mark.parametrize("root_path", ["", "/rq"])
async def test_paths_below_a_proxy(broker: Broker, root_path: str) -> None:
    """An API mounted below another path refuses encoded slashes and callbacks too."""
    app = httpx.ASGITransport(create_app(broker, inbox=True), root_path=root_path)
    base = f"http://api.test{root_path}"
    callback = {"webhook-id": "vm_1_1"}
    async with httpx.AsyncClient(transport=app, base_url=base) as api:
        refused(await api.delete("/v1/vm%2Fd"), 400, "invalid_request", "type must not contain")
        answer = await api.post("/v1/vm/", json=submission("d"), headers=callback)
        refused(answer, 400, "callback_forbidden", "the broker's own API")
        answer = await api.post("/inbox/d", json={}, headers=callback)
        assert answer.json() == {"data": {}, "ok": True}
