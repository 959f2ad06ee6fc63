"""The OpenAPI document, built from the routes themselves so that it cannot leave one out.

A route's endpoint gives the operation its name and its summary; the table here adds what the code
cannot say. A route that is not in the table stops the app from starting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from rq_broker import __version__
from rq_broker.api.reference import html
from rq_broker.api.responses import Reply
from rq_broker.api.schemas import (
    AMOUNTS,
    COUNT,
    ETA,
    FLAG,
    SCHEMAS,
    STATUS,
    STRING,
    Schema,
    envelope,
    listed,
    nullable,
    record,
    ref,
)
from rq_broker.domain import errors

_EMPTY = record({})
_SHOWN_TYPE = record({"name": STRING, "policy": ref("Policy"), "counts": ref("Counts")})
_SUBMIT_EXAMPLE = {
    "request_id": "d",
    "owner_id": "y",
    "data": {"instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}], "project": "project id"},
    "callback": "http://127.0.0.1:9000/granted/d",
}
_HOST_EXAMPLE = {"capacity": {"VCPU": 64, "Memory": 65536}, "used": {}, "aggregates": ["host1"]}

_DESTINATION_EXAMPLE = {"destination": "http://127.0.0.1:9000"}
_KEYS_EXAMPLE = {"owner": "lab-7", "keys": [f"whsec_{'A' * 32}"]}

_TOLD: Mapping[str, Schema] = {
    "reason": {
        "oneOf": [record({"code": STRING, "text": STRING}), {"type": "null"}],
        "description": "null: it would be granted now.",
    },
    "explains": nullable(STRING),
    "hosts": listed(STRING),
    "shortfalls": listed(
        record({"host": STRING, "resource": STRING, "needed": COUNT, "free": {"type": "integer"}})
    ),
    "holders": listed(
        record(
            {
                "request_id": STRING,
                "owner_id": STRING,
                "seconds": {"type": "number"},
                "host": STRING,
                "resource": STRING,
                "amount": COUNT,
            }
        )
    ),
    "protected": FLAG,
    "passed_since": {"type": ["number", "null"]},
    "passed_by": listed(STRING),
    "largest": {
        "oneOf": [
            record(
                {
                    "instances": COUNT,
                    "percent": COUNT,
                    "scaled": {"type": ["array", "null"], "items": AMOUNTS},
                }
            ),
            {"type": "null"},
        ],
        "description": "The largest version that would be granted now: so many of its instances, "
        "or all of them scaled to so many percent.",
    },
}

_SOURCES: Schema = {"type": "object", "additionalProperties": listed(ref("Source"))}

_QUERY: Mapping[str, tuple[Schema, str]] = {
    "owner_id": (STRING, "Jobs of this owner only."),
    "status": (STATUS, "Jobs in this status only."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": 1000}, "A page of at most so many."),
    "cursor": (STRING, "Where to go on: `next` of the page before."),
}

_TYPED = (errors.Invalid, errors.Unavailable)
_JOB = (*_TYPED, errors.JobNotFound)
_HOST = (*_TYPED, errors.HostNotFound)
_BODY = (errors.Unreadable, errors.TooLarge)
_TAKEN = (errors.DuplicateRequestId, errors.DuplicateCallback)
_STATE = (errors.ImpossibleMove, errors.StaleFence, errors.NotWaiting, errors.NoRoom)


@dataclass(frozen=True, slots=True)
class Operation:
    """What the table says of an endpoint."""

    answer: Schema
    refusals: tuple[type[errors.BrokerError], ...] = ()
    created: bool | None = False
    """Whether success is 201 with a Location; None: it may be either."""
    body: str | None = None
    example: Any = None
    query: Mapping[str, tuple[Schema, str]] | None = None
    note: str = ""
    media: str = "application/json"


OPERATIONS: Mapping[str, Operation] = {
    "submit": Operation(
        envelope(ref("Job")),
        (*_TYPED, *_BODY, errors.CallbackForbidden, *_TAKEN),
        created=True,
        body="Submission",
        example=_SUBMIT_EXAMPLE,
        note="The callback is POSTed once the capacity is held for the job. A relative one needs "
        "a callback base. Fields that are not known are ignored; `data` keeps every digit.",
    ),
    "page": Operation(
        envelope(listed(ref("Job")), {"next": {"type": ["string", "null"]}}),
        _TYPED,
        query=_QUERY,
        note="Without `limit` and `cursor` the whole list is streamed. With them it is one page, "
        "perhaps short; `next` is null at the end.",
    ),
    "read": Operation(envelope(ref("Job")), _JOB),
    "update": Operation(
        envelope(_EMPTY),
        (*_JOB, *_BODY, *_STATE),
        body="Update",
        example={"status": "done"},
        note="`before`, `after` and `position` move a queued job in one atomic step. "
        "`fence` with a status refuses the update if a newer grant exists.",
    ),
    "withdraw": Operation(envelope(_EMPTY), _JOB),
    "attempts": Operation(
        envelope(listed(ref("Attempt"))), _JOB, note="Of all its grants, the newest hundred or so."
    ),
    "explain": Operation(
        envelope(
            record(
                {
                    **_TOLD,
                    "position": COUNT,
                    "jobs_of_its_shape_before": COUNT,
                    "eta": ETA,
                    "eta_accuracy": record({"within_p90": COUNT, "beyond_p90": COUNT}),
                }
            )
        ),
        (*_JOB, errors.NotWaiting),
        note="`explains` names the job the reasons are of: the first of its shape that waits. "
        "`eta` is seconds until the grant that half (p50) and nine in ten (p90) simulated futures "
        "stay within, or null with the `reason`; `eta_accuracy` counts how earlier p90s held.",
    ),
    "what_if": Operation(
        envelope(
            {
                "oneOf": [
                    record({**_TOLD, "impossible": nullable(STRING), "eta": ETA}),
                    record(
                        {
                            "moves": listed(
                                record(
                                    {
                                        "request_id": STRING,
                                        "before": ETA,
                                        "after": ETA,
                                        "seconds": {"type": ["number", "null"]},
                                    }
                                )
                            )
                        }
                    ),
                ]
            }
        ),
        (*_TYPED, *_BODY, errors.CallbackForbidden, errors.NotWaiting),
        body="WhatIf",
        example={"data": {"instances": [{"VCPU": 4}]}, "position": 1},
        note="With `data`, what a job not submitted would be told; with `request_id`, whose ETA "
        "moves by how many seconds if that job went there. Nothing is written.",
    ),
    "types": Operation(
        envelope({"type": "object", "additionalProperties": ref("Counts")}), (errors.Unavailable,)
    ),
    "policy": Operation(envelope(_SHOWN_TYPE), _TYPED),
    "set_policy": Operation(
        envelope(_SHOWN_TYPE), (*_TYPED, *_BODY), body="PolicyChange", example={"patience": 60}
    ),
    "hosts": Operation(envelope(listed(ref("Host"))), _TYPED),
    "host": Operation(envelope(ref("Host")), _HOST),
    "set_host": Operation(
        envelope(ref("Host")),
        (*_HOST, *_BODY, errors.Conflict),
        created=None,
        body="NewHost",
        example=_HOST_EXAMPLE,
    ),
    "drop_host": Operation(envelope(_EMPTY), _HOST),
    "destinations": Operation(
        envelope(record({"outage": FLAG, "destinations": listed(ref("Destination"))})), _TYPED
    ),
    "reset": Operation(
        envelope(_EMPTY),
        (*_TYPED, *_BODY, errors.DestinationNotFound),
        body="OneDestination",
        example=_DESTINATION_EXAMPLE,
    ),
    "requeue": Operation(
        envelope(record({"requeued": COUNT})),
        (*_TYPED, *_BODY),
        body="OneDestination",
        example=_DESTINATION_EXAMPLE,
        note="Jobs in status error whose newest grant was to be called back there.",
    ),
    "keys": Operation(envelope(ref("Fingerprints")), _TYPED),
    "set_keys": Operation(
        envelope(ref("Fingerprints")),
        (*_TYPED, *_BODY),
        body="SigningKeys",
        example=_KEYS_EXAMPLE,
        note="Callbacks are signed by Standard Webhooks, with each of the keys. To rotate, give "
        "the new key and the old one, and later the new one alone; `[]` removes the owner's own.",
    ),
    "alive": Operation(envelope(record({"alive": {"const": True}}))),
    "ready": Operation(
        envelope(record({"redis": {"const": "ok"}, "callbacks": STRING, "sources": _SOURCES})),
        (errors.Unavailable,),
        note="`callbacks` is `ok`, or says of which types most destinations fail at once. "
        "`sources` tells by type how old each source's last good snapshot is.",
    ),
    "received": Operation(
        envelope(
            listed(
                record(
                    {
                        "path": STRING,
                        "received": {**STRING, "format": "date-time"},
                        "headers": {"type": "object", "additionalProperties": STRING},
                        "body": {},
                    }
                )
            )
        )
    ),
    "receive": Operation(envelope(_EMPTY), (errors.TooLarge,)),
    "openapi": Operation({"type": "object"}),
    "docs": Operation(STRING, media="text/html"),
}


class Docs:
    """The endpoints of /openapi.json and /docs, telling of all routes and of themselves."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._document = document([*routes, *self.routes()])

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/openapi.json", self.openapi), Route("/docs", self.docs)]

    async def openapi(self, _: Request) -> Response:
        """Show this API as an OpenAPI 3.1 document."""
        return Reply(orjson.dumps(self._document))

    async def docs(self, _: Request) -> Response:
        """Show this API as a page for people."""
        return HTMLResponse(html(self._document))


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Describe these routes."""
    shown = [route for route in routes if route.include_in_schema]
    by_path = groupby(sorted(shown, key=lambda route: route.path_format), _path)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rq-broker",
            "version": __version__,
            "description": "A resource wait-queue: ask for scarce capacity, go away, be called "
            "back when it is held for you. Every path answers with and without a trailing slash.",
        },
        "paths": {
            path: {method: _operation(route) for route in group for method in _methods(route)}
            for path, group in by_path
        },
        "components": {"schemas": SCHEMAS},
    }


def _path(route: Route) -> str:
    return route.path_format


def _methods(route: Route) -> list[str]:
    return sorted(method.lower() for method in route.methods or () if method != "HEAD")


def _operation(route: Route) -> dict[str, Any]:
    told = OPERATIONS[route.name]
    shown: dict[str, Any] = {
        "operationId": route.name,
        "summary": (route.endpoint.__doc__ or "").partition("\n")[0],
        "description": told.note,
        "parameters": [*_path_params(route), *_query_params(told.query or {})],
        "responses": {**_successes(told), **_refusals(told)},
    }
    if told.body:
        content = {"schema": ref(told.body), "example": told.example}
        shown["requestBody"] = {"required": True, "content": {"application/json": content}}
    return {key: value for key, value in shown.items() if value}


def _path_params(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": STRING}
        for name in route.param_convertors
    ]


def _query_params(query: Mapping[str, tuple[Schema, str]]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "schema": schema, "description": said}
        for name, (schema, said) in query.items()
    ]


def _successes(told: Operation) -> dict[str, Any]:
    content = {told.media: {"schema": told.answer}}
    location = {"Location": {"schema": STRING, "description": "Where it lives from now on."}}
    both = {
        "200": {"description": "It went well.", "content": content},
        "201": {"description": "It is new.", "content": content, "headers": location},
    }
    if told.created is None:
        return both
    wanted = "201" if told.created else "200"
    return {wanted: both[wanted]}


def _refusals(told: Operation) -> dict[str, Any]:
    by_status = groupby(sorted(told.refusals, key=_status), _status)
    shown: dict[str, Any] = {}
    for status, group in by_status:
        codes = ", ".join(f"`{each.code}`" for each in group)
        content = {"application/json": {"schema": ref("Error")}}
        shown[str(status)] = {"description": codes, "content": content}
    if "503" in shown:
        shown["503"]["headers"] = {"Retry-After": {"schema": COUNT, "description": "Seconds."}}
    return shown


def _status(error: type[errors.BrokerError]) -> int:
    return error.status
