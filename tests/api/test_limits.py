"""Limits over HTTP: what owners take of the queue, how they are spelt, what /readyz notes."""

from __future__ import annotations

import httpx

from rq_broker.store.broker import Broker
from tests import making
from tests.api.conftest import listed, refused, submission, submit


async def test_an_owner_has_one_spelling(api: httpx.AsyncClient, broker: Broker) -> None:
    """A submit of an owner that looks like another is refused; jobs from before are served."""
    await making.submit(broker, "old", owner_id="lab ")
    for owner in ("lab ", "lab\u200b", "A\u030angstrom"):
        answer = await api.post("/v1/vm/", json=submission("new", owner_id=owner))
        refused(answer, 400, "invalid_request", "owner_id must")
    assert await listed(api, "?owner_id=lab%20") == ["old"]
    assert (await api.get("/v1/vm/old")).json()["data"]["OwnerID"] == "lab "
    assert (await api.post("/v1/vm/old", json={"status": "done"})).status_code == 200
    assert (await api.delete("/v1/vm/old")).status_code == 200


async def test_a_full_queue_is_told(api: httpx.AsyncClient) -> None:
    """Over HTTP a submit beyond the limits is a 429 that says what is full."""
    answer = await api.put("/types/vm", json={"queue_limits": {"*": {"jobs": 1}}})
    assert answer.json()["data"]["policy"]["queue_limits"] == {"*": {"jobs": 1}}
    await submit(api, "a")
    answer = await api.post("/v1/vm/", json=submission("b"))
    refused(answer, 429, "queue_full", "as many waiting jobs as queue_limits allows, 1")
    assert answer.json()["full"] == "owner_jobs"
    answer = await api.put("/types/vm", json={"queue_limits": {"*": {"cpus": 1}}})
    refused(answer, 400, "invalid_request", 'the field of queue_limits.* "cpus" is not known')


async def test_a_host_has_one_spelling(api: httpx.AsyncClient, broker: Broker) -> None:
    """A host that looks like another is not published; one from before is taken out."""
    await making.publish(broker, "h1 ")
    for name in ("h1%20", "h1%E2%80%8B"):
        answer = await api.put(f"/types/vm/hosts/{name}", json={"capacity": {}})
        refused(answer, 400, "invalid_request", "the host's name must not")
    assert (await api.delete("/types/vm/hosts/h1%20")).status_code == 200
