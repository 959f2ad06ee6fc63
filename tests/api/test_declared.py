"""What a request says beyond the row of its operation."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from rq_broker.api.declared import is_lenient
from rq_broker.api.operations import OPERATIONS
from tests.api.conftest import listed, refused, submission, submit


def _calls(app: Starlette) -> list[tuple[str, str]]:
    """List the method and a path of every operation but probes, metrics and public ones."""
    return [
        (method, route.path.replace("{type}", "vm").replace("{", "").replace("}", ""))
        for route in app.routes
        if isinstance(route, Route) and route.include_in_schema
        if not is_lenient(OPERATIONS[route.name])
        for method in sorted(route.methods or ())
    ]


async def test_no_call_ignores_a_parameter(app: Starlette, api: httpx.AsyncClient) -> None:
    """Every call refuses a query parameter that its row does not have."""
    for method, path in _calls(app):
        answer = await api.request(method, path, params={"lable": "x"}, json={})
        assert answer.status_code == 400, (method, path)
        if method != "HEAD":
            refused(answer, 400, "invalid_request", 'the query parameter "lable" is not known')


@pytest.mark.parametrize(
    ("method", "path", "sentence"),
    [
        ("GET", "/events?typ=vm", "; did you mean type?"),
        ("GET", "/types/vm/events?owner=x", "; did you mean owner_id?"),
        ("DELETE", "/v1/vm/d?owner=y", "; did you mean owner_id?"),
        ("DELETE", "/v1/vm/d?owner_id=x&owner_id=y", "owner_id is given twice"),
        ("GET", "/v1/vm/d?wait=1&wait=2", "wait is given twice"),
        ("GET", "/v1/vm/?limit=1&status=queued&limit=2", "limit is given twice"),
        ("PUT", "/types/vm?dry_run=1", "this call takes none"),
    ],
)
async def test_mistakes_in_a_query(
    api: httpx.AsyncClient, method: str, path: str, sentence: str
) -> None:
    """A misspelt parameter, or one given twice, is named; nothing is done or answered without."""
    await submit(api, "d")
    refused(await api.request(method, path, json={}), 400, "invalid_request", sentence)
    assert await listed(api) == ["d"]


async def test_what_takes_any_query(app: Starlette) -> None:
    """Probes, metrics and pages take what others add to their URL."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as plain:
        for path in ("/healthz", "/readyz", "/metrics", "/docs/http"):
            assert (await plain.get(f"{path}?utm_source=x&utm_source=y")).status_code == 200
        assert (await plain.get("/v1/vm/?&")).status_code == 200


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
async def test_no_change_ignores_a_condition(
    app: Starlette, api: httpx.AsyncClient, header: str
) -> None:
    """Every call that changes something refuses a condition under which it would not stand."""
    await submit(api, "d")
    changes = [call for call in _calls(app) if call[0] not in ("GET", "HEAD")]
    guarded = {("POST", "/v1/vm/request_id"), ("DELETE", "/v1/vm/request_id")}
    for method, path in changes:
        if header == "If-Match" and (method, path) in guarded:
            continue
        body = submission("e") if path == "/v1/vm" else {}
        answer = await api.request(method, path, headers={header: "*"}, json=body)
        refused(answer, 400, "invalid_request", f"this call takes no {header}: it would be")
    assert await listed(api) == ["d"]


async def test_reads_take_any_condition(api: httpx.AsyncClient) -> None:
    """A read that has no ETag answers in full."""
    assert (await api.get("/types/vm", headers={"If-None-Match": '"x"'})).status_code == 200
