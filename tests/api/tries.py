"""What a tenant may try to learn of another: a table of tries, of routes and of shapes of tries.

A try that names something of the other tenant is made a second time, of something that does not
exist. The two answers must be equal, but for the name that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rq_broker.api.pagination import opaque
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Cursor

MARK = "zq7x"
"""Every name and value of the other tenant contains it, and nothing else does."""
ABSENT = "nn0n"
"""Stands for MARK in the names of what does not exist; of the same length."""
OTHER = f"owner-{MARK}"
OWN = "owner-b"
HOST = f"{MARK}.test"
KEY = f"key-{MARK}"
JOBS = tuple(
    f"{status}-{MARK}"
    for status in ("waiting", "second", "beside", "granted", "running", "done", "failed", "gone")
)
"""The other tenant's jobs, by what has become of them; the last one is withdrawn."""
ARRAY = f"arr-{MARK}"
"""The other tenant's array; its jobs are tried like all others, and so is the whole of it."""
OWN_JOBS = ("b-waiting", "b-second", "b-running", "b-done")
DATA = {"instances": [{"VCPU": 1}]}


@dataclass(frozen=True)
class Try:
    """One request."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def of_nothing(self) -> Try:
        """Return the same request of what does not exist."""
        return Try(self.method, _absent(self.path), _absent(self.body), _absent(dict(self.headers)))


def _absent(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(MARK, ABSENT)
    if isinstance(value, dict):
        return {_absent(key): _absent(element) for key, element in value.items()}
    return [_absent(element) for element in value] if isinstance(value, list) else value


def submission(request_id: str, owner: str = OWN, **fields: Any) -> dict[str, Any]:
    """Return the body of a submit."""
    callback = f"http://b.test/{request_id}"
    body = {"request_id": request_id, "owner_id": owner, "callback": callback, "data": DATA}
    return {**body, **fields}


def tries(type_: str) -> Iterator[Try]:
    """List the tries that name something of the other tenant."""
    for job in (*JOBS, f"{ARRAY}[0]", f"{ARRAY}[*]"):
        yield from _of_a_job(type_, job)
        yield from _beside_a_job(type_, job)
        yield from _of_many(type_, job)
    for array in (f"{ARRAY}[*]", f"{ARRAY}[0]", ARRAY):
        for query in ("", "&limit=1", "&status=queued", f"&owner_id={OTHER}", f"&owner_id={OWN}"):
            yield Try("GET", f"/v1/{type_}?request_id={array}{query}")
    yield from _of_an_owner(type_)
    yield from _of_other_names(type_)


def _of_a_job(type_: str, job: str) -> Iterator[Try]:
    """List what can be asked of one job, and done to it."""
    path = f"/v1/{type_}/{job}"
    for query in ("", f"?owner_id={OWN}", f"?owner_id={OTHER}", "?owner_id=", "?wait=1&x=y"):
        for part in ("", "/attempts", "/explain", "/events", "/history"):
            yield Try("GET", f"{path}{part}{query}")
    yield Try("HEAD", path)
    for status in Status:
        yield Try("POST", path, {"status": status})
        yield Try("POST", path, {"status": status, "fence": 1})
    yield Try("POST", path, {"status": "running", "servers": ["b-server"]})
    yield Try("POST", path, {"status": "error", "error": "b"})
    places: tuple[dict[str, Any], ...] = (
        {"before": OWN_JOBS[0]}, {"after": OWN_JOBS[0]}, {"position": "front"}, {"position": 2}
    )  # fmt: skip
    for place in places:
        yield Try("POST", path, place)
        yield Try("POST", path, place, {"If-Match": '"1-1.0"'})
        yield Try("POST", f"{path}?owner_id={OTHER}", place)
    for change in ({"priority": 1}, {"position": "back"}, {"expected": 9}, {"expected": None}):
        yield Try("POST", path, change)
    for key in ("", KEY, "b-key"):
        yield Try("DELETE", path, headers={"Idempotency-Key": key} if key else {})
    yield Try("DELETE", f"{path}?owner_id={OTHER}")


def _beside_a_job(type_: str, job: str) -> Iterator[Try]:
    """List the changes of own jobs, and the submits, that name a job."""
    for own in OWN_JOBS:
        for mode in ("before", "after"):
            yield Try("POST", f"/v1/{type_}/{own}", {mode: job})
            yield Try("POST", f"/v1/{type_}/{own}", {mode: job}, {"If-Match": '"1-1.0"'})
            yield Try("POST", f"/types/{type_}/what-if", {"request_id": own, mode: job})
    for terms in (
        {"after": [job]},
        {"after": [OWN_JOBS[0], job]},
        {"after": [job], "after_any": True},
    ):
        yield Try("POST", f"/v1/{type_}", submission("b-new", **terms))
    beside: tuple[dict[str, Any], ...] = (
        {"position": 1}, {"priority": -5}, {"position": "back"}, {"before": OWN_JOBS[0]}
    )  # fmt: skip
    for place in beside:
        yield Try("POST", f"/types/{type_}/what-if", {"request_id": job, **place})
        yield Try("POST", f"/types/{type_}/what-if?owner_id={OTHER}", {"request_id": job, **place})


def _of_many(type_: str, job: str) -> Iterator[Try]:
    """List the calls on many jobs that name a job."""
    actions: tuple[dict[str, Any], ...] = (
        *({"action": verb} for verb in ("withdraw", "requeue", "done")),
        {"action": "move", "position": "front"},
        {"action": "withdraw", "dry_run": True},
    )
    for action in actions:
        yield Try("POST", f"/types/{type_}/actions", {**action, "request_ids": [job]})
    waiting = {"jobs": [submission("b-new", after=[job]), submission("b-other", OTHER)]}
    yield Try("POST", f"/types/{type_}/jobs", waiting, {"Idempotency-Key": KEY})


def _of_an_owner(type_: str) -> Iterator[Try]:
    """List what can be asked and done in another owner's name."""
    for query in (
        "",
        "&limit=1",
        "&limit=1000",
        "&eta=1",
        "&reason=1",
        "&status=running",
        "&status=done&limit=9",
    ):
        yield Try("GET", f"/v1/{type_}?owner_id={OTHER}{query}")
    yield Try("GET", f"/types/{type_}/events?last_event_id=0&owner_id={OTHER}")
    yield Try("GET", f"/events?last_event_id=0&owner_id={OTHER}")
    yield Try("POST", f"/v1/{type_}", submission("b-new", OTHER))
    yield Try("POST", f"/v1/{type_}", submission(JOBS[0], OTHER), {"Idempotency-Key": KEY})
    yield Try("POST", f"/types/{type_}/what-if", {"data": DATA, "owner_id": OTHER})
    for filter_ in ({"owner_id": OTHER}, {"callback_destination": f"http://{HOST}:80"}):
        action = {"action": "withdraw", "filter": filter_, "dry_run": True}
        yield Try("POST", f"/types/{type_}/actions", action)
        yield Try("POST", f"/types/{type_}/actions", {**action, "dry_run": False})
    yield Try("PUT", f"/types/{type_}/keys", {"owner": OTHER, "keys": []})
    yield Try("PUT", f"/types/{type_}/keys", {"owner": OTHER, "keys": [f"whsec_{'A' * 32}"]})
    yield Try("PUT", f"/types/{type_}/destinations/tests/t", {"callback": f"http://{HOST}/x"})
    for part in ("reset", "requeue"):
        for owner in ({}, {"owner": OTHER}):
            body = {"destination": f"http://{HOST}:80", **owner}
            yield Try("POST", f"/types/{type_}/destinations/{part}", body)


