"""The audit log as it is read: by page, by condition, as JSON lines, and by whom."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from redis.asyncio import Redis
from starlette.applications import Starlette

from rq_broker.api import create_app
from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from rq_broker.store.keys import INSTALLATION, Keys
from tests.api.audited import HOST
from tests.api.conftest import BASE, refused, submission
from tests.api.test_access import Names
from tests.api.test_audited_changes import admins_client, lines_of


@pytest.fixture
def app(broker: Broker) -> Starlette:
    return create_app(broker, callback_base=BASE, authenticators=[Names()])


@pytest.fixture
async def api(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with admins_client(app) as client:
        yield client


async def _fill(api: httpx.AsyncClient) -> None:
    """Let two identities change something of two jobs."""
    for name, who in (("a", "admin"), ("b", "of y")):
        headers = {"X-Who": who, "X-Request-ID": f"r-{name}"}
        await api.post("/v1/vm", json=submission(name), headers=headers)
        await api.post(f"/v1/vm/{name}", json={"expected": 60}, headers=headers)


async def _read(api: httpx.AsyncClient, query: str = "", who: str = "admin") -> list[str]:
    answer = await api.get(f"/types/vm/audit{query}", headers={"X-Who": who})
    assert answer.status_code == 200, answer.text
    return [f"{line['verb']} {line['subject']}" for line in answer.json()["data"]]


async def test_the_log_is_read_from_both_ends(api: httpx.AsyncClient) -> None:
    """Newest or oldest first, in pages by `next`, and from the id of a line on."""
    await _fill(api)
    newest = ["set_expected b", "submit b", "set_expected a", "submit a"]
    assert await _read(api) == newest
    assert await _read(api, "?order=oldest") == newest[::-1]
    for order, expected in (("newest", newest), ("oldest", newest[::-1])):
        found, cursor = [], ""
        while cursor is not None:
            answer = await api.get(f"/types/vm/audit?order={order}&limit=1&cursor={cursor}")
            found += [f"{line['verb']} {line['subject']}" for line in answer.json()["data"]]
            cursor = answer.json()["next"]
        assert found == expected
    (last, *_) = (await api.get("/types/vm/audit?limit=1")).json()["data"]
    assert last["time"].endswith("Z")
    assert await _read(api, f"?order=oldest&cursor={last['id']}") == []
    await api.delete("/v1/vm/a")
    assert await _read(api, f"?order=oldest&cursor={last['id']}") == ["withdraw a"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?who=admin", ["set_expected a", "submit a"]),
        ("?verb=submit", ["submit b", "submit a"]),
        ("?request_id=b", ["set_expected b", "submit b"]),
        ("?http_request_id=r-a&verb=submit", ["submit a"]),
        ("?who=nobody", []),
        ("?request_id=h", []),
    ],
)
async def test_lines_are_found_by_conditions(
    api: httpx.AsyncClient, query: str, found: list[str]
) -> None:
    """By who, verb, job and HTTP request; a host of the same name is no job."""
    await _fill(api)
    assert await _read(api, query) == found
    if query == "?request_id=h":
        await api.put("/types/vm/hosts/h", json=HOST)
        assert await _read(api, query) == []


async def test_lines_of_a_job_are_found_where_names_are_per_owner(api: httpx.AsyncClient) -> None:
    """The subject has the owner before the request_id, by which alone lines are asked for."""
    await api.put("/types/vm", json={"names": "per_owner"})
    for owner in ("a", "b"):
        await api.post("/v1/vm", json=submission("d", owner_id=owner))
    assert await _read(api, "?request_id=d") == ["submit b/d", "submit a/d"]


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=x", "?order=x", "?format=x", "?cursor=x", "?x=1", "?who=a&who=b"]
)
async def test_a_query_that_cannot_be_meant_is_refused(api: httpx.AsyncClient, query: str) -> None:
    """Unknown, repeated and malformed parameters are a 400."""
    refused(await api.get(f"/types/vm/audit{query}"), 400, "invalid_request")


async def test_the_log_is_exported_as_json_lines(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All lines, over many pages, an object each; by Accept or by `format`; bounded by `limit`."""
    monkeypatch.setattr("rq_broker.store.audit_log.BATCH", 2)
    monkeypatch.setattr("rq_broker.api.audit_log.PAGE_LIMIT", 3)
    await _fill(api)
    listed = (await api.get("/types/vm/audit?order=oldest")).json()["data"]
    for query, headers in (
        ("?order=oldest", {"Accept": "application/x-ndjson"}),
        ("?order=oldest&format=lines", {}),
    ):
        answer = await api.get(f"/types/vm/audit{query}", headers=headers)
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert [orjson.loads(line) for line in answer.text.splitlines()] == listed
    answer = await api.get("/types/vm/audit?format=lines&limit=1")
    assert len(answer.text.splitlines()) == 1
    assert (await api.head("/types/vm/audit?format=lines")).text == ""


async def test_who_may_read_the_log(api: httpx.AsyncClient) -> None:
    """A client sees what it did itself, and nothing of others even if it asks; viewers nothing."""
    await _fill(api)
    assert await _read(api, who="of y") == ["set_expected b", "submit b"]
    assert await _read(api, "?who=admin", who="of y") == []
    assert await _read(api, who="client") == []
    for path in ("/types/vm/audit", "/audit"):
        for who in ("viewer", "source"):
            refused(await api.get(path, headers={"X-Who": who}), 403, "forbidden")
    assert await _read(api, who="operator") == await _read(api)


async def test_damaged_lines_are_left_out(api: httpx.AsyncClient, client: Redis) -> None:
    """A line that others wrote or damaged stops nobody from reading the others."""
    key = Keys("vm").of("audit")
    await client.xadd(key, {"who": "x"})
    names = ("who", "address", "verb", "subject", "before", "after", "http_request_id")
    await client.xadd(key, dict.fromkeys(names, "[1]"))
    await api.post("/v1/vm", json=submission())
    assert await _read(api) == ["submit d"]


async def test_lines_give_the_statuses() -> None:
    """Replaying the lines of a type from the first on gives the status of each of its jobs."""
    chance = random.Random(14)
    broker = Broker(in_memory())
    app = create_app(broker, callback_base=BASE)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        for _ in range(300):
            name = str(chance.randrange(12))
            status = chance.choice(["submit", "withdraw", "queued", "done", "error"])
            if status == "submit":
                await api.post("/v1/vm", json=submission(name))
            elif status == "withdraw":
                await api.delete(f"/v1/vm/{name}")
            else:
                await api.post(f"/v1/vm/{name}", json={"status": status})
    statuses: dict[str, str] = {}
    for line in reversed(await lines_of(broker, "vm")):
        if line.verb == "withdraw":
            assert line.before
            assert line.before["status"] == statuses.pop(line.subject)
            continue
        before = line.before and line.before["status"]
        assert statuses.get(line.subject) == before
        assert line.after
        statuses[line.subject] = line.after["status"]
    assert statuses == {job.request_id: job.status for job in (await broker.page("vm")).jobs}
    assert len(statuses) > 3


async def test_what_belongs_to_no_type_has_a_log(api: httpx.AsyncClient, broker: Broker) -> None:
    """The log of the installation is read like that of a type, and no type has its name."""
    assert (await api.get("/audit")).json() == {"data": [], "next": None, "ok": True}
    assert await lines_of(broker, INSTALLATION) == []
    assert (await api.get("/types/%2F/audit")).status_code == 400
