"""Servers over HTTP: how they are named, refused, and told where no snapshot shows them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests.api.conftest import refused, submit
from tests.making import TYPE, grant, publish, shape

ONE, TWO = "2f9c0a3e-71be-4c1d-9a55-0123456789ab", "71be0a3e-2f9c-4c1d-9a55-0123456789ab"


class Lab:
    """A source that names servers by UUIDs; the test writes its snapshots."""

    def __init__(self, broker: Broker) -> None:
        self.broker, self.sequence = broker, 0

    async def show(self, used: int = 0, *, after: int = 0, **servers: int) -> None:
        """Apply a snapshot of h1 begun `after` ms from now: what is used, and by which servers."""
        self.sequence += 1
        started = await self.broker.watch(TYPE, "lab", 1, 5.0, "uuid")
        assert started is not None
        shares = {
            server: {("h1", "VCPU"): servers.get(f"s{server[:4]}", 0)} for server in started.servers
        }
        report = SourceReport(self.sequence, [Host("h1", {"VCPU": 8}, {"VCPU": used})], shares)
        begun = started.begun + after
        assert await self.broker.apply(TYPE, "lab", 1, begun, report) is not None


@pytest.fixture
async def lab(broker: Broker) -> Lab:
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    lab = Lab(broker)
    await lab.show()
    return lab


async def start(api: httpx.AsyncClient, broker: Broker, name: str, *servers: str) -> httpx.Response:
    """Have a job of 2 VCPU granted on h1, and say that it runs as these servers."""
    await submit(api, name, data={"instances": [{"VCPU": 2}]})
    job = await broker.read(TYPE, name)
    wanted = shape({"VCPU": 2}, owner="y", destination=job.destination)
    assert await grant(broker, job, wanted, "h1") is not None
    return await say(api, name, *servers)


async def say(api: httpx.AsyncClient, name: str, *servers: str) -> httpx.Response:
    return await api.post(f"/v1/vm/{name}", json={"status": "running", "servers": list(servers)})


async def explain(api: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await api.get(f"/v1/vm/{name}/explain")
    assert answer.status_code == 200, answer.text
    explained: dict[str, Any] = answer.json()["data"]
    return explained


async def test_servers_are_refused_by_place(
    api: httpx.AsyncClient, broker: Broker, lab: Lab
) -> None:
    """A name that is no UUID is 400, one that another job has is 409; the sentence says which."""
    refused(await start(api, broker, "d", ONE, "web-1"), 400, "invalid_server", "servers[1]")
    assert (await say(api, "d", ONE.upper())).status_code == 200
    refused(await start(api, broker, "e", TWO, f"{{{ONE}}}"), 409, "duplicate_server", "servers[1]")
    refused(await say(api, "e", TWO, TWO.upper()), 409, "duplicate_server", "servers[0] is too")
    await lab.show(2, s2f9c=2)
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 2}


async def test_explain_tells_of_a_server_that_was_never_seen(
    api: httpx.AsyncClient, broker: Broker, lab: Lab
) -> None:
    """A minute after a server was named, and no earlier, the explanation says it is unseen."""
    await start(api, broker, "d", ONE, TWO)
    await lab.show(1, after=50_000, s2f9c=1)
    early = await explain(api, "d")
    assert (early["unseen_servers"], early["reason"]) == ([TWO], None)
    await lab.show(1, after=61_000, s2f9c=1)
    late = await explain(api, "d")
    assert late["reason"]["code"] == "server_unseen"
    assert TWO in late["reason"]["text"]
    assert ONE not in late["reason"]["text"]
    assert (late["held"], late["seen"]) == ({"h1": {"VCPU": 1}}, {"h1": {"VCPU": 1}})
    await lab.show(2, after=62_000, s2f9c=1, s71be=1)
    seen = await explain(api, "d")
    assert (seen["unseen_servers"], seen["reason"], seen["held"]) == ([], None, {})


async def test_a_lost_hold_is_told_where_its_job_is_read(
    api: httpx.AsyncClient, broker: Broker, lab: Lab
) -> None:
    """A hold that finds no room is a Warning of its job, and in its explanation, until it does."""
    await start(api, broker, "d", ONE)
    await lab.show(2, s2f9c=2)
    assert "Warning" not in (await api.get("/v1/vm/d")).json()["data"]
    for used in (7, 7):
        await lab.show(used)
    explained = await explain(api, "d")
    assert (explained["unheld"], explained["held"]) == ({"h1": {"VCPU": 2}}, {})
    assert explained["reason"]["code"] == "hold_lost"
    assert "VCPU 2 on h1" in explained["reason"]["text"]
    assert "filled its host" in (await api.get("/v1/vm/d")).json()["data"]["Warning"]
    (host,) = (await api.get("/types/vm/hosts/")).json()["data"]
    assert host["free"] == {"VCPU": 1}
    await lab.show(6)
    assert (await explain(api, "d"))["reason"] is None
    assert "Warning" not in (await api.get("/v1/vm/d")).json()["data"]


async def test_a_job_whose_client_is_silent_is_told(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """Long after what it said it would hold, a job's explanation reminds of it, until renewed."""
    await publish(broker, "h1", VCPU=8)
    await start(api, broker, "d", ONE)
    await api.post("/v1/vm/d", json={"expected": 60})
    assert (await explain(api, "d"))["reason"] is None
    began = (await broker.now(TYPE) - 200) * 1000
    await client.hset(Keys(TYPE).of("job", "d"), "running_since", round(began))
    reason = (await explain(api, "d"))["reason"]
    assert (reason["code"], "60 s" in reason["text"]) == ("still_running", True)
    await api.post("/v1/vm/d", json={"status": "running"})
    assert (await explain(api, "d"))["reason"] is None


