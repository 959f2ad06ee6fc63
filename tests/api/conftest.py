"""An API over the suite's broker, whose every answer is held against its own OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

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
    components = {"components": document["components"]}

    async def check(response: httpx.Response) -> None:
        request = response.request
        path = request.url.raw_path.decode().partition("?")[0]
        operation, path_parameters = _operation(document, request.method, path)
        if operation is None:
            expected = 400 if "%2f" in path.lower() else 404
            assert response.status_code in (expected, 405) or request.method == "HEAD"
            return
        await response.aread()
        content = operation["responses"][str(response.status_code)]["content"]
        media = response.headers["content-type"].partition(";")[0]
        assert media in content
        if media == "application/json":
            jsonschema.validate(response.json(), {**content[media]["schema"], **components})
        if response.is_success:
            _check_parameters(operation, {**path_parameters, **request.url.params})

    return check


def _operation(
    document: dict[str, Any], method: str, path: str
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Find the operation that answers a request, and the path parameters of the request."""
    for template, operations in document["paths"].items():
        pattern = re.sub(
            r"\{(\w+)\}",
            lambda name: f"(?P<{name[1]}>{'.+' if name[1] == 'rest' else '[^/]+'})",
            template,
        )
        match = re.fullmatch(pattern, path.rstrip("/"))
        if match and method.lower() in operations:
            parameters = {name: unquote(value) for name, value in match.groupdict().items()}
            return operations[method.lower()], parameters
    return None, {}


def _check_parameters(operation: dict[str, Any], given: dict[str, str]) -> None:
    """Expect that the document allows these parameters, since the API took them."""
    schemas = {each["name"]: each["schema"] for each in operation.get("parameters", ())}
    for name, text in given.items():
        integer = schemas[name].get("type") == "integer"
        jsonschema.validate(int(text) if integer else text, schemas[name])


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