def _of_other_names(type_: str) -> Iterator[Try]:
    """List the tries with names of other kinds: types, hosts, sources, tokens, pages, files."""
    for path in ("hosts/{}", "sources/{}", "keys/{}", "destinations/{}", "losses/{}", "{}"):
        for method in ("GET", "PUT", "POST", "DELETE"):
            yield Try(
                method, f"/types/{type_}/{path.format(JOBS[0])}", {} if method == "PUT" else None
            )
    for path in ("/docs/{}", "/tokens/{}", "/{}", "/v1/{}/x/y/z", "/types/{}/x/y"):
        yield Try("GET", path.format(MARK))
    for header in ("X-Request-ID", "Authorization", "X-Auth-Token", "Origin-Owner", "X-Owner-Id"):
        yield Try("GET", f"/v1/{type_}", headers={header: OTHER})


def readings(type_: str) -> Iterator[Try]:
    """List the requests whose answers could tell of others without being asked for them."""
    yield from _lists(type_)
    for job in OWN_JOBS:
        yield from _of_an_own_job(type_, job)
    for instances in ([{"VCPU": 1}], [{"VCPU": 4}], [{"VCPU": 99}], [{"VCPU": 2}, {"VCPU": 2}]):
        places: tuple[dict[str, Any], ...] = ({}, {"position": 1}, {"priority": -9})
        for place in places:
            body = {"data": {"instances": instances}, **place}
            yield Try("POST", f"/types/{type_}/what-if", body)
    for filter_ in ({"older_than": 0}, {"status": "error"}, {"error_code": "http_503"}):
        action = {"action": "requeue", "filter": filter_, "dry_run": True}
        yield Try("POST", f"/types/{type_}/actions", action)
    yield from _of_the_type(type_)
    for path in (
        *("/v1", "/readyz", "/metrics", "/healthz", "/openapi.json", "/docs", "/tokens", "/inbox"),
        *("/docs/api", "/docs/security", "/docs/http.md", "/", "/events", "/audit", "/types"),
    ):
        yield Try("GET", path)


