"""Types over HTTP: counts and policy."""

from __future__ import annotations

import httpx
import pytest

from rq_broker.domain.policy import Policy
from tests.api.conftest import refused, submission

DEFAULTS: dict[str, object] = {
    "patience": 300,
    "strict_order": False,
    "expected_default": None,
    "expected_most": None,
    "offer": 300,
    "running": 366 * 86400.0,
    "retention": 604800,
    "paused": False,
    "most_kinds": 128,
    "most_hosts": 10_000,
    "concurrency": 32,
    "share": None,
    "names": "per_type",
    "own_order": True,
    "limits": {},
    "queue_limits": {"*": {"jobs": 100_000, "bytes": 1 << 30}},
    "most_waiting": None,
    "most_bytes": None,
    "holds": "until_done",
    "settle": 60,
    "audit_log": 10000,
}


async def test_types_and_counts(api: httpx.AsyncClient) -> None:
    """Every type that was used is listed with its number of jobs in each status."""
    assert (await api.get("/v1/")).json() == {"data": {}, "ok": True}
    await api.post("/v1/vm/", json=submission("a"))
    await api.post("/v1/vm/", json=submission("b"))
    await api.post("/v1/vm/b", json={"status": "done"})
    counts = {"queued": 1, "granted": 0, "running": 0, "done": 1, "error": 0}
    assert (await api.get("/v1/")).json()["data"] == {"vm": counts}
    assert (await api.get("/types/vm")).json()["data"]["counts"] == counts


async def test_the_default_policy(api: httpx.AsyncClient) -> None:
    """A type without a policy of its own has the defaults."""
    answer = (await api.get("/types/vm")).json()["data"]
    assert (answer["name"], answer["policy"]) == ("vm", DEFAULTS)


async def test_changing_a_policy(api: httpx.AsyncClient) -> None:
    """Only the given fields change, and null means without end."""
    changes = {
        "patience": 1.5,
        "retention": None,
        "paused": True,
        "share": "owner",
        "concurrency": 3,
    }
    limits = {"limits": {"*": {"VCPU": 64}, "機": {}}}
    answer = await api.put("/types/vm", json={**changes, **limits})
    expected = {**DEFAULTS, **changes, **limits}
    assert answer.json()["data"]["policy"] == expected
    await api.put("/types/vm", json={"paused": False})
    assert (await api.get("/types/vm")).json()["data"]["policy"] == {**expected, "paused": False}
    await api.put("/types/vm", json={"share": None, "limits": None})
    policy = (await api.get("/types/vm")).json()["data"]["policy"]
    assert (policy["share"], policy["limits"]) == (None, {})


async def test_a_share_is_shown_as_it_was_put(api: httpx.AsyncClient) -> None:
    """The short form stays short; of the long form all fields are shown."""
    full = {"by": "owner", "half_life": 3600, "weights": {"lab-7": 2, "*": 0.5}}
    for share, shown in (
        ("owner", "owner"),
        ({"by": "owner"}, {"by": "owner", "half_life": 86400, "weights": {}}),
        (full, full),
    ):
        assert (await api.put("/types/vm", json={"share": share})).status_code == 200
        assert (await api.get("/types/vm")).json()["data"]["policy"]["share"] == shown


async def test_a_bad_policy_changes_nothing(api: httpx.AsyncClient) -> None:
    """A body with one bad field changes no field."""
    answer = await api.put("/types/vm", json={"paused": True, "patience": -1})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert (await api.get("/types/vm")).json()["data"]["policy"] == DEFAULTS


async def test_the_schema_knows_every_policy_field(api: httpx.AsyncClient) -> None:
    """The document lists every field of the policy, and an answer has all of them."""
    schema = (await api.get("/openapi.json")).json()["components"]["schemas"]["Policy"]
    assert list(schema["properties"]) == schema["required"] == list(Policy.__slots__)
    assert schema["additionalProperties"] is False


async def test_answers_warn_of_what_is_odd(api: httpx.AsyncClient) -> None:
    """A misspelt type, and a limit on an unknown resource, are told beside the data."""
    answer = (await api.put("/types/vmm", json={"paused": False})).json()
    assert answer["Warning"].startswith("type vmm has no host and no job yet")
    assert "Warning" in (await api.get("/types/vmm")).json()
    answer = (await api.post("/v1/vmm/", json=submission("a"))).json()
    assert answer["Warning"] == "type vmm has no host yet: its jobs wait until there is one"
    assert "Warning" not in answer["data"]
    await api.put("/types/vmm/hosts/h1", json={"capacity": {"VCPU": 1, "Memory": 1, "Disk": 1}})
    answer = (await api.put("/types/vmm", json={"limits": {"*": {"vcpu": 1}}})).json()
    assert answer["Warning"].endswith("did you mean VCPU?")
    answer = (await api.put("/types/vmm", json={"limits": {"y": {"VCPU": 0}}})).json()
    assert "Warning" not in answer
    answer = (await api.post("/v1/vmm/", json=submission("b"))).json()
    assert "needs VCPU 1, but its owner y may hold 0 at most" in answer["data"]["Warning"]
    assert "Warning" not in answer
    reason = (await api.get("/v1/vmm/b")).json()["data"]["Reason"]
    assert reason.startswith(answer["data"]["Warning"])
    explained = (await api.get("/v1/vmm/b/explain")).json()["data"]
    assert explained["reason"]["code"] == "impossible"


@pytest.mark.parametrize("field", ["offer", "running"])
async def test_a_span_of_nothing_is_refused(api: httpx.AsyncClient, field: str) -> None:
    """An offer or a running time of 0 would send every job to error; retention 0 stays."""
    answer = await api.put("/types/vm", json={field: 0})
    refused(answer, 400, "invalid_request", f"{field} must be seconds above 0")
    assert (await api.put("/types/vm", json={"retention": 0})).is_success
    assert (await api.put("/types/vm", json={field: 0.0001})).is_success
    assert (await api.get("/types/vm")).json()["data"]["policy"][field] == 0.001


async def test_an_empty_type_can_be_deleted(api: httpx.AsyncClient) -> None:
    """It is listed no more and has the default policy; with a job it is a 409 that says so."""
    await api.put("/types/vmm", json={"patience": 1})
    await api.post("/v1/vmm/", json=submission("a"))
    answer = await api.delete("/types/vmm")
    refused(answer, 409, "type_in_use", "type vmm has 1 job")
    assert answer.json()["left"] == {"jobs": 1, "hosts": 0, "sources": 0}
    await api.delete("/v1/vmm/a")
    assert (await api.delete("/types/vmm")).json() == {"data": {}, "ok": True}
    assert (await api.get("/v1/")).json()["data"] == {}
    assert (await api.get("/types/vmm")).json()["data"]["policy"] == DEFAULTS
