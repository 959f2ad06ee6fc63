"""Many submits in one call: each has the answer that it would have alone."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import bulk_bodies
from rq_broker.domain import errors
from rq_broker.domain.job_log import JOB_LOG
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.api.conftest import listed, refused, submission
from tests.api.test_access import calling
from tests.api.test_audited_changes import lines_of


async def _many(api: httpx.AsyncClient, *jobs: Any, **headers: str) -> dict[str, Any]:
    answer = await api.post("/types/vm/jobs", json={"jobs": list(jobs)}, headers=headers)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


async def test_one_bad_job_harms_no_other(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """Refused ones have status, code and sentence of the single call, the others are queued in the
    order of the list."""
    await api.post("/v1/vm", json=submission("taken"))
    bad = {
        "taken": submission("taken"),
        "callback": submission("callback", callback="abc-taken"),
        "field": submission("field", priority="high"),
        "array": submission("array", count=2, callback="x{n}"),
        "after": submission("after", after=["nobody"]),
    }
    names = [f"j{number:03}" for number in range(230)]
    jobs = [submission(name) for name in names]
    jobs[3:3] = bad.values()
    data = await _many(api, *jobs, "no object", {})
    assert await listed(api) == ["taken", *names]
    told = {job["request_id"]: job for job in data["jobs"] if job["status"] != 201}
    assert [job["request_id"] for job in data["jobs"][:10]] == [*names[:3], *bad, *names[3:5]]
    assert data["stored"] == 230
    assert data["refused"] == {
        "duplicate_request_id": 1,
        "duplicate_callback": 1,
        "invalid_request": 4,
        "unknown_dependency": 1,
    }
    for name, body in bad.items():
        if name == "array":
            assert "is submitted alone" in told[name]["error"]
            continue
        alone = await api.post("/v1/vm", json=body)
        envelope = alone.json()
        assert (told[name]["status"], told[name]["code"], told[name]["error"]) == (
            alone.status_code,
            envelope["code"],
            envelope["error"],
        )
        assert told[name].get("same") == envelope.get("same")
        assert told[name].get("data") == envelope.get("data")
    shown = (await api.get("/v1/vm/j000")).json()["data"]
    assert data["jobs"][0]["data"] == {key: shown[key] for key in data["jobs"][0]["data"]}
    assert await audit(client, "vm") == []
    assert await broker.audit_log("vm")


async def test_a_call_may_be_repeated(api: httpx.AsyncClient) -> None:
    """With its key each job is 201 again and replayed, as a part too; another body is told so."""
    jobs = [submission("a"), submission("b")]
    await _many(api, *jobs, **{"Idempotency-Key": '"k 1"'})
    data = await _many(api, submission("b"), submission("c"), **{"Idempotency-Key": '"k 1"'})
    assert [(job["status"], job.get("replayed")) for job in data["jobs"]] == [
        (201, True),
        (201, None),
    ]
    alone = await api.post("/v1/vm", json=jobs[0], headers={"Idempotency-Key": '"k 1 a"'})
    assert (alone.status_code, alone.headers["idempotent-replayed"]) == (201, "true")
    other = submission("a", callback="other")
    (job,) = (await _many(api, other, **{"Idempotency-Key": '"k 1"'}))["jobs"]
    assert (job["status"], job["code"]) == (409, "idempotency_key_reused")
    (job,) = (await _many(api, jobs[0]))["jobs"]
    assert (job["status"], job["code"], job["same"]) == (409, "duplicate_request_id", True)


async def test_a_name_twice_in_one_call(api: httpx.AsyncClient) -> None:
    """The second one is a duplicate with a key of the call too, and in its repetition."""
    for _ in range(2):
        data = await _many(api, submission("a"), submission("a"), **{"Idempotency-Key": "k"})
        assert [job["status"] for job in data["jobs"]] == [201, 409]
        assert (data["stored"], data["refused"]) == (1, {"duplicate_request_id": 1})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"jobs": []}', 400, "invalid_request"),
        ('{"jobs": null}', 400, "invalid_request"),
        ("[]", 400, "invalid_request"),
        ('{"jobs": [{}], "more": 1}', 400, "invalid_request"),
        ('{"jobs": [{}], "jobs": [{}]}', 400, "unreadable_json"),
        ('{"jobs": [{}', 400, "unreadable_json"),
        (f'{{"jobs": [{"[" * 3000}{"]" * 3000}]}}', 400, "unreadable_json"),
        (f'{{"jobs": [{",".join(["{}"] * 1001)}]}}', 400, "invalid_request"),
        (" " * (bulk_bodies.MOST_BYTES + 1), 413, "body_too_large"),
    ],
    ids=range(9),
)
async def test_bad_bodies(api: httpx.AsyncClient, body: str, status: int, code: str) -> None:
    """A body that is no list of 1 to 1,000 jobs is refused whole."""
    answer = await api.post("/types/vm/jobs", content=body)
    refused(answer, status, code)


async def test_data_keeps_every_digit(api: httpx.AsyncClient) -> None:
    """Bodies are read as exactly as that of one job: digits stay, a key given twice is refused."""
    exact = '{"request_id": "a", "owner_id": "y", "callback": "a", "data": {"x": 1.50}}'
    twice = '{"request_id": "b", "owner_id": "y", "callback": "b", "data": {"x": 1, "x": 2}}'
    answer = await api.post("/types/vm/jobs", content=f'{{"jobs": [{exact}, {twice}]}}')
    first, second = answer.json()["data"]["jobs"]
    assert first["data"]["Data"] == '{"x":1.50}'
    assert (second["request_id"], second["code"]) == ("b", "unreadable_json")


async def test_a_client_submits_its_own_jobs_only(broker: Broker) -> None:
    """Another's owner and a priority are refused job by job; its own owner may be left out."""
    await broker.set_policy("vm", {})
    mine = {key: value for key, value in submission("mine").items() if key != "owner_id"}
    async with calling(broker, "client") as api:
        data = await _many(api, mine, submission("z", owner_id="z"), submission("p", priority=1))
        assert [job.get("code") for job in data["jobs"]] == [None, "forbidden", "forbidden"]
        assert data["jobs"][0]["data"]["OwnerID"] == "y"
    (line, *_) = await lines_of(broker, "vm")
    assert (line.who, line.verb, line.subject) == ("client", "submit", "mine")


