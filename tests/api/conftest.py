"""An API over the suite's broker. Every request and answer is checked against its document."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.api.submit import read_submission, submission as read_body
from rq_broker.domain.exact_json import dumps
from rq_broker.domain.jobs import Demand
from rq_broker.store.broker import Broker, Settlement
from tests import making

UNEXPRESSED = re.compile(
    "must not be longer than|in all, over|must be base64|must hold|priority or position"
    "|names? more than|instances, over|is more than max|may have a range|goes with alternatives"
    "|callback (must be an |may |is |port |host |contains |')|percent-encoded|cursor must"
    "|given twice|both name|Idempotency-Key|must be a time by RFC"
    "|must not name the job itself|goes with (after|count)|as capacity|no list of devices"
    "|normal form NFC"
    "|give one of priority|an array goes to|goes with before, after|one version of the line"
    "|from needs|takes no If-|guards a move"
    "|must contain {n}|which names an array|takes priority, before|with this count"
    "|where (what a job needs|the callback's host)"
    "|must name one job|acts for (the owners|any owner)|ETags in double quotes|has no ETag"
    "|takes like or capacity|go with capacity|hosts in all"
    "|filter must name something|(cursor|from|callback|request_id) goes with|move is of queued"
    "|type must not (begin or end|contain the invisible)|host's name must not (begin|contain the i)"
)
"""Rules that JSON Schema cannot express: sizes in bytes, sums, combinations of fields, URLs."""
BASE = "http://receiver.test:9000/inbox/"


def submission(request_id: str = "d", **fields: Any) -> dict[str, Any]:
    """Return the original's request with some fields replaced."""
    return {
        "request_id": request_id,
        "owner_id": "y",
        "data": {"instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}], "project": "project id"},
        "callback": f"abc-{request_id}",
        **fields,
    }


def demand_of(**data: Any) -> Demand:
    """Return the demand of a submit with this `data`, the same on both ways to read a body."""
    body = submission(data=data)
    read = read_submission(dumps(body).encode(), BASE)
    assert read_body(body, BASE) == read
    return read.shape.demand


async def submit(api: httpx.AsyncClient, *names: str, **fields: Any) -> None:
    """Submit jobs with these request_ids."""
    for name in names:
        answer = await api.post("/v1/vm/", json=submission(name, **fields))
        assert answer.status_code == 201, answer.text


async def listed(api: httpx.AsyncClient, query: str = "") -> list[str]:
    """Return the request_ids that a list query answers."""
    answer = await api.get(f"/v1/vm/{query}")
    assert answer.status_code == 200, answer.text
    return [job["RequestID"] for job in answer.json()["data"]]


def refused(answer: httpx.Response, status: int, code: str, sentence: str = "") -> None:
    """Expect a refusal with this status and code, and this text in its sentence."""
    envelope = answer.json()
    assert (answer.status_code, envelope["code"], envelope["ok"]) == (status, code, False)
    assert sentence in envelope["error"]


async def called(broker: Broker, name: str, settlement: Settlement) -> str:
    """Grant a new job with the destination `http://<name>:80`, and settle its callback."""
    destination = f"http://{name}:80"
    await making.publish(broker)
    await making.grant_to(broker, destination, name)
    await making.settle(broker, await making.claim_one(broker), settlement)
    return destination


async def fail_destinations(broker: Broker, *names: str) -> None:
    """Settle one callback to each of these destinations as failed."""
    for name in names:
        await called(broker, name, Settlement("failed", "timeout", 7, health="unhealthy"))


@pytest.fixture
def app(broker: Broker) -> Starlette:
    return create_app(broker, callback_base=BASE, inbox=True)


def contract(document: dict[str, Any]) -> Callable[[httpx.Response], Awaitable[None]]:
    """Build a hook that fails on a request or an answer that contradicts the document."""
    components = {"components": document["components"]}

    async def check(response: httpx.Response) -> None:
        request = response.request
        path = request.url.raw_path.decode().partition("?")[0]
        operation, path_parameters = _operation(document, request.method, path)
        if operation is None:
            expected = 400 if "%" in path else 404
            assert response.status_code in (expected, 401, 405) or request.method == "HEAD"
            return
        await response.aread()
        if response.status_code == 304:
            assert "304" in operation["responses"]
            assert not response.content
            return
        content = operation["responses"][str(response.status_code)]["content"]
        media = response.headers["content-type"].partition(";")[0]
        assert media in content
        if media == "application/json":
            jsonschema.validate(response.json(), {**content[media]["schema"], **components})
        parameters = {**path_parameters, **request.url.params}
        refused = response.status_code == 400 and response.json()["code"] == "invalid_request"
        if response.is_success or refused:
            allowed = _allows(operation, parameters, request, components)
            sentence = "" if response.is_success else response.json()["error"]
            assert allowed == response.is_success or UNEXPRESSED.search(sentence), sentence

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


def _allows(
    operation: dict[str, Any],
    parameters: dict[str, str],
    request: httpx.Request,
    components: dict[str, Any],
) -> bool:
    """Tell whether the document allows the parameters and the body of a request."""
    schemas = {
        parameter["name"]: parameter["schema"] for parameter in operation.get("parameters", ())
    }
    if not parameters.keys() <= schemas.keys() or (
        operation.get("requestBody", {}).get("required") and not request.content
    ):
        return False
    checks = [(_parsed(text, schemas[name]), schemas[name]) for name, text in parameters.items()]
    if "requestBody" in operation and request.content:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = json.loads(request.content, parse_float=Decimal)  # 1.0 is no integer here
        checks.append((body, {**schema, **components}))
    return all(Validator(schema).is_valid(value) for value, schema in checks)


def _pattern(_: Any, pattern: str, value: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    """Check a pattern as ECMAScript does, where `$` is the end and not before a last newline."""
    if isinstance(value, str) and not re.search(pattern.replace("$", r"\Z"), value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern}")


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def _parsed(text: str, schema: dict[str, Any]) -> int | str:
    """Read a parameter as the type that its schema gives it, if it can be."""
    return int(text) if schema.get("type") == "integer" and text.isdecimal() else text


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as plain:
        document = (await plain.get("/openapi.json")).json()
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://api.test",
        event_hooks={"response": [contract(document)]},
    ) as client:
        yield client
