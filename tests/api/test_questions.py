"""The questions to the planner over HTTP; each answer is checked against its schema by `api`."""

from __future__ import annotations

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from tests.api.conftest import refused, submit
from tests.asking import hold, learn
from tests.making import publish

WAITING = {"data": {"instances": [{"VCPU": 6}]}}


@pytest.fixture
async def full(api: httpx.AsyncClient, broker: Broker, client: Redis) -> httpx.AsyncClient:
    """Make a type whose one host is held by `holder`, with `first` and `second` in the queue."""
    await publish(broker, "h1", VCPU=8)
    await hold(broker, "holder", 4)
    await learn(client, *[60.0] * 10)
    await submit(api, "first", "second", **WAITING)
    return api


async def test_an_explanation_has_every_part(full: httpx.AsyncClient) -> None:
    """It names the reason, what is missing, who holds it, and when the job is granted."""
    answer = (await full.get("/v1/vm/second/explain")).json()["data"]
    assert (answer["position"], answer["jobs_of_its_shape_before"]) == (2, 1)
    assert answer["reason"]["code"] == "no_fit"
    assert answer["explains"] == "first"
    assert [each["request_id"] for each in answer["holders"]] == ["holder"]
    assert answer["eta"]["p50"] > 0


async def test_only_a_waiting_job_is_explained(full: httpx.AsyncClient) -> None:
    """A job that holds is a 409, one that does not exist a 404."""
    refused(await full.get("/v1/vm/holder/explain"), 409, "not_waiting", "granted")
    refused(await full.get("/v1/vm/nobody/explain"), 404, "job_not_found")


async def test_a_job_that_was_not_submitted_is_forecast(full: httpx.AsyncClient) -> None:
    """The answer is that of an explanation, and says if no host could ever hold the job."""
    small = await full.post("/types/vm/what-if", json={"data": {"instances": [{"VCPU": 4}]}})
    assert small.json()["data"]["reason"] is None
    huge = await full.post("/types/vm/what-if", json={"data": {"instances": [{"VCPU": 9}]}})
    assert huge.json()["data"]["reason"]["code"] == "impossible"
    assert "VCPU 9" in huge.json()["data"]["impossible"]


async def test_a_move_is_forecast(full: httpx.AsyncClient) -> None:
    """Of a move the answer lists the moved job, before and after; the queue stays as it was."""
    answer = await full.post("/types/vm/what-if", json={"request_id": "second", "position": 1})
    moves = {move["request_id"]: move for move in answer.json()["data"]["moves"]}
    assert moves["second"]["after"]["p50"] < moves["second"]["before"]["p50"]
    assert moves["second"]["seconds"] < 0
    listed = (await full.get("/v1/vm/?status=queued")).json()["data"]
    assert [job["RequestID"] for job in listed] == ["first", "second"]


async def test_a_question_is_checked_as_a_submit_is(full: httpx.AsyncClient) -> None:
    """A demand that a submit refuses, and a field that no question has, are refused here too."""
    wrong = {"data": {"instances": [{"VCPU": "4"}]}}
    refused(await full.post("/types/vm/what-if", json=wrong), 400, "invalid_request", "VCPU")
    unknown = {**WAITING, "priorty": 1}
    refused(await full.post("/types/vm/what-if", json=unknown), 400, "invalid_request", "priorty")
