"""Health over HTTP, and the answer of every call while Redis is unreachable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import fakeredis
import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app, survey
from rq_broker.api.server.connections import Connections
from rq_broker.api.server.limits import ConnectionLimits
from rq_broker.api.survey import TypeState, callbacks_sentence
from rq_broker.domain.capacity import UNREAD, Host
from rq_broker.store.broker import Broker, Page, SourceReport
from tests.api.conftest import BASE, fail_destinations, submission
from tests.api.server.serving import lifespan_of, running
from tests.making import TYPE, publish, submit

NONE = "no notifier runs: no type is served"
QUIET: dict[str, Any] = {
    "redis": "ok",
    "notifiers": "ok",
    "callbacks": "ok",
    "sources": {},
    "clock_steps": {},
    "losses": {},
    "trouble": [],
    "notes": [],
    "types": 0,
    "types_read": 0,
}
"""What readiness shows of an empty broker in which nothing is wrong."""


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


def unnoted(answer: httpx.Response) -> Any:
    """Return the answer of /readyz without its notes: fakeredis has no INFO to take them from."""
    envelope = answer.json()
    return {**envelope, "data": {**envelope["data"], "notes": []}}


async def test_healthy(api: httpx.AsyncClient) -> None:
    """Both probes answer 200 while Redis is reachable, even in an empty broker."""
    assert (await api.get("/healthz")).json() == {"data": {"alive": True}, "ok": True}
    assert unnoted(await api.get("/readyz")) == {
        "data": {**QUIET, "notifiers": NONE, "trouble": [NONE]},
        "ok": True,
    }


async def test_readiness_reports_an_outage(api: httpx.AsyncClient, broker: Broker) -> None:
    """While most destinations of a type fail, readiness names the type and still answers 200."""
    await broker.report_notifier("n")
    await fail_destinations(broker, "a", "b")
    assert (await api.get("/readyz")).json()["data"]["callbacks"] == "ok"
    await fail_destinations(broker, "c")
    answer = await api.get("/readyz")
    expected = "most destinations of type vm fail"
    assert answer.status_code == 200
    read = {"types": 1, "types_read": 1}
    assert unnoted(answer)["data"] == {
        **QUIET,
        **read,
        "callbacks": expected,
        "trouble": [expected],
    }


@pytest.mark.parametrize(
    ("states", "sentence"),
    [
        ({"a": (True, True), "b": (True, False)}, "most destinations of type a fail"),
        (
            {"a": (True, True), "b": (True, True), "c": (True, False)},
            "most destinations of types a, b fail",
        ),
        (
            {"a": (True, True), "b": (True, True), "c": (False, False)},
            "most destinations of types a, b fail, and so do all types: "
            "check the outgoing network of the notifiers",
        ),
        ({"a": (False, False)}, "ok"),
    ],
)
def test_the_own_network_is_blamed_only_if_all_types_fail(
    states: dict[str, tuple[bool, bool]], sentence: str
) -> None:
    """Dead receivers of one type, or of some, are not taken for a fault of the notifiers."""
    types = {
        name: TypeState({}, has_destinations, outage, [], None)
        for name, (has_destinations, outage) in states.items()
    }
    assert callbacks_sentence(types) == sentence


async def test_readiness_finds_trouble_in_any_of_many_types(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The type that is the last by name is read as well, in batches."""
    monkeypatch.setattr(survey, "BATCH", 2)
    for number in range(7):
        await submit(broker, "d", f"a{number}")
    await broker.fail("zz", "lab", 0, "faulty", "a torn body")
    await broker.watch("zz", "lab", 1, 60.0)
    await broker.fail("zz", "lab", 1, "faulty", "a torn body")
    data = (await api.get("/readyz")).json()["data"]
    assert (data["types"], data["types_read"]) == (8, 8)
    assert "source lab of type zz: a torn body" in data["trouble"]


