"""/metrics: the names and labels that the page lists, bounded, and the same in every process."""

from __future__ import annotations

import asyncio
import logging
import re

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.api import create_app, survey, type_metrics
from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.measures import OWN, PASS_SECONDS
from rq_broker.store.broker import Broker, Settlement, SourceReport
from tests.api.conftest import called
from tests.couriers import answering, deliver_once
from tests.making import TYPE, bring, grant, publish, shape, submit
from tests.metrics import Scrape, parse, table

UNITS = r"_(seconds|total|info)$"


async def _scrape(api: httpx.AsyncClient) -> Scrape:
    answer = await api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parse(answer.text)


async def _live(broker: Broker, client: Redis, slots: asyncio.Semaphore) -> None:
    """Have something of everything happen that is counted."""
    await broker.report_notifier("n", [])
    watched = await broker.watch(TYPE, "lab", 1, 60.0)
    assert watched is not None
    report = SourceReport(1, [Host("h9", {"VCPU": 8}, {"VCPU": 2})], {})
    await broker.apply(TYPE, "lab", 1, watched.begun, report)
    await broker.fail(TYPE, "lab", 1, "faulty", "a torn body")
    job = await submit(broker, "promised", owner_id="secret-owner")
    await broker.forecast(TYPE, [(job, 1.0, 60.0)])
    await publish(broker)
    assert await grant(broker, job)
    await deliver_once(broker, answering(), slots)
    await submit(broker, "waits", shape=shape({"VCPU": 99}))
    await Granter(broker, TYPE).run_once()
    for number in range(5):
        failed = Settlement("failed", "timeout", 7, health="unhealthy")
        await called(broker, f"bad{number}", failed)
    await client.zadd("rqb:{vm}:open", {"http://bad:80": 1})
    await client.hset("rqb:{vm}", mapping={"clock_steps": 1, "clock_step": 5, "clock_stepped": 6})
    await broker.runner.run("report_loss", TYPE, incarnation="1", id=0, fence=0, witness=[])
    broker.runner.trouble.note(errors.RedisReadOnly(), OSError("x"), "rqb:{vm}")
    broker.runner.trouble.close()


async def test_the_page_lists_every_metric(
    broker: Broker, client: Redis, slots: asyncio.Semaphore, api: httpx.AsyncClient
) -> None:
    """Names, kinds and labels are those of the page's table, named by Prometheus' rules, and no
    row names an owner, a job, a host or a receiver."""
    await _live(broker, client, slots)
    scrape, rows = await _scrape(api), table()
    rows = {name: row for name, row in rows.items() if not name.startswith("rq_broker_audit_")}
    own = {name for name in scrape.labels if name.startswith("rq_broker_")}
    others = scrape.labels.keys() - own
    assert own == rows.keys()
    assert all(re.match("process_", name) for name in others)
    for name, (labels, kind) in rows.items():
        assert (name, scrape.labels[name]) == (name, labels)
        assert scrape.kinds[name] == (kind if not name.endswith("_info") else scrape.kinds[name])
        assert name.endswith("_total") == (kind == "counter")
        assert kind != "histogram" or re.search(UNITS, name)
    named = {value for _, labels in scrape.values for _, value in labels}
    assert named.isdisjoint({"secret-owner", "promised", "h1", "h9", "http://x:80"})


async def test_metrics_tell_what_happened(
    broker: Broker, client: Redis, slots: asyncio.Semaphore, api: httpx.AsyncClient
) -> None:
    """The counters of Redis and of the process have the values of what was done."""
    passes = PASS_SECONDS._sum.get(), _samples("rq_broker_planner_pass_seconds_count")
    callbacks = _samples("rq_broker_callbacks_total", outcome="ok")
    await _live(broker, client, slots)
    scrape = await _scrape(api)
    assert scrape.value("rq_broker_ready") == 1
    assert scrape.value("rq_broker_grants_total", type=TYPE) == 6
    small = scrape.rows("rq_broker_wait_seconds_count")
    assert small == {frozenset({("type", TYPE), ("size", "1/8")}): 6}
    assert scrape.value("rq_broker_capacity", type=TYPE, resource="VCPU") == 72
    assert scrape.value("rq_broker_capacity_used", type=TYPE, resource="VCPU") == 2
    assert scrape.value("rq_broker_capacity_held", type=TYPE, resource="VCPU") == 1
    assert scrape.value("rq_broker_breakers_open", type=TYPE) == 1
    assert scrape.value("rq_broker_jobs", type=TYPE, status="queued") == 1
    assert 0 < scrape.value("rq_broker_oldest_wait_seconds", type=TYPE) < 600
    judged = {"type": TYPE, "outcome": "kept"}
    assert scrape.value("rq_broker_forecasts_total", percentile="90", **judged) == 1
    assert scrape.value("rq_broker_callbacks_total", outcome="ok") == callbacks + 1
    assert scrape.value("rq_broker_planner_pass_seconds_count") > passes[1]
    assert scrape.value("rq_broker_script_seconds_count", script="grant") >= 6


def _samples(name: str, **labels: str) -> float:
    return OWN.get_sample_value(name, labels) or 0.0


async def test_many_types_are_one(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of types the others are added up as `other`, a type of that name with them,
    and have no capacity; all that was counted is still told."""
    monkeypatch.setattr(type_metrics, "MOST_TYPES", 2)
    monkeypatch.setattr(survey, "MOST_TYPES", 2)
    types = ("a", "b", "c", "other", "z")
    for type_ in types:
        await publish(broker, type_=type_)
        await bring(broker, Status.RUNNING, type_=type_)
    transport = httpx.ASGITransport(create_app(broker))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        scrape = await _scrape(api)
    grants = {
        dict(labels)["type"]: n for labels, n in scrape.rows("rq_broker_grants_total").items()
    }
    assert grants == {"a": 1, "b": 1, "other": 3}
    waits = scrape.rows("rq_broker_wait_seconds_count")
    assert sum(waits.values()) == 5
    jobs = scrape.rows("rq_broker_jobs")
    assert jobs[frozenset({("type", "other"), ("status", "running")})] == 3
    told = {dict(labels)["type"] for labels in scrape.rows("rq_broker_capacity")}
    assert told == {"a", "b"}
    named = {value for _, labels in scrape.values for label, value in labels if label == "type"}
    assert named == {"a", "b", "other"}


async def test_a_process_that_only_answers_probes_reads_no_figures(
    broker: Broker, api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Readiness alone costs no script for metrics; the first scrape has them all the same."""
    caplog.set_level(logging.WARNING)
    await bring(broker, Status.RUNNING)
    before = _samples("rq_broker_script_seconds_count", script="figures")
    await api.get("/readyz")
    assert _samples("rq_broker_script_seconds_count", script="figures") == before
    assert (await _scrape(api)).value("rq_broker_grants_total", type=TYPE) == 1
