"""Terms of a single job over HTTP: times, limits, and the order of jobs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.api.conftest import listed, refused, submission, submit

LATER = "2096-01-01T00:00:00.500Z"


async def _job(api: httpx.AsyncClient, name: str) -> dict[str, Any]:
    job: dict[str, Any] = (await api.get(f"/v1/vm/{name}")).json()["data"]
    return job


async def test_a_job_says_its_terms(api: httpx.AsyncClient) -> None:
    """The submit's answer and the job show what was given; a plain job has no key for it."""
    await submit(api, "a")
    terms = {"give_up_after": 60.5, "hold_at_most": 7200, "after": ["a"], "after_any": True}
    body = submission("d", not_before="2096-01-01T02:00:00.5+02:00", **terms)
    answer = await api.post("/v1/vm/", json=body)
    assert answer.status_code == 201
    for job in (answer.json()["data"], await _job(api, "d")):
        assert (job["Status"], job["Position"]) == ("queued", None)
        assert job["NotBefore"] == "2096-01-01T00:00:00.500000Z"
        assert (job["GiveUpAfter"], job["HoldAtMost"]) == (60.5, 7200)
        assert (job["After"], job["AfterAny"]) == (["a"], True)
    assert not {"NotBefore", "GiveUpAfter", "HoldAtMost", "After", "AfterAny", "Cause"} & {
        *await _job(api, "a")
    }
    again = await api.post("/v1/vm/", json=body)
    assert again.json()["same"] is True


async def test_a_job_beside_the_line_says_until_when(api: httpx.AsyncClient) -> None:
    """Reason, explain and the ETA name the time; the job is listed as queued, and delays nobody."""
    await submit(api, "d", not_before=LATER)
    await submit(api, "other")
    reason = "not granted before 2096-01-01T00:00:00.500000Z; it joins the line then"
    assert (await _job(api, "d"))["Reason"].startswith(reason)
    explained = (await api.get("/v1/vm/d/explain")).json()["data"]
    assert explained["reason"]["code"] == "not_before"
    assert (explained["position"], explained["eta"]["p50"]) == (None, None)
    assert await listed(api, "?status=queued") == ["d", "other"]
    page = (await api.get("/v1/vm/?status=queued&limit=9&eta=1")).json()["data"]
    assert page[0]["ETA"]["reason"].startswith(reason)
    assert (page[0]["Position"], page[1]["Position"]) == (None, 1)
    assert (await api.get("/v1/")).json()["data"]["vm"]["queued"] == 2
    moved = await api.post("/types/vm/what-if", json={"request_id": "d", "position": "front"})
    refused(moved, 409, "not_waiting", "beside the line")
    refused(
        await api.post("/v1/vm/d", json={"position": "front"}),
        409,
        "not_waiting",
        "beside the line",
    )


async def test_a_job_says_for_how_many_it_waits(api: httpx.AsyncClient, broker: Broker) -> None:
    """Reason counts those that are left; then the job is in the line, at its own place."""
    await submit(api, "a", "b")
    await submit(api, "d", after=["a", "b", "a"])
    await submit(api, "later")
    two = "waits beside the line until 2 more of the jobs that it comes after are done"
    assert (await _job(api, "d"))["Reason"] == two
    await api.post("/v1/vm/a", json={"status": "done"})
    await broker.sweep("vm")
    last = "waits beside the line until the last of the jobs that it comes after is done"
    assert (await _job(api, "d"))["Reason"] == last
    explained = (await api.get("/v1/vm/d/explain")).json()["data"]
    assert explained["reason"]["code"] == "after"
    await api.post("/v1/vm/b", json={"status": "done"})
    await broker.sweep("vm")
    assert (await _job(api, "d"))["Position"] == 1
    assert await listed(api, "?status=queued") == ["d", "later"]


@pytest.mark.parametrize(("any_end", "ends"), [(False, "is done"), (True, "ends")])
async def test_a_job_names_the_only_one_it_waits_for(
    api: httpx.AsyncClient, any_end: bool, ends: str
) -> None:
    """One that comes after a single job says so in the singular."""
    await submit(api, "a")
    await submit(api, "d", after=["a"], after_any=any_end)
    reason = f"waits beside the line until the job that it comes after {ends}"
    assert (await _job(api, "d"))["Reason"] == reason