async def test_a_slow_round_answers_with_what_is_known(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe does not wait for a round over very many types; one round runs at a time."""
    monkeypatch.setattr(survey, "WAIT_SECONDS", 0.01)
    await submit(broker, "d")
    done, rounds = asyncio.Event(), list[str]()
    counts = broker.counts

    async def slow(type_: str) -> Any:
        rounds.append(type_)
        await done.wait()
        return await counts(type_)

    monkeypatch.setattr(broker, "counts", slow)
    for _ in range(2):
        data = (await api.get("/readyz")).json()["data"]
        assert (data["types"], data["types_read"]) == (1, 0)
    assert len(rounds) == 1
    done.set()
    monkeypatch.setattr(survey, "WAIT_SECONDS", 30.0)
    assert (await api.get("/readyz")).json()["data"]["types_read"] == 1


async def test_readiness_names_types_without_a_notifier(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """It tells a type that no live notifier serves, and says so when there is none at all."""
    for type_ in ("vm", "kube"):
        await publish(broker, "h1", type_)
    assert (await api.get("/readyz")).json()["data"]["notifiers"] == NONE
    await broker.report_notifier("n", ["vm"])
    await asyncio.sleep(1.1)  # the reports are read once a second
    sentence = "type kube: no notifier serves this type"
    data = (await api.get("/readyz")).json()["data"]
    assert (data["notifiers"], data["trouble"]) == (sentence, [sentence])


async def test_an_eviction_policy_set_later_is_told(real_client: Redis) -> None:
    """Readiness and metrics notice that Redis may evict keys since the start."""
    transport = httpx.ASGITransport(create_app(Broker(real_client)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        await real_client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            data = (await api.get("/readyz")).json()["data"]
            text = (await api.get("/metrics")).text
        finally:
            await real_client.config_set("maxmemory-policy", "noeviction")
        assert data["redis"] == "Redis has maxmemory-policy allkeys-lru; a queue needs noeviction"
        assert "rq_broker_redis_evicts 1.0" in text


async def test_a_redis_without_a_memory_limit_is_noted(
    real_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `maxmemory` readiness has a note, which is no trouble; with one it has none."""
    monkeypatch.setattr(survey, "WAIT_SECONDS", 30.0)
    transport = httpx.ASGITransport(create_app(Broker(real_client)))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        for limit, notes in (("0", ["Redis has no maxmemory"]), ("1gb", [])):
            await real_client.config_set("maxmemory", limit)
            try:
                answer = await api.get("/readyz")
            finally:
                await real_client.config_set("maxmemory", "0")
            data = answer.json()["data"]
            assert (answer.status_code, data["redis"]) == (200, "ok")
            assert [note.partition(":")[0] for note in data["notes"]] == notes
            assert not any("maxmemory" in text for text in data["trouble"])


async def test_metrics_show_the_state_of_all_types(api: httpx.AsyncClient, broker: Broker) -> None:
    """Jobs by type and status, for types with jobs only; notifiers, and types without one."""
    await submit(broker, "d")
    await broker.set_host("empty", Host("h1", {"VCPU": 1}))
    await broker.report_notifier("n", ["vm"])
    text = (await api.get("/metrics")).text
    for line in (
        "rq_broker_redis_answers 1.0",
        'rq_broker_jobs{status="queued",type="vm"} 1.0',
        "rq_broker_notifiers 1.0",
        "rq_broker_types 2.0",
        "rq_broker_types_unserved 1.0",
    ):
        assert line in text.splitlines()
    assert not [line for line in text.splitlines() if "rq_broker_jobs" in line and "empty" in line]


async def test_metrics_without_redis_name_the_cause(outage: Outage) -> None:
    """The answer is a 200 all the same, and counts the calls that failed by their cause."""
    outage.server.connected = False
    await outage.api.get("/readyz")
    answer = await outage.api.get("/metrics")
    assert answer.status_code == 200
    assert "rq_broker_redis_answers 0.0" in answer.text
    assert 'rq_broker_redis_refused_total{cause="redis_unavailable"}' in answer.text


async def test_a_source_is_forgotten_over_http(api: httpx.AsyncClient, broker: Broker) -> None:
    """DELETE is a 409 while it is polled, and a 404 for one that is unknown; the list shows it."""
    await broker.watch("vm", "lab", 1, 60.0)
    (source,) = (await api.get("/types/vm/sources")).json()["data"]
    assert source["name"] == "lab"
    assert (await api.delete("/types/vm/sources/lab")).json()["code"] == "conflict"
    assert (await api.delete("/types/vm/sources/none")).json()["code"] == "source_not_found"
    await broker.runner.command("HSET", "rqb:{vm}:source:lab", "tried", 1)
    assert (await api.delete("/types/vm/sources/lab")).status_code == 200
    assert (await api.get("/types/vm/sources")).json()["data"] == []


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


async def test_what_a_source_cannot_read_is_told(api: httpx.AsyncClient, broker: Broker) -> None:
    """Readiness says what is unread, and how many hosts are ignored as others publish their names;
    metrics count the cause."""
    await broker.set_host("vm", Host("h1", {"VCPU": 1}))
    for name, cause, text in (("lab", UNREAD, "the names of aggregates: 403"), ("twin", "", "")):
        watched = await broker.watch("vm", name, 1, 60.0)
        assert watched is not None
        report = SourceReport(1, [Host("h1", {"VCPU": 1})], {}, cause=cause, trouble=text)
        await broker.apply("vm", name, 1, watched.begun, report)
    trouble = (await api.get("/readyz")).json()["data"]["trouble"]
    clash = "1 of its hosts are ignored, as others publish hosts of these names: h1 among them"
    assert f"source lab of type vm: the names of aggregates: 403; {clash}" in trouble
    assert f"source twin of type vm: {clash}" in trouble
    text = (await api.get("/metrics")).text
    assert 'rq_broker_sources_by_cause{cause="unread"} 1.0' in text.splitlines()


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
    outage: Outage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A list that breaks off is cut, so no client takes a part of it for the whole; the log says so
    without a traceback."""
    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 1)
    for name in ("a", "b", "c"):
        await outage.api.post("/v1/vm/", json=submission(name))
    real = outage.broker.page

    async def page(*args: Any, **kwargs: Any) -> Page:
        jobs = await real(*args, **kwargs)
        outage.server.connected = False
        return jobs

    monkeypatch.setattr(outage.broker, "page", page)
    connections = Connections(ConnectionLimits(8, 8, 8), grace=5.0)
    app = create_app(outage.broker, lifespan=lifespan_of(connections))
    async with running(app) as server, httpx.AsyncClient() as api:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await api.get(f"http://127.0.0.1:{server.config.port}/v1/vm/")
    assert "an answer breaks off: Redis does not answer" in caplog.text
    assert "Traceback" not in caplog.text


async def test_redis_fails_before_missed_events_are_read(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream of events ends whole, so that its client comes back for what it has missed."""
    await outage.api.post("/v1/vm/", json=submission("d"))
    outage.broker.events.close()  # so that streams end behind what there is

    def away(*_: Any) -> Any:
        outage.server.connected = False
        return history(*_)

    history = outage.broker.events.history
    monkeypatch.setattr(outage.broker.events, "history", away)
    for path in ("/types/vm/events", "/v1/vm/d/events", "/events"):
        outage.server.connected = True
        answer = await outage.api.get(path, headers={"Last-Event-ID": "0"})
        assert (answer.status_code, answer.text) == (200, "")


async def test_readiness_outlives_lacking_replicas(real_client: Redis) -> None:
    """Reads are served without replicas, by each API process alike: 200, with the trouble."""
    await real_client.config_set("min-replicas-to-write", "1")
    try:
        transport = httpx.ASGITransport(create_app(Broker(real_client)))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
            assert (await api.get("/v1/")).status_code == 200
            ready = await api.get("/readyz")
    finally:
        await real_client.config_set("min-replicas-to-write", "0")
    data = ready.json()["data"]
    assert ready.status_code == 200
    assert "fewer replicas than its min-replicas-to-write" in data["redis"]
    assert data["redis"] in data["trouble"]


async def test_losses_are_told_until_they_are_acknowledged(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """DELETE takes them out of `losses` and `trouble`, and says how many they were."""
    await submit(broker, "a")
    await submit(broker, "b")
    await client.flushall()
    await broker.notice_losses()
    data = (await api.get("/readyz")).json()["data"]
    assert data["losses"].keys() == {TYPE}
    assert any("lost state" in text for text in data["trouble"])
    answer = await api.delete(f"/types/{TYPE}/losses")
    assert (answer.status_code, answer.json()["data"]) == (200, {"acknowledged": 1})
    data = (await api.get("/readyz")).json()["data"]
    assert data["losses"] == {}
    assert not any("lost state" in text for text in data["trouble"])
