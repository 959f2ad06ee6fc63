"""Health over HTTP, and the answer of every call while Redis is unreachable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import fakeredis
import httpx
import pytest

from rq_broker.api import create_app
from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker, Page, SourceReport
from tests.api.conftest import BASE, fail_destinations, submission
from tests.making import submit


@dataclass
class Outage:
    """An API, and the server behind it, which a test can disconnect."""

    api: httpx.AsyncClient
    broker: Broker
    server: fakeredis.FakeServer


@pytest.fixture
async def outage() -> AsyncIterator[Outage]:
    server = fakeredis.FakeServer()
    client = fakeredis.FakeAsyncRedis(server=server, decode_responses=True)
    broker = Broker(client)
    app = create_app(broker, callback_base=BASE)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        yield Outage(api, broker, server)
    await client.aclose()


async def test_healthy(api: httpx.AsyncClient) -> None:
    """Both probes answer 200 while Redis is reachable, even in an empty broker."""
    assert (await api.get("/healthz")).json() == {"data": {"alive": True}, "ok": True}
    assert (await api.get("/readyz")).json() == {
        "data": {"redis": "ok", "callbacks": "ok", "sources": {}},
        "ok": True,
    }


async def test_readiness_reports_an_outage(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While most destinations of a type fail, readiness names the type and still answers 200."""
    await submit(broker, "d", "kube")
    await fail_destinations(broker, "a", "b")
    assert (await api.get("/readyz")).json()["data"]["callbacks"] == "ok"
    await fail_destinations(broker, "c")
    answer = await api.get("/readyz")
    expected = "most destinations of type vm fail: check the outgoing network of the notifiers"
    assert answer.status_code == 200
    assert answer.json()["data"] == {"redis": "ok", "callbacks": expected, "sources": {}}
    monkeypatch.setattr("rq_broker.api.health._TYPES", 1)  # of two: kube comes before vm
    assert (await api.get("/readyz")).json()["data"]["callbacks"] == "ok"


async def test_readiness_reports_sources(api: httpx.AsyncClient, broker: Broker) -> None:
    """Readiness lists each source with its age, the cause of its failure, and its staleness."""
    watched = await broker.watch("vm", "lab", 1, 60.0)
    assert watched is not None
    report = SourceReport(1, [Host("h1", {"VCPU": 1})], {})
    await broker.apply("vm", "lab", 1, watched.begun, report)
    await broker.fail("vm", "lab", 1, "faulty", "a torn body")
    (source,) = (await api.get("/readyz")).json()["data"]["sources"]["vm"]
    assert source.pop("age_seconds") >= 0
    assert source == {
        **{"name": "lab", "stale": False, "hosts": 1, "clashes": 0},
        **{"cause": "faulty", "text": "a torn body"},
    }
    body = {"capacity": {"VCPU": 2}, "max_unit": {"VCPU": 1}}
    refused = await api.put("/types/vm/hosts/h1", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    published = (await api.put("/types/vm/hosts/h2", json=body)).json()["data"]
    assert published["max_unit"] == {"VCPU": 1}
    assert (await api.get("/types/vm/hosts/h1")).json()["data"]["source"] == "lab"


CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/readyz", None),
    ("POST", "/v1/vm/", submission("e")),
    ("GET", "/v1/vm/", None),
    ("GET", "/v1/vm/?limit=1", None),
    ("GET", "/v1/vm/d", None),
    ("POST", "/v1/vm/d", {"priority": 1}),
    ("POST", "/v1/vm/d", {"status": "done"}),
    ("DELETE", "/v1/vm/d", None),
    ("GET", "/v1/", None),
    ("GET", "/types/vm", None),
    ("PUT", "/types/vm", {"paused": True}),
    ("GET", "/types/vm/hosts", None),
    ("PUT", "/types/vm/hosts/h", {"capacity": {}}),
    ("GET", "/v1/vm/d/attempts", None),
    ("GET", "/types/vm/destinations", None),
    ("POST", "/types/vm/destinations/requeue", {"destination": "http://h:80"}),
    ("GET", "/types/vm/keys", None),
    ("PUT", "/types/vm/keys", {"owner": "*", "keys": []}),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_every_call_without_redis(
    outage: Outage, method: str, path: str, body: object
) -> None:
    """Without Redis every call is a 503 with Retry-After, and succeeds once Redis is back."""
    await outage.api.post("/v1/vm/", json=submission("d"))
    outage.server.connected = False
    answer = await outage.api.request(method, path, json=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "redis_unavailable"
    assert (await outage.api.get("/healthz")).status_code == 200
    outage.server.connected = True
    assert (await outage.api.request(method, path, json=body)).is_success


async def test_redis_fails_in_the_middle_of_a_list(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that breaks off is not valid JSON, so no client takes a part of it for the whole."""
    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 1)
    for name in ("a", "b", "c"):
        await outage.api.post("/v1/vm/", json=submission(name))
    real = outage.broker.page

    async def page(*args: Any, **kwargs: Any) -> Page:
        jobs = await real(*args, **kwargs)
        outage.server.connected = False
        return jobs

    monkeypatch.setattr(outage.broker, "page", page)
    with pytest.raises(RuntimeError, match="response already started"):
        await outage.api.get("/v1/vm/")
