"""The audit log: one line for each change that somebody makes, and none without a change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.domain.audit_line import VERBS, AuditLine
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement, SourceReport
from rq_broker.store.keys import INSTALLATION, Keys
from rq_broker.store.scripts import SCRIPTS
from tests.api.conftest import BASE, contract, refused, submission
from tests.api.test_access import Names
from tests.making import bring, claim_one, publish, settle, submit

KEY = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
FINGERPRINT = sha256(KEY.encode()).hexdigest()[:8]
ADDRESS = "10.1.2.3"


@pytest.fixture
def app(broker: Broker) -> Starlette:
    return create_app(broker, callback_base=BASE, authenticators=[Names()])


@asynccontextmanager
async def admins_client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client that calls as the identity `admin`, in the request `r-1`."""
    headers = {"X-Who": "admin", "X-Request-ID": "r-1"}
    transport = httpx.ASGITransport(app, client=(ADDRESS, 5))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api.test", headers=headers
    ) as plain:
        document = (await plain.get("/openapi.json")).json()
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://api.test",
        headers=headers,
        event_hooks={"response": [contract(document)]},
    ) as client:
        yield client


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with admins_client(app) as client:
        yield client


@dataclass
class Stage:
    """A type on which one change is prepared by the broker itself, which leaves no line."""

    broker: Broker
    client: Redis
    type: str

    async def failed_callback(self) -> None:
        """Let a callback fail for good."""
        await bring(self.broker, Status.GRANTED, type_=self.type)
        failed = Settlement("failed", "timeout", 7, health="unhealthy")
        await settle(self.broker, await claim_one(self.broker, type_=self.type), failed)

    async def abandoned_source(self) -> None:
        """Let a source report a host, and be polled no more."""
        started = await self.broker.watch(self.type, "lab", 1, 1.0)
        assert started
        await self.broker.apply(self.type, "lab", 1, started.begun, SourceReport(1, [], {}))
        await self.client.hset(Keys(self.type).of("source", "lab"), "tried", "1")

    async def loss(self) -> None:
        """Let a loss be on record."""
        await self.client.hset(Keys(self.type).of("lost"), "7", "1 2 3 4 5")


async def _nothing(_: Stage) -> None:
    return None


Prepare = Callable[[Stage], Awaitable[object]]


def _job(status: Status = Status.QUEUED, **fields: Any) -> Prepare:
    async def prepare(stage: Stage) -> None:
        if status is Status.QUEUED:
            await submit(stage.broker, "d", stage.type, **fields)
        else:
            await bring(stage.broker, status, "d", stage.type)

    return prepare


def _two_jobs(stage: Stage) -> Awaitable[object]:
    async def prepare() -> None:
        await submit(stage.broker, "first", stage.type, priority=4)
        await submit(stage.broker, "d", stage.type, priority=5)

    return prepare()


@dataclass(frozen=True)
class Change:
    """A request that changes something, and the line that it leaves."""

    verb: str
    prepare: Prepare
    method: str
    path: str
    """Below the type, which is TYPE."""
    body: Any
    subject: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