async def test_a_booted_server_is_in_transit_until_it_is_named(
    api: httpx.AsyncClient, broker: Broker, lab: Lab
) -> None:
    """On a full host, free is 0 and not below from the boot until the job names its server."""
    await submit(api, "d", data={"instances": [{"VCPU": 2}]})
    job = await broker.read(TYPE, "d")
    wanted = shape({"VCPU": 2}, owner="y", destination=job.destination)
    assert await grant(broker, job, wanted, "h1") is not None

    async def figures() -> tuple[int, int, int, dict[str, int]]:
        host = (await api.get("/types/vm/hosts/h1")).json()["data"]
        held = host["held"].get("VCPU", 0)
        return host["used"]["VCPU"], held, host["free"]["VCPU"], host["in_transit"]

    await lab.show(6)
    assert await figures() == (6, 2, 0, {})
    await lab.show(8)
    assert await figures() == (8, 2, 0, {"VCPU": 2})
    await say(api, "d", ONE)
    await lab.show(8, s2f9c=2)
    assert await figures() == (8, 0, 0, {})


async def test_a_server_that_was_seen_once_is_not_told_when_it_goes(
    api: httpx.AsyncClient, broker: Broker, lab: Lab, client: Redis
) -> None:
    """A deleted server was seen: only names that never were are told, also those named again."""
    await start(api, broker, "d", ONE)
    await lab.show(2, s2f9c=2)
    await say(api, "d", ONE)
    await lab.show(after=90_000)
    explained = await explain(api, "d")
    assert (explained["unseen_servers"], explained["reason"]) == ([], None)
    assert explained["held"] == {"h1": {"VCPU": 2}}
    await say(api, "d", ONE, TWO)
    await lab.show(after=200_000)
    assert (await explain(api, "d"))["unseen_servers"] == [TWO]
    await api.post("/v1/vm/d", json={"status": "done"})
    kept = await client.hgetall(Keys(TYPE).of("job", "d"))
    assert not kept.keys() & {"servers", "unseen", "named", "missed_by"}
