"""An API over the suite's broker, whose every answer is held against its own OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.store.broker import Broker, Settlement
from tests import making

BASE = "http://receiver.test:9000/inbox/"


def submission(request_id: str = "d", **fields: Any) -> dict[str, Any]:
    """The seed's own request, with fields replaced."""
    return {
        "request_id": request_id,
        "owner_id": "y",
        "data": {"instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}], "project": "project id"},
        "callback": f"abc-{request_id}",
        **fields,
    }


async def submit(api: httpx.AsyncClient, *names: str, **fields: Any) -> None:
    """Put these jobs in line."""
    for name in names:
        answer = await api.post("/v1/vm/", json=submission(name, **fields))
        assert answer.status_code == 201, answer.text


async def listed(api: httpx.AsyncClient, query: str = "") -> list[str]:
    """List the request_ids a query finds."""
    answer = await api.get(f"/v1/vm/{query}")
    assert answer.status_code == 200, answer.text
    return [job["RequestID"] for job in answer.json()["data"]]


def refused(answer: httpx.Response, status: int, code: str, said: str = "") -> None:
    """Expect a refusal with this status and code, whose sentence holds `said`."""
    envelope = answer.json()
    assert (answer.status_code, envelope["code"], envelope["ok"]) == (status, code, False)
    assert said in envelope["error"]


async def called(broker: Broker, name: str, came: Settlement) -> str:
    """Grant a new job whose destination is `http://<name>:80`, and settle its callback so."""
    destination = f"http://{name}:80"
    await making.publish(broker)
    await making.grant_to(broker, destination, name)
    await making.settle(broker, await making.claim_one(broker), came)
    return destination


async def fail_destinations(broker: Broker, *names: str) -> None:
    """Let a first callback to each of these destinations fail for good."""
    for name in names:
        await called(broker, name, Settlement("failed", "timeout", 7, health="unhealthy"))


@pytest.fixture
def app(broker: Broker) -> Starlette:
    return create_app(broker, callback_base=BASE, inbox=True)


def truthful(document: dict[str, Any]) -> Any:
    """Make a hook that fails on any answer the document does not promise."""
    shared = {"components": document["components"]}

    async def hold(response: httpx.Response) -> None:
        request = response.request
        asked = request.url.raw_path.decode().partition("?")[0]
        operations = [
            operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if method.upper() == request.method and _matches(path, asked)
        ]
        if not operations:
            expected = 400 if "%2f" in asked.lower() else 404
            assert response.status_code in (expected, 405) or request.method == "HEAD"
            return
        await response.aread()
        promised = operations[0]["responses"][str(response.status_code)]["content"]
        if media := promised.get("application/json"):
            jsonschema.validate(response.json(), {**media["schema"], **shared})

    return hold


def _matches(path: str, asked: str) -> bool:
    pattern = re.sub(r"\{(\w+)\}", lambda name: ".+" if name[1] == "rest" else "[^/]+", path)
    return re.fullmatch(pattern, asked.rstrip("/")) is not None


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as plain:
        document = (await plain.get("/openapi.json")).json()
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://api.test",
        event_hooks={"response": [truthful(document)]},
    ) as client:
        yield client