HOST = {"capacity": {"VCPU": 4}, "aggregates": ["b", "a"]}
_QUEUED = {"owner_id": "o", "status": "queued", "priority": ANY}
CHANGES = {
    "submit": Change(
        *("submit", _nothing, "POST", "/v1/TYPE", submission(priority=3, expected=60)),
        *("d", None, {"owner_id": "y", "status": "queued", "priority": 3, "data_bytes": ANY}
          | {"expected": 60}),
    ),
    "done": Change(
        *("transition", _job(Status.RUNNING), "POST", "/v1/TYPE/d", {"status": "done"}),
        *("d", {"status": "running"}, {"status": "done"}),
    ),
    "error": Change(
        *("transition", _job(), "POST", "/v1/TYPE/d", {"status": "error", "error": 'a "b"\n'}),
        *("d", {"status": "queued"}, {"status": "error", "error": 'a "b"\n'}),
    ),
    "servers": Change(
        *("transition", _job(Status.RUNNING), "POST", "/v1/TYPE/d"),
        *({"status": "running", "servers": ["s1", "s2"]}, "d"),
        *({"servers": ""}, {"servers": "s1 s2"}),
    ),
    "priority": Change(
        *("reorder", _job(priority=5), "POST", "/v1/TYPE/d", {"priority": 7}),
        *("d", {"priority": 5}, {"priority": 7}),
    ),
    "priority of its own": Change(
        *("reorder", _job(), "POST", "/v1/TYPE/d", {"position": "front"}),
        *("d", {"own_priority": False}, {"own_priority": True}),
    ),
    "place": Change(
        *("reorder", _two_jobs, "POST", "/v1/TYPE/d", {"before": "first"}),
        *("d", {"priority": 5}, {"priority": 3}),
    ),
    "expected": Change(
        *("set_expected", _job(expected=90.5), "POST", "/v1/TYPE/d", {"expected": 60}),
        *("d", {"expected": 90.5}, {"expected": 60}),
    ),
    "no expected": Change(
        *("set_expected", _job(expected=90.5), "POST", "/v1/TYPE/d", {"expected": None}),
        *("d", {"expected": 90.5}, None),
    ),
    "withdraw": Change("withdraw", _job(), "DELETE", "/v1/TYPE/d", None, "d", _QUEUED, None),
    "policy": Change(
        *("set_policy", _nothing, "PUT", "/types/TYPE"),
        *({"paused": True, "patience": 60, "limits": {"lab": {"VCPU": 4}}, "offer": 300}, "TYPE"),
        {"paused": False, "patience": 300, "limits": {}},
        {"paused": True, "patience": 60, "limits": {"lab": {"VCPU": 4}}},
    ),
    "policy patch": Change(
        "set_policy",
        lambda s: s.broker.set_policy(s.type, {"limits": {"a": {"VCPU": 1}}}),
        *("PATCH", "/types/TYPE", {"limits": {"a": None, "b": {"VCPU": 2}}, "offer": 300}, "TYPE"),
        *({"limits": {"a": {"VCPU": 1}}}, {"limits": {"b": {"VCPU": 2}}}),
    ),
    "new type": Change("set_policy", _nothing, "PUT", "/types/TYPE", {}, "TYPE", None, {}),
    "no more lines": Change(
        *("set_policy", _nothing, "PUT", "/types/TYPE", {"audit_log": 0}),
        *("TYPE", {"audit_log": 10_000}, {"audit_log": 0}),
    ),
    "drop type": Change(
        "drop_type", lambda s: s.broker.set_policy(s.type, {"paused": True}), "DELETE",
        "/types/TYPE", None, "TYPE", {"policy:paused": True}, None,
    ),
    "losses": Change(
        *("acknowledge_losses", Stage.loss, "DELETE", "/types/TYPE/losses", None),
        *("TYPE", {"losses": 1}, None),
    ),
    "new host": Change(
        *("set_host", _nothing, "PUT", "/types/TYPE/hosts/h", HOST, "h", None),
        {"capacity:VCPU": 4, "aggregates": ["a", "b"]},
    ),
    "host": Change(
        *("set_host", lambda s: publish(s.broker, "h1", s.type, VCPU=2, GPU=1), "PUT"),
        *("/types/TYPE/hosts/h1", HOST, "h1"),
        *({"capacity:VCPU": 2, "capacity:GPU": 1}, {"capacity:VCPU": 4}),
    ),
    "host patch": Change(
        *("set_host", lambda s: publish(s.broker, "h1", s.type, VCPU=2, GPU=1), "PATCH"),
        *("/types/TYPE/hosts/h1", {"capacity": {"VCPU": 4}}, "h1"),
        *({"capacity:VCPU": 2}, {"capacity:VCPU": 4}),
    ),
    "drop host": Change(
        *("drop_host", lambda s: publish(s.broker, "h1", s.type), "DELETE"),
        *("/types/TYPE/hosts/h1", None, "h1"),
        *({"capacity:VCPU": 64, "aggregates": ["a", "b"]}, None),
    ),
    "source": Change(
        *("forget_source", Stage.abandoned_source, "DELETE", "/types/TYPE/sources/lab", None),
        *("lab", {"hosts": 0}, None),
    ),
    "reset": Change(
        *("reset", Stage.failed_callback, "POST", "/types/TYPE/destinations/reset"),
        *({"destination": "http://x:80"}, "http://x:80", {"receivers": 1}, None),
    ),
    "requeue": Change(
        *("transition", Stage.failed_callback, "POST", "/types/TYPE/destinations/requeue"),
        *({"destination": "http://x:80"}, "d", {"status": "error"}, {"status": "queued"}),
    ),
    "keys": Change(
        *("set_keys", _nothing, "PUT", "/types/TYPE/keys", {"owner": "*", "keys": [KEY]}),
        *("*", {"keys": ""}, {"keys": FINGERPRINT}),
    ),
    "create token": Change(
        *("create_token", _nothing, "POST", "/tokens"),
        {"name": "ci", "role": "client", "owners": ["lab"], "expires": 60},
        *("ci", None, {"role": "client", "owners": ["lab"], "expires": ANY}),
    ),
    "rotate token": Change(
        *("rotate_token", _nothing, "POST", "/tokens/ci", {"expires": 90}, "ci"),
        *({"expires": ANY}, {"expires": ANY}),
    ),
    "revoke token": Change(
        *("revoke_token", _nothing, "DELETE", "/tokens/ci", None, "ci", {"tokens": 1}, None),
    ),
}  # fmt: skip
"""What clients and operators change; the name says what."""
ON_THE_TERMINAL = {"encrypt_keys", "repair_job", "repair_array", "repair_type"}
"""Verbs of what no request changes; the tests of the commands try them."""


