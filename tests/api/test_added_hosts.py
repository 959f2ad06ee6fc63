"""The what-if of more hosts: who would start at once, within which bounds, named to whom."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.admission import more_hosts
from rq_broker.api import create_app
from rq_broker.store.broker import Broker
from tests.api.tenants import WhoHeader, client as tenant
from tests.making import TYPE, grant, publish, shape, submit

PATH = f"/types/{TYPE}/what-if"


async def make_line(broker: Broker, *, jobs: int = 5) -> None:
    """A full host, and jobs that wait for half a host each."""
    await publish(broker, "gpu-1", GPU=8)
    full = shape({"GPU": 8}, owner="lab-a")
    await grant(broker, await submit(broker, "full", owner_id="lab-a", shape=full), full, "gpu-1")
    for number in range(jobs):
        owner = f"lab-{'ab'[number % 2]}"
        wanted = shape({"GPU": 4}, owner=owner)
        await submit(broker, f"w{number}", owner_id=owner, shape=wanted)


async def ask(api: httpx.AsyncClient, *hosts: dict[str, Any]) -> Any:
    answer = await api.post(PATH, json={"add_hosts": hosts})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_jobs_that_would_start_on_more_hosts_are_named_in_order(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """Two more hosts of eight start four jobs of four; nothing is written."""
    await make_line(broker)
    before = await client.dbsize()
    answer = await ask(api, {"count": 2, "like": "gpu-1"})
    assert (answer["hosts"], answer["granted"], answer["granted_anyway"]) == (2, 4, 0)
    assert [job["request_id"] for job in answer["jobs"]] == ["w0", "w1", "w2", "w3"]
    assert answer["jobs"][0] == {"request_id": "w0", "owner_id": "lab-a", "hosts": ["gpu-1+1"]}
    assert (answer["amounts"], answer["is_complete"]) == ({"GPU": 16}, True)
    assert not answer["paused"]
    assert await client.dbsize() == before
    assert [host.name for host in await broker.hosts(TYPE)] == ["gpu-1"]


async def test_etas_of_those_in_front_come_sooner(api: httpx.AsyncClient, broker: Broker) -> None:
    """The first job of each shape has its ETA before and after."""
    await make_line(broker)
    moves = (await ask(api, {"like": "gpu-1"}))["moves"]
    assert {move["request_id"] for move in moves} <= {"w0", "w1"}
    assert all(move["after"]["p50"] in (0, None) for move in moves)


async def test_hosts_may_be_given_by_their_capacity(api: httpx.AsyncClient, broker: Broker) -> None:
    """A kind that is not there yet counts by what it has; too small a one starts nothing."""
    await make_line(broker)
    assert (await ask(api, {"capacity": {"GPU": 4}}))["granted"] == 1
    assert (await ask(api, {"count": 9, "capacity": {"GPU": 3}}))["granted"] == 0
    both = await ask(api, {"capacity": {"GPU": 4}}, {"like": "gpu-1"})
    assert (both["hosts"], both["granted"]) == (2, 3)


async def test_what_is_granted_anyway_is_no_gain(api: httpx.AsyncClient, broker: Broker) -> None:
    """A job that fits now does not count as one that more hosts start."""
    await make_line(broker)
    await publish(broker, "gpu-2", GPU=4)
    answer = await ask(api, {"capacity": {"GPU": 4}})
    assert (answer["granted_anyway"], answer["granted"]) == (1, 1)


async def test_a_paused_type_grants_nothing(api: httpx.AsyncClient, broker: Broker) -> None:
    """The answer says why nothing would start."""
    await make_line(broker)
    await broker.set_policy(TYPE, {"paused": True})
    answer = await ask(api, {"like": "gpu-1"})
    assert (answer["paused"], answer["granted"]) == (True, 0)


async def test_beyond_the_jobs_that_are_planned_it_says_at_least(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all shown jobs of a shape would start, more are shown; then the count is a least."""
    monkeypatch.setattr(more_hosts, "SHOWN_HEADS", 1)
    await make_line(broker, jobs=12)
    answer = await ask(api, {"count": 9, "like": "gpu-1"})
    assert (answer["granted"], answer["is_complete"]) == (12, True)
    monkeypatch.setattr(more_hosts, "MOST_SHOWN_HEADS", 2)
    answer = await ask(api, {"count": 9, "like": "gpu-1"})
    assert not answer["is_complete"]
    assert 2 <= answer["granted"] < 12


async def test_a_client_reads_how_many_and_not_who(broker: Broker) -> None:
    """Jobs of other owners have no name; the counts stay."""
    await make_line(broker)
    app = create_app(broker, authenticators=[WhoHeader(tenant("b", "lab-b"))])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1",
        headers={"X-Who": "b"},
    ) as api:
        answer = await ask(api, {"count": 2, "like": "gpu-1"})
    assert [job["request_id"] for job in answer["jobs"]] == [None, "w1", None, "w3"]
    assert answer["granted"] == 4
    assert {move["request_id"] for move in answer["moves"]} <= {None, "w1"}


@pytest.mark.parametrize(
    ("hosts", "status", "sentence"),
    [
        ([], 400, "add_hosts"),
        ([{"count": 0, "like": "gpu-1"}], 400, "count"),
        ([{"count": 2}], 400, "takes like or capacity"),
        ([{"like": "gpu-1", "capacity": {"GPU": 1}}], 400, "takes like or capacity"),
        ([{"like": "gpu-1", "traits": ["x"]}], 400, "go with capacity"),
        ([{"count": 600, "like": "gpu-1"}] * 2, 400, "more than 1000 hosts in all"),
        ([{"like": "gpu-9"}], 404, "there is no host gpu-9"),
    ],
)
async def test_hosts_that_cannot_be_meant_are_refused(
    api: httpx.AsyncClient,
    broker: Broker,
    hosts: list[dict[str, Any]],
    status: int,
    sentence: str,
) -> None:
    """Each mistake is named."""
    await make_line(broker, jobs=1)
    answer = await api.post(PATH, json={"add_hosts": hosts})
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
