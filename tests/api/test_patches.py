"""JSON Merge Patches over HTTP: what is named changes, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api import create_app
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests.api.conftest import refused
from tests.api.test_access import calling
from tests.making import bring

BODY = {
    "capacity": {"VCPU": 64, "GPU": [8, 8], "Disk": 10},
    "used": {"VCPU": 2, "GPU": [8, 0]},
    "aggregates": ["b", "a"],
    "max_unit": {"VCPU": 8},
    "traits": ["SSD"],
}


async def _host(api: httpx.AsyncClient, patch: Any) -> dict[str, Any]:
    answer = await api.patch("/types/vm/hosts/h", json=patch)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["data"]
    assert shown == (await api.get("/types/vm/hosts/h")).json()["data"]
    return shown


async def test_a_host_keeps_what_a_patch_does_not_name(api: httpx.AsyncClient) -> None:
    """Resized, it keeps its used, aggregates and traits; null removes; a list replaces a list."""
    await api.put("/types/vm/hosts/h", json=BODY)
    before = (await api.get("/types/vm/hosts/h")).json()["data"]
    shown = await _host(api, {"capacity": {"VCPU": 32}})
    assert shown == {
        **before,
        "capacity": {**before["capacity"], "VCPU": 32},
        "free": {**before["free"], "VCPU": 30},
    }
    assert await _host(api, shown) == shown  # as it was read
    assert await _host(api, {}) == shown
    shown = await _host(api, {"capacity": {"Disk": None}, "used": {"VCPU": None}})
    assert (shown["capacity"], shown["used"]) == ({"VCPU": 32, "GPU": [8, 8]}, {"GPU": [8, 0]})
    shown = await _host(api, {"aggregates": ["c"], "traits": None, "used": {"GPU": [1, 2]}})
    assert (shown["aggregates"], shown["used"]) == (["c"], {"GPU": [1, 2]})
    assert "traits" not in shown
    shown = await _host(api, {"used": None, "max_unit": {"VCPU": None}, "anywhere": True})
    assert (shown["used"], shown["anywhere"]) == ({}, True)
    assert "max_unit" not in shown


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"capacity": None}, "capacity"),
        ({"capacity": {"VCPU": -1}}, "capacity.VCPU must be a whole number"),
        ({"used": {"GPU": [1]}}, "used.GPU must be a list of 2, as capacity.GPU is"),
        ({"size": 1}, 'the field "size" is not known'),
        ([], "the body must be a JSON object"),
    ],
)
async def test_bad_patches_of_a_host(api: httpx.AsyncClient, patch: Any, sentence: str) -> None:
    """A patch that leaves no valid host is refused, and the host stays as it was."""
    await api.put("/types/vm/hosts/h", json=BODY)
    before = (await api.get("/types/vm/hosts/h")).json()
    answer = await api.patch("/types/vm/hosts/h", json=patch)
    refused(answer, 400, "invalid_request", sentence)
    assert (await api.get("/types/vm/hosts/h")).json() == before


async def test_hosts_that_cannot_be_patched(api: httpx.AsyncClient, broker: Broker) -> None:
    """There must be one in service that no source reports."""
    patch = {"capacity": {"VCPU": 1}}
    refused(await api.patch("/types/vm/hosts/h", json=patch), 404, "host_not_found")
    await bring(broker, Status.RUNNING, type_="vm")
    await broker.drop_host("vm", "h1")
    answer = await api.patch("/types/vm/hosts/h1", json=patch)
    refused(answer, 404, "host_not_found", "PUT it to bring it back")
    await broker.watch("vm", "lab", 1, 5.0)
    report = SourceReport(1, [Host("h", {"VCPU": 2})], {})
    assert await broker.apply("vm", "lab", 1, 0, report) == (1, 0)
    refused(await api.patch("/types/vm/hosts/h", json=patch), 409, "conflict", "the source lab")
    assert (await broker.host("vm", "h")).capacity == {"VCPU": 2}


async def test_a_patched_host_keeps_its_publisher(broker: Broker) -> None:
    """A source patches its own hosts only; one that an operator has patched is still its own."""
    async with calling(broker, "source") as source, calling(broker, "operator") as operator:
        await broker.set_host("vm", Host("theirs", {"VCPU": 1}))
        patch = {"capacity": {"VCPU": 5}}
        refused(await source.patch("/types/vm/hosts/theirs", json=patch), 403, "forbidden")
        await source.put("/types/vm/hosts/mine", json={"capacity": {"VCPU": 1}})
        assert (await operator.patch("/types/vm/hosts/mine", json=patch)).is_success
        patch = {"used": {"VCPU": 2}}
        assert (await source.patch("/types/vm/hosts/mine", json=patch)).is_success
    host = await broker.host("vm", "mine")
    assert (host.publisher, host.free) == ("source", {"VCPU": 3})


async def _policy(api: httpx.AsyncClient, patch: Any) -> dict[str, Any]:
    answer = await api.patch("/types/vm", json=patch)
    assert answer.status_code == 200, answer.text
    policy: dict[str, Any] = answer.json()["data"]["policy"]
    return policy


async def test_a_policy_keeps_what_a_patch_does_not_name(api: httpx.AsyncClient) -> None:
    """One owner's limit goes or changes, others stay; a field that is null is null as with PUT."""
    await api.put("/types/vm", json={"limits": {"a": {"VCPU": 1}, "b": {"VCPU": 2, "GPU": 3}}})
    before = (await api.get("/types/vm")).json()["data"]["policy"]
    policy = await _policy(api, {"limits": {"a": None}})
    assert policy == {**before, "limits": {"b": {"VCPU": 2, "GPU": 3}}}
    policy = await _policy(api, {"limits": {"b": {"GPU": None}, "c": {"VCPU": 4}}, "patience": 5})
    assert policy["limits"] == {"b": {"VCPU": 2}, "c": {"VCPU": 4}}
    assert policy["patience"] == 5
    policy = await _policy(api, {"patience": None, "limits": None, "queue_limits": {"a": {}}})
    assert (policy["patience"], policy["limits"]) == (None, {})
    assert policy["queue_limits"] == {**before["queue_limits"], "a": {}}
    share = {"by": "owner", "half_life": 86400, "weights": {"a": 2}}
    await api.put("/types/vm", json={"share": "owner"})
    assert (await _policy(api, {"share": {"weights": {"a": 2, "b": None}}}))["share"] == share
    share["half_life"] = 60
    assert (await _policy(api, {"share": {"half_life": 60}}))["share"] == share
    assert (await _policy(api, {"share": None}))["share"] is None


