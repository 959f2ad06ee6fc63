"""Builds the OpenAPI document from the routes, so that no route can be missing.

Path, method, name and summary of an operation come from its route and endpoint, schemas from the
views and bodies, and the rest from the table in `operations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec
from starlette.routing import Route

from rq_broker import __version__
from rq_broker.api import bodies, paths
from rq_broker.api.operations import OPERATIONS, Operation
from rq_broker.api.views import ErrorView
from rq_broker.domain import errors

Schema = dict[str, Any]

_REF = "#/components/schemas/{name}"


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Describe these routes. Raises KeyError for a route that is not in OPERATIONS."""
    routes = sorted(
        (route for route in routes if route.include_in_schema), key=lambda route: route.path_format
    )
    answers, components = _schemas({route.name: OPERATIONS[route.name] for route in routes})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rq-broker",
            "version": __version__,
            "description": "A resource wait-queue: ask for scarce capacity, go away, be called "
            "back when it is held for you. Every path answers with and without a trailing slash.",
        },
        "paths": {
            path: {
                method: _operation(route, answers.get(route.name))
                for route in group
                for method in _methods(route)
            }
            for path, group in groupby(routes, key=lambda route: route.path_format)
        },
        "components": {"schemas": components},
    }


def _methods(route: Route) -> list[str]:
    return sorted(method.lower() for method in route.methods or () if method != "HEAD")


# Schemas


def _schemas(operations: Mapping[str, Operation]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schema of the answer of each operation, and the components they refer to."""
    alternatives = {
        name: operation.data if isinstance(operation.data, tuple) else (operation.data,)
        for name, operation in operations.items()
        if operation.data is not None
    }
    types = [type_ for group in alternatives.values() for type_ in group]
    schemas, views = msgspec.json.schema_components([*types, ErrorView], ref_template=_REF)
    remaining = iter(map(_published, schemas))
    answers = {}
    for name, group in alternatives.items():
        data = [next(remaining) for _ in group]
        answers[name] = _envelope(data[0] if len(data) == 1 else {"oneOf": data}, operations[name])
    components = {_component(name): _exact(_published(schema)) for name, schema in views.items()}
    return answers, {**_published(bodies.schemas()), **components}


def _component(name: str) -> str:
    return name.removesuffix("View")


def _exact(schema: Schema) -> Schema:
    """Return the schema of an answer: it has every key, those with defaults too, and no other."""
    if schema.get("type") != "object" or "additionalProperties" in schema:
        return schema
    return {**schema, "required": list(schema["properties"]), "additionalProperties": False}


def _published(schema: Any) -> Any:
    """Return a schema as the document shows it: components without `View`, and without titles."""
    if isinstance(schema, dict):
        return {
            key: _component(value) if key == "$ref" else _published(value)
            for key, value in schema.items()
            if key != "title"
        }
    return [_published(element) for element in schema] if isinstance(schema, list) else schema


def _envelope(data: Schema, operation: Operation) -> Schema:
    return {
        "type": "object",
        "properties": {"data": data, "ok": {"const": True}, **operation.keys},
        "required": ["data", "ok"],
        "additionalProperties": False,
    }


# Operations


def _operation(route: Route, answer: Schema | None) -> dict[str, Any]:
    operation = OPERATIONS[route.name]
    description: dict[str, Any] = {
        "operationId": route.name,
        "summary": (route.endpoint.__doc__ or "").partition("\n")[0],
        "description": operation.note,
        "parameters": [*_path_parameters(route), *_query_parameters(operation)],
        "responses": {**_successes(operation, answer), **_refusals(operation)},
    }
    if body := operation.body:
        schema = {"$ref": _REF.format(name=body.schema)}
        content = {"application/json": {"schema": schema, "example": body.example}}
        description["requestBody"] = {"required": True, "content": content}
    return {key: value for key, value in description.items() if value}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": msgspec.json.schema(paths.PARAMETERS[name]),
        }
        for name in route.param_convertors
    ]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "schema": parameter.schema,
            "description": parameter.description,
        }
        for name, parameter in operation.query.items()
    ]


def _successes(operation: Operation, answer: Schema | None) -> dict[str, Any]:
    content = {media: {"schema": answer or _without_envelope(media)} for media in operation.media}
    location = {"schema": {"type": "string"}, "description": "Path of what was created."}
    descriptions: dict[int, dict[str, Any]] = {
        200: {"description": "Success.", "content": content},
        201: {"description": "Created.", "content": content, "headers": {"Location": location}},
    }
    return {str(status): descriptions[status] for status in operation.statuses}


def _without_envelope(media: str) -> Schema:
    return {"type": "object" if media == "application/json" else "string"}


def _refusals(operation: Operation) -> dict[str, Any]:
    by_status = groupby(sorted(operation.refusals, key=_status), _status)
    content = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    responses: dict[str, Any] = {
        str(status): {
            "description": ", ".join(f"`{error.code}`" for error in group),
            "content": content,
        }
        for status, group in by_status
    }
    if "503" in responses:
        schema = {"type": "integer", "minimum": 0}
        retry_after = {"schema": schema, "description": "Seconds to wait before repeating."}
        responses["503"]["headers"] = {"Retry-After": retry_after}
    return responses


def _status(error: type[errors.BrokerError]) -> int:
    return error.status
