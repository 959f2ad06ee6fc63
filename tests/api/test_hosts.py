"""Hosts over HTTP: publishing, listing, dropping."""

from __future__ import annotations

import httpx
import pytest

BODY = {"capacity": {"VCPU": 64, "Disk": 10}, "used": {"VCPU": 2}, "aggregates": ["host1", "a"]}
SHOWN = {
    "name": "host1",
    "capacity": {"VCPU": 64, "Disk": 10},
    "used": {"VCPU": 2},
    "held": {},
    "free": {"VCPU": 62, "Disk": 10},
    "in_transit": {},
    "aggregates": ["a", "host1"],
    "dropped": False,
}


async def test_publishing_a_host(api: httpx.AsyncClient) -> None:
    """A new host is a 201 with its Location, a replaced one a 200; both answers hold the host."""
    answer = await api.put("/types/vm/hosts/host1", json=BODY)
    assert (answer.status_code, answer.headers["location"]) == (201, "/types/vm/hosts/host1")
    assert answer.json()["data"] == SHOWN
    assert (await api.get("/types/vm/hosts/host1")).json()["data"] == SHOWN
    smaller = {"capacity": {"VCPU": 1}, "used": {"VCPU": 2}}
    answer = await api.put("/types/vm/hosts/host1/", json=smaller)
    host = answer.json()["data"]
    assert (answer.status_code, host["free"], host["aggregates"]) == (200, {"VCPU": -1}, [])


async def test_a_host_that_was_read_can_be_published(api: httpx.AsyncClient) -> None:
    """A host that was read can be published again; computed keys are ignored."""
    await api.put("/types/vm/hosts/host1", json=BODY)
    answer = await api.put("/types/vm/hosts/host1", json={**SHOWN, "held": {"VCPU": 9}})
    assert answer.json()["data"] == SHOWN


async def test_listing_hosts(api: httpx.AsyncClient) -> None:
    """Hosts are listed by name, of their own type only."""
    for name in ("b", "機 %", "a", "{c}"):
        await api.put(f"/types/vm/hosts/{name.replace('%', '%25')}", json=BODY)
    await api.put("/types/kube/hosts/z", json=BODY)
    hosts = (await api.get("/types/vm/hosts/")).json()["data"]
    assert [host["name"] for host in hosts] == ["a", "b", "{c}", "機 %"]


async def test_dropping_a_host(api: httpx.AsyncClient) -> None:
    """A host without holds disappears at once; dropping an unknown host is a 404."""
    await api.put("/types/vm/hosts/host1", json=BODY)
    assert (await api.delete("/types/vm/hosts/host1")).json() == {"data": {}, "ok": True}
    for answer in [
        await api.get("/types/vm/hosts/host1"),
        await api.delete("/types/vm/hosts/host1"),
    ]:
        assert (answer.status_code, answer.json()["code"]) == (404, "host_not_found")


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("host1", {}, "capacity is required"),
        ("host1", {"capacity": {"VCPU": 1.5}}, "capacity.VCPU must be a whole number"),
        ("host1", {"capacity": {}, "cap": 1}, 'the field "cap" is not known'),
        ("%01", {"capacity": {}}, "the host's name must not contain control characters"),
    ],
)
async def test_bad_hosts(api: httpx.AsyncClient, name: str, body: object, sentence: str) -> None:
    """A malformed host is refused with a sentence that names the field, and is not stored."""
    answer = await api.put(f"/types/vm/hosts/{name}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert sentence in answer.json()["error"]
    assert (await api.get("/types/vm/hosts/")).json()["data"] == []


async def test_a_host_has_traits_and_may_be_anywhere(api: httpx.AsyncClient) -> None:
    """Both are shown where they are given, the traits sorted; published again they stay."""
    body = {"capacity": {"matlab": 5}, "traits": ["B", "A", "B"], "anywhere": True}
    shown = (await api.put("/types/vm/hosts/licences", json=body)).json()["data"]
    assert (shown["traits"], shown["anywhere"]) == (["A", "B"], True)
    again = await api.put("/types/vm/hosts/licences", json=shown)
    assert again.json()["data"] == shown
    none = {"capacity": {"matlab": 5}, "traits": [], "anywhere": False}
    shown = (await api.put("/types/vm/hosts/licences", json=none)).json()["data"]
    assert not {"traits", "anywhere"} & shown.keys()


async def test_what_the_broker_computes_is_not_set_silently(api: httpx.AsyncClient) -> None:
    """A host that was read may be sent back; another value of what is computed is warned of."""
    path = "/types/vm/hosts/computed"
    answer = await api.put(path, json={"capacity": {"VCPU": 4}, "free": {"VCPU": 9}, "name": "x"})
    assert answer.status_code == 201
    told = "the broker computes name and free: the body's value is ignored"
    assert answer.json()["Warning"] == told
    host = (await api.get(path)).json()["data"]
    assert "Warning" not in (await api.put(path, json={**host, "capacity": {"VCPU": 8}})).json()
    patched = await api.patch(path, json={"held": {"VCPU": 1}})
    assert "the broker computes held" in patched.json()["Warning"]
    refusal = (await api.put(path, json={"capacity": {"VCPU": 4}, "usde": {}})).json()["error"]
    assert "known are capacity, used" in refusal
    assert "free" not in refusal
