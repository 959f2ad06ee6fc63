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
from rq_broker.api import paths
from rq_broker.api.browser_guard import SAFE_METHODS
from rq_broker.api.etags import PATTERN
from rq_broker.api.examples import USUAL, recorded_answers, samples
from rq_broker.api.idempotency import MOST_CHARACTERS
from rq_broker.api.operations import CHANGE_REFUSALS, OPERATIONS, SERVER_REFUSALS, Operation
from rq_broker.api.operations.group import Group
from rq_broker.api.roles import PUBLIC
from rq_broker.api.submit import Submit
from rq_broker.api.views import ErrorView
from rq_broker.domain import errors
from rq_broker.identity import Authenticator

Schema = dict[str, Any]

_ACCESS_REFUSALS = tuple(
    error
    for error in errors.by_word().values()
    if issubclass(
        error,
        errors.Unauthenticated | errors.Forbidden | errors.IdentityUnavailable | errors.RateLimited,
    )
)
"""What every operation that needs an identity may answer."""

_REF = "#/components/schemas/{name}"


def operations_of(routes: Iterable[Route]) -> dict[str, Operation]:
    """Return the row of each route, by name. Raises KeyError for a route that has none."""
    return {route.name: OPERATIONS[route.name] for route in routes if route.include_in_schema}


def document(
    routes: Iterable[Route], authenticators: Iterable[Authenticator] = ()
) -> dict[str, Any]:
    """Describe these routes, and the credentials that authenticators take, if any.

    Raises KeyError for a route that is not in OPERATIONS.
    """
    routes = sorted(
        (route for route in routes if route.include_in_schema), key=lambda route: route.path_format
    )
    operations = operations_of(routes)
    data = {name: operation.data for name, operation in operations.items()}
    answers, views = _schemas({**data, "": ErrorView})
    bodies, structs = _schemas(
        {name: operation.body.type for name, operation in operations.items() if operation.body}
    )
    components = {**structs, **{name: _exact(schema) for name, schema in views.items()}}
    recorded = recorded_answers()
    schemes = {authenticator.name: authenticator.scheme for authenticator in authenticators}
    if schemes and Submit.__name__ in components:
        components[Submit.__name__] = _owned(components[Submit.__name__])
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
                method: _operation(
                    route,
                    answers.get(route.name),
                    bodies.get(route.name),
                    samples(route, operations[route.name], with_token=bool(schemes)),
                    recorded.get(route.name),
                )
                for route in group
                for method in _methods(route)
            }
            for path, group in groupby(routes, key=lambda route: route.path_format)
        },
        "tags": [{"name": group.title, "description": group.about} for group in Group],
        "components": {
            "schemas": dict(sorted(components.items())),
            **({"securitySchemes": schemes} if schemes else {}),
        },
        **({"security": [{name: []} for name in schemes]} if schemes else {}),
    }


def _methods(route: Route) -> list[str]:
    return sorted(method.lower() for method in route.methods or () if method != "HEAD")


# Schemas


