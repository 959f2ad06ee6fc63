"""The OpenAPI document is complete. Every API test checks requests and answers against it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from rq_broker.api import bodies, bulk_bodies, create_app, submit
from rq_broker.api.added_hosts import added_hosts, asks_for_hosts
from rq_broker.api.openapi import document
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.pages import PageEndpoints
from rq_broker.api.responses import ok
from rq_broker.domain import errors, exact_json as jsontext
from rq_broker.domain.identity import ANYONE
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import JobView, to_json
from rq_broker.domain.tokens import new_token, rotation
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from tests.api.conftest import BASE, UNEXPRESSED, Validator, submission
from tests.api.tenants import WhoHeader

READERS: dict[str, Callable[[Any], Any]] = {
    "submit": lambda body: submit.submission(body, BASE),
    "submit_many": lambda body: bulk_bodies.submissions(json.dumps(body).encode()),
    "act": bulk_bodies.action,
    "update": bodies.update,
    "set_policy": bodies.policy,
    "set_host": lambda body: bodies.host("h", body),
    "patch_policy": bodies.policy_patch,
    "patch_host": bodies.host_patch,
    "reset": bodies.destination,
    "requeue": bodies.destination,
    "send_test": bodies.receiver_test,
    "what_if": lambda body: (
        added_hosts(body) if asks_for_hosts(body) else bodies.what_if(body, BASE)
    ),
    "set_keys": bodies.signing_keys,
    "create_token": new_token,
    "rotate_token": rotation,
}
"""Operation → the function that reads its body."""


@pytest.fixture
async def served(api: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.get("/openapi.json")).json()
    return answer


@pytest.fixture(scope="module")
def broker_document() -> dict[str, Any]:
    routes = create_app(Broker(in_memory()), inbox=True).routes
    return document(route for route in routes if isinstance(route, Route))


def operations(served: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in served["paths"].values()
        for operation in methods.values()
    }


def test_every_route_is_described_and_nothing_else(app: Starlette, served: dict[str, Any]) -> None:
    """The document has exactly the paths and methods of the app, and the table no row too many."""
    routed = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = {(path, method) for path, methods in served["paths"].items() for method in methods}
    assert described == routed
    assert set(operations(served)) == set(OPERATIONS)


def test_a_route_without_a_row_raises_at_start() -> None:
    """A route without a row in the table raises an error at start."""

    async def novelty() -> None: ...

    with pytest.raises(KeyError, match="novelty"):
        PageEndpoints([Route("/new", novelty)])


def test_every_path_parameter_is_declared(served: dict[str, Any]) -> None:
    """Every parameter in a path is declared, and every operation has a summary."""
    for path, methods in served["paths"].items():
        for operation in methods.values():
            declared = [
                parameter["name"]
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "path"
            ]
            assert [f"{{{name}}}" in path for name in declared] == [True] * path.count("{")
            assert operation["summary"].endswith(".")


def test_references_lead_somewhere(served: dict[str, Any]) -> None:
    """Every $ref leads to a schema of the document; every schema is valid and used."""
    schemas = served["components"]["schemas"]
    used = set(_references(served))
    assert used == {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [link for inner in value.values() for link in _references(inner)]
    return (
        [link for inner in value for link in _references(inner)] if isinstance(value, list) else []
    )


def test_examples_are_accepted(served: dict[str, Any]) -> None:
    """Every example fits its schema and is accepted by the function that reads the body."""
    with_body = {
        name: operation["requestBody"]["content"]["application/json"]
        for name, operation in operations(served).items()
        if "requestBody" in operation
    }
    assert with_body.keys() == READERS.keys()
    for name, content in with_body.items():
        _validate(served, content["schema"], content["example"])
        READERS[name](content["example"])


TEXTS = ["", "a", ".", "..", "a/b", "a\n", "é" * 200, "x" * 301, "front", "owner", "done", "error"]
NUMBERS = [-(2**53), -1, 0, 1, 5, 10_001, 2**53 - 1, 2**53, 1.5, -0.5, 4e9 + 0.5]
LISTS = [[], ["a"], ["a\n"], ["whsec_" + "A" * 32] * 5, [1], [{}], [{"VCPU": 1}], [{"VCPU": -1}]]
OBJECTS = [{}, {"VCPU": 1}, {"a/b": 1}, {"VCPU": 1.5}, {"*": {"VCPU": 1}}, {"": {}}, {"a": {"": 1}}]
VALUES: list[Any] = [None, True, False, *NUMBERS, *TEXTS, *LISTS, *OBJECTS]


def _variants(example: dict[str, Any], fields: list[str]) -> Iterator[Any]:
    """Yield bodies that differ from an example: not an object, or one field changed or removed."""
    yield from VALUES
    for name in [*fields, "unknown"]:
        yield {key: value for key, value in example.items() if key != name}
        yield from ({**example, name: value} for value in VALUES)
        yield from ({name: value} for value in VALUES)
    if "data" in example:
        for name in ("instances", "host_aggregate", "spread", "unknown"):
            yield from ({**example, "data": {name: value}} for value in VALUES)


@pytest.mark.parametrize("name", READERS)
def test_schemas_are_as_strict_as_the_code(broker_document: dict[str, Any], name: str) -> None:
    """A body is valid for its schema exactly if the function that reads it accepts it."""
    content = operations(broker_document)[name]["requestBody"]["content"]["application/json"]
    schemas = broker_document["components"]["schemas"]
    validator = Validator({**content["schema"], "components": broker_document["components"]})
    for body in _variants(content["example"], _fields(content["schema"], schemas)):
        sentence = ""
        try:
            READERS[name](jsontext.loads(json.dumps(body).encode()))
        except errors.Invalid as refusal:
            sentence = str(refusal)
        if not UNEXPRESSED.search(sentence):
            assert validator.is_valid(body) == (sentence == ""), (body, sentence)


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[str]:
    """List the fields of a body, of all its alternatives."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    alternatives = [alternative for alternative in schema.get("oneOf", ()) if "$ref" in alternative]
    inner = [name for alternative in alternatives for name in _fields(alternative, schemas)]
    return [*schema.get("properties", {}), *inner]


def _validate(served: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    jsonschema.validate(value, {**schema, "components": served["components"]})


@pytest.mark.parametrize("with_access_control", [False, True])
def test_an_identity_may_give_the_owner_of_a_submit(with_access_control: bool) -> None:
    """Where there are identities, the document lets a submit leave its owner out."""
    authenticators = [WhoHeader(ANYONE)] if with_access_control else []
    routes = create_app(Broker(in_memory())).routes
    served = document((route for route in routes if isinstance(route, Route)), authenticators)
    required = served["components"]["schemas"]["Submit"]["required"]
    assert ("owner_id" in required) is not with_access_control
    assert {"request_id", "data"} <= {*required}


def test_the_schema_of_a_job_is_exact(served: dict[str, Any]) -> None:
    """The schema of a job refuses an extra key, a missing key and a wrong type."""
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
    """The document lists every code of the error tree, and no other."""
    codes = served["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert {code.upper() for code in codes} == set(errors.by_word())


async def test_the_check_of_every_api_test_works(api: httpx.AsyncClient) -> None:
    """The check that runs in every API test fails on an answer that the document does not allow."""
    await api.post("/v1/vm/", json=submission("d"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rq_broker.api.jobs.ok", lambda view, _: ok({"ID": view.id}))
        with pytest.raises(jsonschema.ValidationError):
            await api.get("/v1/vm/d")