async def test_redis_away_is_told_job_by_job(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs of a script that Redis did not run have the code of that; others are stored."""
    run = broker.runner.run

    async def flaky(verb: str, type_: str, **arguments: Any) -> Any:
        if any(job["request_id"] == "j59" for job in arguments.get("jobs", ())):
            raise errors.Unavailable("away")
        return await run(verb, type_, **arguments)

    monkeypatch.setattr(broker.runner, "run", flaky)
    async with calling(broker, "admin") as api:
        data = await _many(api, *(submission(f"j{number}") for number in range(60)))
    stored = [job["status"] for job in data["jobs"]].index(503)
    assert [job["status"] for job in data["jobs"]] == [201] * stored + [503] * (60 - stored)
    assert stored > 0
    assert data["refused"] == {"redis_unavailable": 60 - stored}


async def test_each_job_is_joined_with_the_call(
    api: httpx.AsyncClient, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The ID of the request goes with each job, as with one alone, and each has a line."""
    with caplog.at_level(logging.INFO, JOB_LOG):
        await _many(api, submission("a"), submission("b"), **{"X-Request-ID": "r-7"})
    for name in ("a", "b"):
        assert await client.hget(Keys("vm").of("job", name), "http_request_id") == "r-7"
    lines = [vars(record)["fields"] for record in caplog.records if record.name == JOB_LOG]
    assert [line["request_id"] for line in lines] == ["a", "b"]