@pytest.mark.parametrize(
    "patch",
    [
        {"paused": None},
        {"limits": {"a": {"VCPU": -1}}},
        {"patience": 5, "nothing": 1},
        {"share": {"weight": 1}},
        [],
    ],
)
async def test_bad_patches_of_a_policy(api: httpx.AsyncClient, patch: Any) -> None:
    """A patch with one bad field changes no field."""
    before = (await api.get("/types/vm")).json()
    refused(await api.patch("/types/vm", json=patch), 400, "invalid_request")
    assert (await api.get("/types/vm")).json() == before


async def test_patches_at_once_lose_nothing(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """Each of twelve patches of one host and one policy, sent together, is in the result."""
    await api.put("/types/vm/hosts/h", json={"capacity": {}, "used": {"VCPU": 1}})
    names = [f"r{number}" for number in range(12)]
    answers = await asyncio.gather(
        *(api.patch("/types/vm/hosts/h", json={"capacity": {name: 1}}) for name in names),
        *(api.patch("/types/vm", json={"limits": {name: {"VCPU": 1}}}) for name in names),
    )
    assert {answer.status_code for answer in answers} == {200}
    host = await broker.host("vm", "h")
    assert (set(host.capacity), host.used) == (set(names), {"VCPU": 1})
    assert set((await broker.policy("vm")).limits) == set(names)
    assert await audit(client, "vm") == []


async def test_a_dropped_type_is_made_by_admins_again(broker: Broker, client: Redis) -> None:
    """Nothing of its policy counts for a type; once it is emptied anew it is forgotten anew."""
    await broker.set_policy("vm", {})
    assert await broker.type_exists("vm")
    async with calling(broker, "operator") as operator, calling(broker, "admin") as admin:
        assert (await operator.delete("/types/vm")).is_success
        refused(await operator.patch("/types/vm", json={}), 403, "forbidden", "only an admin")
        assert not await broker.forget_type("vm") or "vm" not in await broker.names()
        assert (await admin.put("/types/vm", json={})).is_success
        assert await Broker(client).type_exists("vm")
        await client.delete(Keys("vm").of("events"))
        assert not await broker.forget_type("vm")


async def test_pages_of_named_origins_may_patch(broker: Broker) -> None:
    """A page sends a patch under both media types, and its preflight names the method."""
    app = create_app(broker)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://api.test"
    ) as page:
        for media, status in {
            "application/merge-patch+json": 200,
            "application/json": 200,
            "text/plain": 415,
        }.items():
            headers = {"Content-Type": media, "Origin": "http://api.test"}
            answer = await page.patch("/types/vm", content=b"{}", headers=headers)
            assert answer.status_code == status
