"""The reason as values, in every answer that gives a reason as a sentence."""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from tests.api.conftest import submission
from tests.reasons import received

LARGE = 2**53 - 1
HOST = {"capacity": {"VCPU": 8, "Memory": 65_536}, "used": {"VCPU": 2}}
BEYOND: dict[str, Any] = {
    "code": "impossible",
    "text": f"no host could ever hold this: needs VCPU {LARGE} on one host; the largest is 8 on h1",
    "kind": "most_free",
    "resource": "VCPU",
    "needed": LARGE,
    "free": 8,
    "host": "h1",
}


def _wanting(vcpus: int, name: str = "d", **fields: Any) -> dict[str, Any]:
    return submission(name, data={"instances": [{"VCPU": vcpus}]}, **fields)


async def test_a_warning_of_a_submit_has_its_values(api: httpx.AsyncClient) -> None:
    """Of one job, of many at once and of an array: which resource, how much, and where most is."""
    await api.put("/types/vm/hosts/h1", json=HOST)
    one = (await api.post("/v1/vm/", json=_wanting(LARGE))).json()["data"]
    body = {"jobs": [_wanting(LARGE, "e"), _wanting(1, "f")]}
    many = (await api.post("/types/vm/jobs", json=body)).json()["data"]["jobs"]
    array = _wanting(LARGE, "sweep", count=2)
    del array["callback"]
    whole = (await api.post("/v1/vm/", json=array)).json()["data"]
    for told in (one, many[0]["data"], whole):
        assert (told["Warning"], told["Why"]) == (BEYOND["text"], BEYOND)
    assert not {"Warning", "Why"} & many[1]["data"].keys()


async def test_every_answer_with_a_reason_has_the_same_values(api: httpx.AsyncClient) -> None:
    """A read, a list, an explanation, a what-if and an array agree; and so do the sentences."""
    await api.put("/types/vm/hosts/h1", json=HOST)
    await api.post("/v1/vm/", json=_wanting(7))
    array = _wanting(7, "sweep", count=2, owner_id="z")
    del array["callback"]
    await api.post("/v1/vm/", json=array)
    job = (await api.get("/v1/vm/d")).json()["data"]
    (listed, *_) = (await api.get("/v1/vm/?reason=1&eta=1")).json()["data"]
    explained = (await api.get("/v1/vm/d/explain")).json()["data"]
    body = {"data": {"instances": [{"VCPU": 7}]}}
    imagined = (await api.post("/types/vm/what-if", json=body)).json()["data"]
    whole = (await api.get("/v1/vm/sweep[*]")).json()["data"]
    why = {
        "code": "no_fit",
        "text": "needs VCPU 7 on one host; the most free is 6 on h1; and no notifier serves this "
        "type",
        "kind": "most_free",
        "resource": "VCPU",
        "needed": 7,
        "free": 6,
        "host": "h1",
        "unserved": {},
    }
    reasons = [job["Why"], listed["Why"], explained["reason"], imagined["reason"], whole["Why"]]
    assert reasons == [why] * 5
    assert {job["Reason"], listed["Reason"], whole["Reason"]} == {why["text"]}
    assert received(orjson.dumps(why)).text == why["text"]
    for eta in (listed["ETA"], explained["eta"], imagined["eta"]):
        assert eta["why"]["text"] == eta["reason"]
        assert (eta["why"]["code"], eta["why"]["needed"]) == ("too_little_history", 10)
    body = {"data": {"instances": [{"VCPU": LARGE}]}}
    beyond = (await api.post("/types/vm/what-if", json=body)).json()["data"]
    assert (beyond["impossible"], beyond["why"]) == (BEYOND["text"], BEYOND)


async def test_a_job_that_does_not_wait_has_no_reason(api: httpx.AsyncClient) -> None:
    """Neither the sentence nor the values."""
    await api.post("/v1/vm/", json=_wanting(7))
    await api.post("/v1/vm/d", json={"status": "running"})
    for job in (
        (await api.get("/v1/vm/d")).json()["data"],
        *(await api.get("/v1/vm/?reason=1")).json()["data"],
    ):
        assert not {"Reason", "Why"} & job.keys()


async def test_the_document_names_every_word_and_value(api: httpx.AsyncClient) -> None:
    """OpenAPI has each code, each kind and each value, in one schema that answers refer to."""
    schemas = (await api.get("/openapi.json")).json()["components"]["schemas"]
    why = schemas["Reason"]["properties"]
    assert set(schemas["ReasonCode"]["enum"]) == set(ReasonCode)
    assert set(schemas["ReasonKind"]["enum"]) == set(ReasonKind)
    assert {"resource", "needed", "free", "host", "until", "alternatives"} <= why.keys()
    assert "Reason" in str(schemas["Job"]["properties"]["Why"])
