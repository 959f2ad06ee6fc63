"""What both clients share: the calls they can make, and how an answer is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote

import httpx

from rq_broker.domain import errors

Json = dict[str, Any]

_PAGE_LIMIT = "500"
_REFUSALS = errors.by_word()


class NewJob(TypedDict):
    """What a submit takes."""

    request_id: str
    owner_id: str
    data: Json
    callback: str
    priority: NotRequired[int]


class Filter(TypedDict, total=False):
    """Which jobs a list shows."""

    owner_id: str
    status: str


class Place(TypedDict, total=False):
    """Where in line a job goes: exactly one of these."""

    priority: int
    before: str
    after: str
    position: str


class Belief(TypedDict, total=False):
    """With a status: the grant the caller believes newest, an error's cause, what it runs as."""

    fence: int
    error: str
    servers: list[str]


class NewHost(TypedDict):
    """What a host publishes."""

    capacity: Mapping[str, int]
    used: NotRequired[Mapping[str, int]]
    aggregates: NotRequired[list[str]]
    max_unit: NotRequired[Mapping[str, int]]


class PolicyChange(TypedDict, total=False):
    """The policy fields to change."""

    patience: float | None
    offer: float | None
    running: float | None
    retention: float | None
    paused: bool
    concurrency: int
    share: str | None
    limits: Mapping[str, Mapping[str, int]]
    holds: str
    settle: float


@dataclass(frozen=True, slots=True)
class Call:
    """One request, before anyone sends it."""

    method: str
    path: str
    body: object = None
    query: Mapping[str, str] | None = None


def path(*segments: str) -> str:
    """Join percent-encoded segments; refuse what would make a URL name something else."""
    for segment in segments:
        if segment in ("", ".", ".."):
            raise errors.Invalid(f"no type, job or host can have the name '{segment}'")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def job(method: str, type_: str, request_id: str, body: object = None) -> Call:
    """Call upon one job."""
    return Call(method, path("v1", type_, request_id), body)


def move(type_: str, request_id: str, status: str, belief: Belief) -> Call:
    """Ask for another status."""
    return job("POST", type_, request_id, {"status": status, **belief})


def page(type_: str, wanted: Filter, cursor: str) -> Call:
    """Ask for one page; the first cursor is empty."""
    query = {
        "owner_id": wanted.get("owner_id", ""),
        "status": wanted.get("status", ""),
        "limit": _PAGE_LIMIT,
        "cursor": cursor,
    }
    return Call("GET", path("v1", type_), query=query)


def type_call(method: str, type_: str, body: object = None) -> Call:
    """Call upon a type."""
    return Call(method, path("types", type_), body)


def host(method: str, type_: str, name: str, body: object = None) -> Call:
    """Call upon one host."""
    return Call(method, path("types", type_, "hosts", name), body)


def under(method: str, type_: str, *below: str, body: object = None) -> Call:
    """Call upon what a type has: its destinations, its keys."""
    return Call(method, path("types", type_, *below), body)


def opened(response: httpx.Response) -> Json:
    """Return the envelope of a success; raise what a refusal says."""
    try:
        envelope = response.json()
    except ValueError:
        envelope = None
    match envelope:
        case {"ok": True, "data": _}:
            return dict(envelope)
        case {"ok": False, "error": str(sentence), "code": str(code)}:
            raise _REFUSALS.get(code.upper(), errors.BrokerError)(sentence)
    raise errors.BrokerError(f"HTTP {response.status_code} without an envelope of rq-broker")
