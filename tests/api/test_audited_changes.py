"""The audit log: one line for each change that somebody makes, and none without a change."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.domain.audit_line import VERBS, AuditLine
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import INSTALLATION, Keys
from rq_broker.store.scripts import SCRIPTS
from tests.api.audited import CHANGES, KEY, ON_THE_TERMINAL, Change, Stage
from tests.api.conftest import BASE, contract, refused, submission
from tests.api.test_access import Names
from tests.making import bring

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
        type_ = INSTALLATION if change.path.startswith(("/tokens", "/session")) else f"t{number}"
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
        if change.verb not in ("rotate_token", "create_session"):  # each call makes another
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