def _schemas(types: Mapping[str, Any]) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return the schemas of types, by the same keys, and the components that they refer to.

    A tuple of types becomes the schema of a value of one of them; None is left out.
    """
    groups = {
        key: type_ if isinstance(type_, tuple) else (type_,)
        for key, type_ in types.items()
        if type_ is not None
    }
    flat = [type_ for group in groups.values() for type_ in group]
    schemas, components = msgspec.json.schema_components(flat, ref_template=_REF)
    remaining = iter(map(_published, schemas))
    by_key = {}
    for key, group in groups.items():
        alternatives = [next(remaining) for _ in group]
        by_key[key] = alternatives[0] if len(group) == 1 else {"oneOf": alternatives}
    return by_key, {_component(name): _published(schema) for name, schema in components.items()}


def _component(name: str) -> str:
    return name.removesuffix("View")


def _exact(schema: Schema) -> Schema:
    """Return the schema of an answer: it has every key, those with defaults too, and no other."""
    if schema.get("type") != "object" or "additionalProperties" in schema:
        return schema
    return {**schema, "required": list(schema["properties"]), "additionalProperties": False}


def _owned(submit: Schema) -> Schema:
    """Return the schema of a submit whose owner the identity may give."""
    return {**submit, "required": [name for name in submit["required"] if name != "owner_id"]}


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


def _operation(
    route: Route,
    answer: Schema | None,
    body: Schema | None,
    shown: list[dict[str, Any]],
    recorded: Any,
) -> dict[str, Any]:
    """Describe a route.

    Args:
        route: The route.
        answer: The schema of its answer's `data`.
        body: The schema of its body.
        shown: Its examples.
        recorded: What an example answered; None if that was not written down.
    """
    operation = OPERATIONS[route.name]
    description: dict[str, Any] = {
        "operationId": route.name,
        "summary": (route.endpoint.__doc__ or "").partition("\n")[0],
        "description": operation.note,
        "tags": [operation.group.title],
        "x-order": operation.order,
        "x-roles": {role.value: scope.value for role, scope in operation.access.items()},
        "parameters": [
            *_path_parameters(route),
            *_query_parameters(operation),
            *_header_parameters(operation),
        ],
        "responses": {**_successes(operation, answer, recorded), **_refusals(route)},
    }
    if operation.body:
        described = {"schema": body, "example": operation.body.example}
        content = dict.fromkeys(operation.body.media, described)
        description["requestBody"] = {"required": operation.body.is_required, "content": content}
    if operation.access is PUBLIC:
        description["security"] = [{}]
    description["x-codeSamples"] = shown
    return {key: value for key, value in description.items() if value}


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": msgspec.json.schema(paths.PARAMETERS[name]),
            "example": USUAL[name],
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


_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "schema": {"type": "string"},
    "description": "Names this request in the audit log: at most 128 printable ASCII characters "
    "without spaces. Otherwise, or left out, the API makes one. Every answer has it. A submit's "
    "goes with its callback, as do `traceparent` and `tracestate`.",
}


_CONDITIONS = {
    "If-Match": "The change is made only if the job has one of these ETags, else 412. `*`: any. "
    "Not for an array.",
    "If-None-Match": "If the job still has one of these ETags the answer is a 304, without body.",
}
"""Header → what it asks for."""


def _condition(name: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": PATTERN}
    return {"name": name, "in": "header", "schema": schema, "description": _CONDITIONS[name]}


def _header_parameters(operation: Operation) -> list[dict[str, Any]]:
    parameters = [_REQUEST_ID]
    if operation.condition:
        parameters.append(_condition(operation.condition))
    if not operation.takes_key:
        return parameters
    return [
        *parameters,
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
            "description": "Names this call. Repeated with the same key it is not carried out "
            "again, and its answer has the header Idempotent-Replayed.",
        },
    ]


def _successes(operation: Operation, answer: Schema | None, recorded: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        media: {"schema": _success(media, answer, operation)} for media in operation.media
    }
    if recorded and "application/json" in content:
        content["application/json"]["example"] = recorded
    location = {"schema": {"type": "string"}, "description": "Path of what was created."}
    descriptions: dict[int, dict[str, Any]] = {
        200: {"description": "Success.", "content": content},
        201: {"description": "Created.", "content": content, "headers": {"Location": location}},
        204: {"description": "Nothing follows."},
    }
    if operation.takes_key:
        replayed = {"schema": {"const": "true"}, "description": "The call was carried out before."}
        for description in descriptions.values():
            description.setdefault("headers", {})["Idempotent-Replayed"] = replayed
    if operation.has_etag:
        for description in descriptions.values():
            description.setdefault("headers", {})["ETag"] = _ETAG
    answers = {str(status): descriptions[status] for status in operation.statuses}
    if operation.condition == "If-None-Match":
        answers["304"] = {"description": "The job has not changed.", "headers": {"ETag": _ETAG}}
    return answers


_ETAG = {
    "schema": {"type": "string"},
    "description": "The version of the job, if the answer holds one. `Position`, `Reason`, "
    "`Warning` and `ETA` are no part of it.",
}


def _success(media: str, answer: Schema | None, operation: Operation) -> Schema:
    if answer and media == "application/json":
        return _envelope(answer, operation)
    if answer and media == "text/event-stream":
        return _streamed(answer)
    return {"type": "object" if media == "application/json" else "string"}


def _streamed(data: Schema) -> Schema:
    """Return the schema of each event of a stream, by its lines."""
    text = {"type": "string", "contentMediaType": "application/json", "contentSchema": data}
    return {
        "type": "object",
        "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": text},
        "required": ["event", "data"],
    }


def _refusals(route: Route) -> dict[str, Any]:
    operation = OPERATIONS[route.name]
    refusals: list[type[errors.BrokerError]] = [*operation.refusals, *SERVER_REFUSALS]
    if operation.access is not PUBLIC:
        refusals += _ACCESS_REFUSALS
    if not SAFE_METHODS.issuperset(route.methods or ()):
        refusals += CHANGE_REFUSALS
    by_status = groupby(sorted(refusals, key=_status), _status)
    content = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    responses: dict[str, Any] = {
        str(status): {
            "description": ", ".join(f"`{error.code}`" for error in group),
            "content": content,
        }
        for status, group in by_status
    }
    for status in {"429", "503"} & responses.keys():
        schema = {"type": "integer", "minimum": 0}
        retry_after = {"schema": schema, "description": "Seconds to wait before repeating."}
        responses[status]["headers"] = {"Retry-After": retry_after}
    return responses


def _status(error: type[errors.BrokerError]) -> int:
    return error.status
