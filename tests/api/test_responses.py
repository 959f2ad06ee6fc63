"""Errors without an endpoint: unknown paths, wrong methods, internal errors, disconnects."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.requests import ClientDisconnect, Request

from rq_broker.api import create_app
from rq_broker.api.request_body import read
from rq_broker.api.responses import HANDLERS
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job
from rq_broker.store.broker import Broker
from tests.api.conftest import BASE, submission


@pytest.mark.parametrize("path", ["/v2/vm", "/v1/vm/d/e", "/v1//d", "/type", "/v1/vm/d/e/f"])
async def test_unknown_paths(api: httpx.AsyncClient, path: str) -> None:
    """An unknown path is a 404 in the envelope."""
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/vm/", "GET, HEAD, POST"),
        ("PUT", "/v1/vm/d", "DELETE, GET, HEAD, POST"),
        ("POST", "/v1", "GET, HEAD"),
        ("OPTIONS", "/types/vm/", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/types/vm/hosts/h", "DELETE, GET, HEAD, PATCH, PUT"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("GET", "/types/vm/destinations/reset", "POST"),
        ("POST", "/types/vm/keys", "GET, HEAD, PUT"),
        ("OPTIONS", "/docs/api", "GET, HEAD"),
    ],
)
async def test_wrong_methods(api: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    """A wrong method is a 405 whose Allow names every method of the path."""
    answer = await api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
    assert method in answer.json()["error"]


async def test_an_unexpected_exception_leaks_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is a 500 without its text, and is raised to the server's log."""

    async def broken(type_: str, request_id: str, owners: object) -> Job:
        raise LookupError(f"secret of {type_} {request_id} {owners}")

    monkeypatch.setattr(broker, "read", broken)
    app = create_app(broker, callback_base=BASE)
    quiet = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=quiet, base_url="http://api.test") as api:
        await api.post("/v1/vm/", json=submission("d"))
        answer = await api.get("/v1/vm/d")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as api:
        with pytest.raises(LookupError):
            await api.get("/v1/vm/d")


async def test_an_internal_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An Internal error of our own is logged with its traceback."""
    request = Request({"type": "http"})
    refuse: Any = HANDLERS[errors.BrokerError]
    assert (await refuse(request, errors.Internal("odd"))).status_code == 500
    assert "odd" in caplog.text


async def test_a_client_that_disconnects() -> None:
    """A disconnect in the middle of the body is a 400 without a traceback."""

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(ClientDisconnect):
        await read(request)
    answer: Any = HANDLERS[ClientDisconnect]
    assert (await answer(request, ClientDisconnect())).status_code == 400


async def test_noop_only_when_asked_for(broker: Broker) -> None:
    """The no-op route of the benches exists only with `noop`, and never in the document."""
    for noop, status in ((True, 200), (False, 404)):
        app = create_app(broker, noop=noop)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
            assert (await api.post("/noop", content=b"{}")).status_code == status
            assert "/noop" not in (await api.get("/openapi.json")).json()["paths"]
            assert (await api.get("/inbox")).status_code == 404
