"""Reports over HTTP: what is told of whom, in which order, and within which bounds."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.admission import report_reader, waiting_sums
from rq_broker.admission.report_reader import Report, ReportedStep
from rq_broker.api import create_app
from rq_broker.api.report_views import report_view
from rq_broker.domain.jobs import Status
from rq_broker.domain.report_sums import Level, Sums
from rq_broker.domain.reports import ReportState, step_at
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from rq_broker.worker.reporter import LEAST_SECONDS, Reporter
from tests.api.tenants import WhoHeader, client as tenant
from tests.making import TYPE, grant, publish, shape, submit

PATH = f"/types/{TYPE}/report"


async def run(broker: Broker, name: str, owner: str, *, vcpus: int = 1, size: int = -3) -> None:
    """Submit a job and let it hold."""
    wanted = shape({"VCPU": vcpus}, owner=owner)
    await grant(broker, await submit(broker, name, owner_id=owner, shape=wanted), wanted, size=size)


async def make_scene(broker: Broker) -> None:
    """One job has ended, two run, three wait."""
    await publish(broker, VCPU=8)
    await run(broker, "ended", "lab-a", vcpus=8, size=0)
    await broker.transition(TYPE, "ended", Status.DONE)
    await run(broker, "runs", "lab-a", vcpus=2)
    await run(broker, "other", "lab-b")
    for name, owner in (("w1", "lab-a"), ("w2", "lab-b"), ("w3", "lab-b")):
        wanted = shape({"VCPU": 8}, owner=owner)
        await submit(broker, name, owner_id=owner, shape=wanted)
    while await Reporter(broker, TYPE).run_once() == LEAST_SECONDS:
        pass


async def data(api: httpx.AsyncClient, path: str = "", **query: Any) -> Any:
    answer = await api.get(PATH + path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_a_report_tells_what_happened_by_owner(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Each owner has its submits, grants and ends; the sums of all are those of the owners."""
    await make_scene(broker)
    report = await data(api, by="owner", step="day", limit=50)
    names = [group["owner_id"] for group in report["groups"]]
    assert names == ["lab-a", "lab-b"]
    jobs = [[group[key] for key in ("submitted", "granted", "done")] for group in report["groups"]]
    assert jobs == [[3, 2, 1], [3, 1, 0]]
    total = report["total"]
    assert [total[key] for key in ("submitted", "granted", "done")] == [6, 3, 1]
    assert total["waits"]["count"] == sum(total["waits"]["buckets"]) == 3
    assert total["waits"]["p50"] <= total["waits"]["p90"] <= report["wait_bounds"][0]
    assert len(report["steps"]) <= 2
    assert report["end"] - report["start"] == 30 * 86400
    last = report["steps"][-1]
    assert last["start"] <= time.time() <= last["end"] == report["end"]
    assert last["total"]["submitted"] == 6


