"""Explanations and forecasts over HTTP: the keys of the answers, in their order."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.admission import explain as explain_module
from tests.api.conftest import submission, submit
from tests.explaining import KEYS, add_history

WAITING_KEYS = [
    "reason",
    "explains",
    "hosts",
    "shortfalls",
    "holders",
    "used_by_others",
    "protected",
]
WAITING_KEYS += ["reservation", "passed_since", "passed_by"]
WAITING_KEYS += ["passed_by_others", "largest"]
HOST: dict[str, Any] = {"capacity": {"VCPU": 2}, "used": {"VCPU": 1}}


async def test_an_explanation_has_its_keys_in_order(api: httpx.AsyncClient) -> None:
    """The place in the queue comes first, then the reason and its parts, then the forecast."""
    await submit(api, "a", "d", data={"instances": [{"VCPU": 2}]})
    await api.put("/types/vm/hosts/h", json=HOST)
    explanation = (await api.get("/v1/vm/d/explain")).json()["data"]
    place = ["position", "jobs_of_its_shape_before"]
    assert [*explanation] == [*place, *WAITING_KEYS, "eta", "eta_accuracy"]
    assert [explanation[key] for key in place] == [2, 1]
    values = ["kind", "resource", "needed", "free", "host", "unserved"]
    assert [*explanation["reason"]] == ["code", "text", *values]
    assert [*explanation["largest"]] == ["instances", "percent", "scaled"]
    assert [*explanation["eta"]] == ["p50", "p90", "reason", "why"]
    assert [*explanation["eta_accuracy"]] == ["within_p90", "beyond_p90"]


async def test_a_forecast_has_its_keys_in_order(api: httpx.AsyncClient) -> None:
    """A job that was not submitted has the keys of an explanation, without a place."""
    await api.put("/types/vm/hosts/h", json=HOST)
    answer = await api.post("/types/vm/what-if", json={"data": {"instances": [{"VCPU": 2}]}})
    forecast = answer.json()["data"]
    assert [*forecast] == [*WAITING_KEYS, "impossible", "why", "eta"]
    assert forecast["impossible"] is None


async def test_a_page_has_the_etas_of_its_queued_jobs(api: httpx.AsyncClient) -> None:
    """With `eta=1` each queued job has p50, p90 and a reason, any other null; without, no key."""
    for name in ("c", "d"):
        await submit(api, name)
    await api.post("/v1/vm/d", json={"status": "error"})
    envelope = (await api.get("/v1/vm/?eta=1")).json()
    page = envelope["data"]
    assert envelope["next"] is None
    etas = {job["RequestID"]: job["ETA"] for job in page}
    assert [*etas["c"]] == ["p50", "p90", "reason", "why"]
    assert (etas["c"]["p50"], etas["d"]) == (None, None)
    for query in ("?limit=9", "?limit=9&eta=0", "?eta=0"):
        listed = (await api.get(f"/v1/vm/{query}")).json()["data"]
        assert len(listed) == 2
        assert all("ETA" not in job for job in listed)


async def test_the_etas_of_a_page_are_those_that_explain_gives(
    api: httpx.AsyncClient, client: Redis
) -> None:
    """A page of jobs says of each what its explanation says, and both count as told."""
    await api.put("/types/vm/hosts/h", json={"capacity": {"VCPU": 2}})
    await add_history(client, *[100.0] * 20)
    for name in ("c", "d", "e"):
        await submit(api, name, data={"instances": [{"VCPU": 2}]})
    page = (await api.get("/v1/vm/?status=queued&limit=100&eta=1")).json()["data"]
    assert [job["ETA"]["p50"] for job in page] == pytest.approx([0.0, 100.0, 200.0], abs=5)
    assert len(await client.hgetall(KEYS.of("forecasts"))) == 3
    for job in page:
        explanation = (await api.get(f"/v1/vm/{job['RequestID']}/explain")).json()["data"]
        assert explanation["eta"]["p90"] == pytest.approx(job["ETA"]["p90"], abs=5)


async def test_questions_beyond_a_bound_are_refused_for_their_type_alone(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many what-ifs or explanations of a type are a 429 that says when to ask again."""
    monkeypatch.setattr(explain_module, "MOST_WHAT_IFS", 3)
    monkeypatch.setattr(explain_module, "MOST_SHAPES", 3)
    for number in range(12):
        data = {"instances": [{"VCPU": 1 + number}]}
        await api.post("/v1/vm/", json=submission(f"d{number}", data=data))
    await api.post("/v1/small/", json=submission("d"))
    body = {"data": {"instances": [{"VCPU": 1}]}}
    for asked in (
        [api.post("/types/vm/what-if", json=body) for _ in range(12)],
        [api.get(f"/v1/vm/d{number}/explain") for number in range(12)],
    ):
        *answers, other, another = await asyncio.gather(
            *asked, api.post("/types/small/what-if", json=body), api.get("/v1/small/d/explain")
        )
        assert other.status_code == another.status_code == 200
        refusals = [answer for answer in answers if answer.status_code == 429]
        assert len(answers) - len(refusals) >= 3
        assert refusals
        for refusal in refusals:
            assert refusal.json()["code"] == "too_many_questions"
            assert int(refusal.headers["retry-after"]) > 0
    assert (await api.post("/types/vm/what-if", json=body)).status_code == 200