async def lines_of(broker: Broker, type_: str) -> list[AuditLine]:
    """Return the lines of a type, the newest first."""
    return (await broker.audit_log(type_))[0]


async def _ask(api: httpx.AsyncClient, change: Change, type_: str) -> httpx.Response:
    path = change.path.replace("TYPE", type_)
    return await api.request(change.method, path, json=change.body)


async def test_each_change_leaves_one_line(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """A change by a named identity leaves one line with what changed, its repetition none."""
    for number, (name, change) in enumerate(CHANGES.items()):
        type_ = INSTALLATION if change.path.startswith("/tokens") else f"t{number}"
        await change.prepare(Stage(broker, client, type_))
        before = await lines_of(broker, type_)
        assert before == [] or type_ == INSTALLATION, name
        answer = await _ask(api, change, type_)
        assert answer.is_success, answer.text
        subject = type_ if change.subject == "TYPE" else change.subject
        expected = ("admin", ADDRESS, change.verb, subject, change.before, change.after, "r-1")
        line, *others = await lines_of(broker, type_)
        assert others == before
        found = (line.who, line.address, line.verb, line.subject, line.before, line.after)
        assert (*found, line.http_request_id) == expected, name
        if change.verb != "rotate_token":  # each call makes another token
            await _ask(api, change, type_)
            assert await lines_of(broker, type_) == [line, *before], name
        stored = str(await client.xrange(Keys(type_).of("audit")))
        assert KEY not in stored
        assert "rqb_" not in stored
        assert await audit(client, type_) == []


def test_every_verb_is_tried() -> None:
    """Readers know each verb of a line that a script may write; it has a change above, unless it is
    one of the terminal."""
    audited = [script.source for script in SCRIPTS.values() if script.contract.audit]
    told = [re.search(r"record_audit\(actor, '(\w+)'", source) for source in audited]
    assert {verb[1] for verb in told if verb} == VERBS
    assert all(told)
    assert {change.verb for change in CHANGES.values()} == VERBS - ON_THE_TERMINAL


REFUSED = [
    ("POST", "/v1/vm", submission(), 409),
    ("POST", "/v1/vm", submission("e", callback="abc-d"), 409),
    ("POST", "/v1/vm", submission("e", after=["nobody"]), 409),
    ("POST", "/v1/vm", {"request_id": "e"}, 400),
    ("POST", "/v1/vm/d", {"status": "granted"}, 409),
    ("POST", "/v1/vm/d", {"status": "waiting"}, 400),
    ("POST", "/v1/vm/d", {"status": "done", "fence": 7}, 409),
    ("POST", "/v1/vm/d", {"before": "nobody"}, 404),
    ("POST", "/v1/vm/nobody", {"expected": 5}, 404),
    ("DELETE", "/v1/vm/nobody", None, 404),
    ("PUT", "/types/vm", {"patience": -1}, 400),
    ("DELETE", "/types/vm", None, 409),
    ("DELETE", "/types/vm/hosts/nobody", None, 404),
    ("DELETE", "/types/vm/sources/nobody", None, 404),
    ("POST", "/types/vm/destinations/reset", {"destination": "http://x:80"}, 404),
]


async def test_refused_calls_leave_no_line(api: httpx.AsyncClient, broker: Broker) -> None:
    """What the API, a script or the table of roles refuses is not in the log."""
    await api.post("/v1/vm", json=submission())
    (line,) = await lines_of(broker, "vm")
    for method, path, body, status in REFUSED:
        answer = await api.request(method, path, json=body)
        assert answer.status_code == status, (path, body, answer.text)
    answer = await api.request("PUT", "/types/vm", json={}, headers={"X-Who": "viewer"})
    refused(answer, 403, "forbidden")
    assert await lines_of(broker, "vm") == [line]


async def test_what_changes_nothing_leaves_no_line(api: httpx.AsyncClient, broker: Broker) -> None:
    """A renewal, a type that never was, and losses that are not there leave no line."""
    await bring(broker, Status.RUNNING)
    for method, path, body in (
        ("POST", "/v1/vm/d", {"status": "running"}),
        ("PUT", "/types/vm", {}),
        ("DELETE", "/types/vm/losses", None),
        ("DELETE", "/types/other", None),
        ("PUT", "/types/vm/keys", {"owner": "lab", "keys": []}),
    ):
        assert (await api.request(method, path, json=body)).is_success
    assert await lines_of(broker, "vm") == await lines_of(broker, "other") == []


async def test_a_line_is_bounded(api: httpx.AsyncClient, client: Redis, broker: Broker) -> None:
    """Long texts are cut behind a whole letter, many values counted; data is never in a line."""
    long = {"x": "geheim" * 9000}
    await api.post("/v1/vm", json=submission("ü" * 100, data=long, owner_id="語" * 80))
    await api.post(f"/v1/vm/{'ü' * 100}", json={"status": "error", "error": "語" * 500})
    host = {"capacity": {f"r{number:03}": 1 for number in range(100)}}
    await api.put("/types/vm/hosts/h", json=host)
    put, failed, submitted = await lines_of(broker, "vm")
    assert submitted.after
    assert submitted.after["owner_id"] == "語" * 66 + "…"
    assert submitted.after["data_bytes"] == len('{"x":""}') + 54_000
    assert failed.after
    assert failed.after["error"] == "語" * 66 + "…"
    assert put.after
    assert (len(put.after), put.after["more"]) == (25, 77)
    stored = str(await client.xrange(Keys("vm").of("audit")))
    assert len(stored.encode()) < 3 * 1500
    assert "geheim" not in stored


async def test_old_lines_go(api: httpx.AsyncClient, client: Redis, broker: Broker) -> None:
    """The policy's `audit_log` bounds the lines; of none, no more are written."""
    await api.put("/types/vm", json={"audit_log": 100})
    for priority in range(400):
        await broker.runner.client.xadd(Keys("vm").of("audit"), {"who": str(priority)})
    await api.post("/v1/vm", json=submission())
    assert 100 <= await client.xlen(Keys("vm").of("audit")) < 300
    await api.put("/types/vm", json={"audit_log": 0})
    await api.delete("/v1/vm/d")
    assert (await lines_of(broker, "vm"))[0].verb == "set_policy"


async def test_the_log_outlives_its_type(
    api: httpx.AsyncClient, client: Redis, broker: Broker
) -> None:
    """A type that is dropped or forgotten keeps its log for a month, and for good if used again."""
    key = Keys("vm").of("audit")
    await api.post("/v1/vm", json=submission())
    await api.delete("/v1/vm/d")
    await client.delete(Keys("vm").of("events"))  # as after a quiet minute
    assert await broker.forget_type("vm")
    assert 0 < await client.pttl(key) <= 30 * 86400 * 1000
    await api.put("/types/vm", json={"paused": True})
    assert await client.pttl(key) == -1
    await api.delete("/types/vm")
    assert 0 < await client.pttl(key) <= 30 * 86400 * 1000
    (dropped,) = await lines_of(broker, INSTALLATION)
    (newest, *_) = await lines_of(broker, "vm")
    assert (dropped.verb, dropped.subject, dropped.before) == ("drop_type", "vm", newest.before)
    verbs = [line.verb for line in await lines_of(broker, "vm")]
    assert verbs == ["drop_type", "set_policy", "withdraw", "submit"]
    await api.post("/v1/vm", json=submission())
    assert await client.pttl(key) == -1