def _lists(type_: str) -> Iterator[Try]:
    cursors = [opaque(Cursor(*at)) for at in (("1", "1"), ("-9", "3"), ("9" * 15, "9"))]
    for query in ("", "?last_event_id=0", f"?last_event_id=0&owner_id={OWN}"):
        yield Try("GET", f"/types/{type_}/events{query}")
        yield Try("GET", f"/events{query}")
    for query in (
        *("", "?limit=1", "?limit=1000", "?eta=1", "?reason=1", "?eta=1&reason=1"),
        *("?status=queued", "?status=running", "?status=queued&from=1", "?status=queued&from=2"),
        *("?status=granted", "?status=done", "?status=error", "?owner_id=", f"?owner_id={OWN}"),
        *(f"?cursor={cursor}" for cursor in cursors),
        *(f"?owner_id={OWN}&limit=2&status=queued", "?limit=0", "?cursor=x", "?status=x", "?x=y"),
    ):
        yield Try("GET", f"/v1/{type_}{query}")


def _of_an_own_job(type_: str, job: str) -> Iterator[Try]:
    path = f"/v1/{type_}/{job}"
    for part in ("", "/attempts", "/explain", "/events", "/history"):
        yield Try("GET", f"{path}{part}")
    bodies: tuple[Any, ...] = (
        {"status": "queued", "fence": 9},
        {"status": 1},
        {"before": 1},
        {},
        [],
    )
    for body in bodies:
        yield Try("POST", path, body)
    places: tuple[dict[str, Any], ...] = ({"position": 1}, {"position": "front"}, {"priority": 1})
    for place in places:
        yield Try("POST", f"/types/{type_}/what-if", {"request_id": job, **place})


def _of_the_type(type_: str) -> Iterator[Try]:
    for path in (
        "",
        "/hosts",
        "/hosts/h1",
        "/hosts/h1/holders",
        "/reservations",
        "/destinations",
        "/keys",
        "/sources",
        "/losses",
        "/audit",
    ):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if (path, method) != ("", "DELETE"):
                body: Any = {} if method in ("POST", "PUT") else None
                yield Try(method, f"/types/{type_}{path}", body)