async def test_what_still_runs_is_in_the_report(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """A job that was granted hours ago and runs has had its capacity in each of these hours."""
    await publish(broker, VCPU=8)
    await run(broker, "runs", "lab-a", vcpus=2)
    hours = 3
    await client.hincrby(Keys(TYPE).of("job", "runs"), "granted", -hours * 3600 * 1000)
    report = await data(api, by="owner")
    (group,) = report["groups"]
    assert group["held"]["VCPU"] == pytest.approx(2 * hours, abs=0.1)
    by_step = [step["total"]["held"].get("VCPU", 0) for step in report["steps"]]
    assert by_step[-3:-1] == [2.0, 2.0]
    assert sum(by_step) == pytest.approx(2 * hours, abs=0.1)
    (of_size,) = (await data(api, by="size"))["groups"]
    assert (of_size["size"], of_size["label"]) == (-3, "1/8")
    assert of_size["held"]["VCPU"] == pytest.approx(2 * hours, abs=0.1)


async def test_many_running_jobs_are_summed_off_the_loop(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound the sums are made in a thread, and are the same."""
    await make_scene(broker)
    few = await data(api, by="owner", step="day")
    monkeypatch.setattr(report_reader, "FEW_HOLDS", 0)
    many = await data(api, by="owner", step="day")
    assert [group["granted"] for group in many["groups"]] == [
        group["granted"] for group in few["groups"]
    ]
    assert many["total"]["held"]["VCPU"] >= few["total"]["held"]["VCPU"] > 0


async def test_owners_beyond_the_limit_are_one(api: httpx.AsyncClient, broker: Broker) -> None:
    """The largest are named, the others are summed up as the last group, in each step too."""
    await make_scene(broker)
    report = await data(api, by="owner", step="day", limit=1)
    assert [group.get("owner_id") for group in report["groups"]] == ["lab-a", None]
    assert report["groups"][-1]["other"] is True
    assert report["groups"][-1]["submitted"] == 3
    assert [group.get("other") for group in report["steps"][-1]["groups"]] == [None, True]


async def test_capacity_and_demand_stand_beside_each_other(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """A step tells what the hosts had, what was held, and what the line asked for."""
    await make_scene(broker)
    last = (await data(api))["steps"][-1]
    assert last["known"] > 0
    assert (last["capacity"], last["held"], last["waiting"]) == (
        {"VCPU": 8},
        {"VCPU": 3},
        {"VCPU": 24},
    )
    assert last["waiting_jobs"] == 3


async def test_a_type_without_events_has_an_empty_report(api: httpx.AsyncClient) -> None:
    """Nothing is told of nothing, in the same keys."""
    report = await data(api)
    assert report["counted_since"] is report["counted_until"] is None
    assert (report["groups"], report["total"]["granted"]) == ([], 0)
    assert (report["steps"], report["end"] - report["start"]) == ([], 86400)
    assert (await data(api, "/waiting"))["total"] == {"jobs": 0, "amounts": {}, "oldest": None}
    assert await data(api, "/holders") == {"total": 0, "jobs": []}


async def test_the_line_is_summed_by_owner_and_size(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs, what they ask for, and the oldest wait, now; beyond a bound of shapes that is told."""
    await make_scene(broker)
    waiting = await data(api, "/waiting")
    assert waiting["is_complete"]
    assert (waiting["total"]["jobs"], waiting["total"]["amounts"]) == (3, {"VCPU": 24})
    assert [(each["owner_id"], each["jobs"]) for each in waiting["owners"]] == [
        ("lab-b", 2),
        ("lab-a", 1),
    ]
    assert [(each["label"], each["jobs"]) for each in waiting["sizes"]] == [("1", 3)]
    assert 0 <= waiting["owners"][0]["oldest"] <= waiting["total"]["oldest"]
    assert (await data(api, "/waiting", limit=1))["owners"][-1]["other"] is True
    monkeypatch.setattr(waiting_sums, "MOST_SHAPES", 1)
    monkeypatch.setattr(waiting_sums, "PAGE_SHAPES", 1)
    part = await data(api, "/waiting")
    assert (part["is_complete"], part["total"]["jobs"]) == (False, 1)


async def test_who_holds_for_longer_than_expected_is_listed(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """The longest beyond what was said or predicted is first; those within it are left out."""
    await publish(broker, VCPU=8)
    for name, owner in (("within", "lab-a"), ("late", "lab-a"), ("later", "lab-b")):
        await run(broker, name, owner)
    for name, ms in (("late", 90_000), ("later", 900_000)):
        key = Keys(TYPE).of("job", name)
        await client.hset(key, mapping={"predicted": 60_000, "predicted_from": "owner"})
        await client.hincrby(key, "granted", -ms)
    await client.hset(Keys(TYPE).of("job", "late"), "expected", 30_000)
    holders = await data(api, "/holders")
    assert holders["total"] == 2
    told = [(job["request_id"], job["expected"], job["expected_from"]) for job in holders["jobs"]]
    assert told == [("later", 60, "owner"), ("late", 30, "expected")]
    first = holders["jobs"][0]
    assert first["beyond"] == pytest.approx(840, abs=30)
    assert (first["hosts"], first["amounts"]) == (["h1"], {"VCPU": 1})
    assert (await data(api, "/holders", limit=1))["total"] == 2
    own = await data(api, "/holders", owner_id="lab-a")
    assert [job["request_id"] for job in own["jobs"]] == ["late"]


async def test_a_client_sees_sums_of_others_and_no_names(broker: Broker) -> None:
    """Whoever is limited to owners sees these by name, the others as one, and no other's job."""
    await make_scene(broker)
    app = create_app(broker, authenticators=[WhoHeader(tenant("b", "lab-b"))])
    transport = httpx.ASGITransport(app)
    headers = {"X-Who": "b"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers
    ) as api:
        report = await data(api, by="owner", step="day")
        assert [group.get("owner_id") for group in report["groups"]] == ["lab-b", None]
        owners = (await data(api, "/waiting"))["owners"]
        told = [(each.get("owner_id"), each["jobs"]) for each in owners]
        assert told == [("lab-b", 2), (None, 1)]
        assert (await data(api, "/holders", owner_id="lab-a"))["total"] == 0


async def test_names_that_no_host_has_are_in_no_report(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """What jobs ask for of made up resources is neither told nor stored, whoever asks, and what an
    earlier version stored of it is not told; nor is a held amount of 0."""
    await publish(broker, VCPU=8)
    await bring_words(broker)
    while await Reporter(broker, TYPE).run_once() == LEAST_SECONDS:
        pass
    report, waiting = await data(api, step="hour"), await data(api, "/waiting")
    assert waiting["total"]["amounts"] == {"VCPU": 18}
    assert waiting["total"]["jobs"] == 2
    assert "project-tiger" not in f"{report}{waiting}"
    stored = [await client.hgetall(key) async for key in client.scan_iter("*report:*")]
    assert "project-tiger" not in f"{stored}{await client.get(Keys(TYPE).of('report'))!r}"
    old = Level(60.0, capacity={"VCPU": 480.0}, waiting={"VCPU": 540.0, "project-tiger": 60.0})
    step = ReportedStep(step_at("hour", 0), Sums(held={"project-tiger": 0.0}), {}, old)
    view = report_view(TYPE, "size", Report(ReportState(), 0.0, [step], step.total))
    assert "project-tiger" not in str(view)
    assert view.steps[0].waiting == {"VCPU": 9.0}


async def bring_words(broker: Broker) -> None:
    """Have two jobs wait, one of which asks for a resource by a name of its own."""
    for name, words in (("a", {}), ("b", {"project-tiger": 1})):
        wanted = shape({"VCPU": 9, **words}, owner=name)
        await submit(broker, name, owner_id=name, shape=wanted)


@pytest.mark.parametrize(
    ("path", "query", "sentence"),
    [
        ("", {"by": "host"}, "by must be one of owner, size"),
        ("", {"step": "week"}, "step must be one of hour, day"),
        ("", {"from": "x"}, 'from must be seconds since 1970, not "x"'),
        ("", {"to": "nan"}, "to must be seconds since 1970"),
        ("", {"from": "9", "to": "8"}, "from must be before to"),
        ("", {"from": "0"}, "a report has at most 400 steps"),
        ("", {"limit": "51"}, "limit must be a whole number from 1 to 50"),
        ("/holders", {"limit": "0"}, "limit must be a whole number from 1 to 1000"),
        ("/waiting", {"since": "1"}, 'the query parameter "since" is not known'),
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(
    api: httpx.AsyncClient, path: str, query: dict[str, str], sentence: str
) -> None:
    """Each mistake is named, with what would be right."""
    answer = await api.get(PATH + path, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert sentence in answer.json()["error"]
