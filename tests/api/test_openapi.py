"""The document tells the truth. That answers match it, every test of this folder checks."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from rq_broker.api import bodies, submit
from rq_broker.api.openapi import document
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.responses import ok
from rq_broker.domain import errors
from rq_broker.domain import exact_json as jsontext
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import JobView, to_json
from tests.api.conftest import submission


@pytest.fixture
async def served(api: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.get("/openapi.json")).json()
    return answer


def operations(served: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in served["paths"].values()
        for operation in methods.values()
    }


def test_every_route_is_described_and_nothing_else(app: Starlette, served: dict[str, Any]) -> None:
    """Paths and methods of the document are those of the app, and no description lacks a route."""
    routed = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, found in served["paths"].items() for method in found}
    assert described == routed
    assert set(operations(served)) == set(OPERATIONS)


def test_a_route_nobody_described_stops_the_start() -> None:
    """A new endpoint cannot be forgotten."""

    async def novelty() -> None: ...

    with pytest.raises(KeyError, match="novelty"):
        document([Route("/new", novelty)])


def test_every_path_parameter_is_declared(served: dict[str, Any]) -> None:
    """What stands in braces is declared, and every operation says what it does."""
    for path, methods in served["paths"].items():
        for operation in methods.values():
            declared = [
                each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"
            ]
            assert [f"{{{name}}}" in path for name in declared] == [True] * path.count("{")
            assert operation["summary"].endswith(".")


def test_references_lead_somewhere(served: dict[str, Any]) -> None:
    """Every $ref is to a schema of the document, and every schema is one and is used."""
    schemas = served["components"]["schemas"]
    used = set(_references(served))
    assert used == {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for inner in value.values() for found in _references(inner)]
    return (
        [found for inner in value for found in _references(inner)]
        if isinstance(value, list)
        else []
    )


def test_examples_are_taken(served: dict[str, Any]) -> None:
    """Every example fits its schema and passes the edge."""
    edges = {
        "submit": submit.submission,
        "update": bodies.update,
        "set_policy": bodies.policy,
        "set_host": lambda body: bodies.host("h", body),
        "reset": bodies.destination,
        "requeue": bodies.destination,
        "what_if": bodies.what_if,
        "set_keys": bodies.signing_keys,
    }
    for name, operation in operations(served).items():
        if asked := operation.get("requestBody"):
            content = asked["content"]["application/json"]
            _validate(served, content["schema"], content["example"])
            edges.pop(name)(content["example"])
    assert edges == {}


def _validate(served: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.validate(value, {**schema, "components": served["components"]})


def test_the_schema_of_a_job_is_exact(served: dict[str, Any]) -> None:
    """One key more, one key less or one type changed is no job."""
    schema = {"$ref": "#/components/schemas/Job"}
    job = jsontext.loads(
        to_json(JobView.of(Job(1, "vm", "d", "y", "{}", "abc", 1, Status.QUEUED, 1, 1)))
    )
    _validate(served, schema, job)
    fewer = {key: value for key, value in job.items() if key != "Fence"}
    for wrong in ({**job, "More": 1}, fewer, {**job, "ID": "1"}, {**job, "Status": "queue"}):
        with pytest.raises(jsonschema.ValidationError):
            _validate(served, schema, wrong)


def test_codes_are_those_of_the_tree(served: dict[str, Any]) -> None:
    """The document lists every code the broker may answer, from the tree itself."""
    codes = served["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert {code.upper() for code in codes} == set(errors.by_word())


async def test_it_would_be_noticed(api: httpx.AsyncClient, app: Starlette) -> None:
    """The hook that holds every answer against the document fails on one it does not promise."""
    await api.post("/v1/vm/", json=submission("d"))
    route = next(each for each in app.routes if isinstance(each, Route) and each.name == "read")
    assert route is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rq_broker.api.jobs.ok", lambda view: ok({"ID": view.id}))
        with pytest.raises(jsonschema.ValidationError):
            await api.get("/v1/vm/d")