async def test_an_array_is_awaited_as_one(api: httpx.AsyncClient, broker: Broker) -> None:
    """`name[*]` in `after` is each job that the array has; so of a job, and of another array."""
    for name, count in (("row", 2), ("wide", 101)):
        await submit(api, name, count=count, callback=f"{name}-{{n}}")
    await submit(api, "d", after=["row[*]"])
    await submit(api, "next", after=["row[*]"], count=2, callback="next-{n}")
    assert (await api.get("/v1/vm/d")).json()["data"]["After"] == ["row[0]", "row[1]"]
    again = await api.post("/v1/vm/", json=submission("d", after=["row[*]"]))
    assert (again.status_code, again.json()["same"]) == (409, True)
    for name in ("row[0]", "row[1]"):
        assert (await api.get("/v1/vm/next[1]")).json()["data"]["Position"] is None
        await broker.transition("vm", name, Status.DONE)
    await broker.sweep("vm")
    for name in ("d", "next[1]"):
        assert (await api.get(f"/v1/vm/{name}")).json()["data"]["Position"] is not None
    wide = await api.post("/v1/vm/", json=submission("e", after=["wide[*]"]))
    refused(wide, 400, "invalid_request", "after names more than 100 jobs")
    none = await api.post("/v1/vm/", json=submission("e", after=["none[*]"]))
    refused(none, 409, "unknown_dependency")
    assert await audit(broker.runner.client, "vm") == []


async def test_a_what_if_refuses_terms_by_name(api: httpx.AsyncClient) -> None:
    """A what-if is of one job that is in the line now; what else a submit takes is not ignored."""
    terms = {"not_before": LATER, "give_up_after": 60, "hold_at_most": 60, "after": ["a"]}
    for name, value in {**terms, "after_any": True, "count": 2, "at_once": 2}.items():
        body = {"data": {"instances": [{"VCPU": 1}]}, name: value}
        answer = await api.post("/types/vm/what-if", json=body)
        refused(answer, 400, "invalid_request", f'"{name}" goes with a submit: ')


async def test_a_failure_is_told_by_its_cause(api: httpx.AsyncClient, broker: Broker) -> None:
    """A job that cannot start any more is in error, with the cause in a word and in a sentence."""
    await submit(api, "a")
    await submit(api, "d", after=["a"])
    await api.delete("/v1/vm/a")
    await broker.sweep("vm")
    job = await _job(api, "d")
    assert (job["Status"], job["Cause"]) == ("error", "dependency_failed")
    assert job["Error"] == "dependency_failed: job a, for which it waited, was withdrawn"
    refused(
        await api.post("/v1/vm/", json=submission("e", after=["d"])), 409, "dependency_failed", "d"
    )
    refused(
        await api.post("/v1/vm/", json=submission("e", after=["a"])), 409, "unknown_dependency", "a"
    )


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"not_before": "tomorrow"}, "not_before must be a time by RFC 3339"),
        ({"not_before": "2096-01-01T00:00:00"}, "its zone is missing, Z or an offset"),
        ({"not_before": "2096-02-30T00:00:00Z"}, "not_before must be a time by RFC 3339"),
        ({"not_before": "1969-12-31T23:59:59Z"}, "not_before must be a time by RFC 3339"),
        ({"not_before": 5}, "not_before must be a string"),
        ({"give_up_after": 0}, "give_up_after must be"),
        ({"hold_at_most": -1}, "hold_at_most must be"),
        ({"after": "a"}, "after must be"),
        ({"after": ["a/b"]}, "after[0] must not contain"),
        ({"after": [str(number) for number in range(101)]}, "after must"),
        ({"after": ["a", "d"]}, "after must not name the job itself"),
        ({"after_any": True}, "after_any goes with after"),
        ({"after": ["a"], "after_any": 1}, "after_any must be true or false"),
    ],
)
async def test_a_term_that_is_not_valid_is_named(
    api: httpx.AsyncClient, fields: dict[str, Any], sentence: str
) -> None:
    """A 400 names the field and what it must be."""
    answer = await api.post("/v1/vm/", json=submission("d", **fields))
    refused(answer, 400, "invalid_request", sentence)


@pytest.mark.parametrize(
    "fields", [{"not_before": None, "after": []}, {"give_up_after": None, "after_any": False}]
)
async def test_terms_of_nothing_are_none(api: httpx.AsyncClient, fields: dict[str, Any]) -> None:
    """Null, false and no names are the same as no terms."""
    await submit(api, "d", **fields)
    assert "NotBefore" not in await _job(api, "d")
    again = await api.post("/v1/vm/", json=submission("d"))
    assert again.json()["same"] is True
