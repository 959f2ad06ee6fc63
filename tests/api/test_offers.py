"""Jobs without callback over HTTP: they are submitted, offered, taken, declined and missed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.api.submit import _read_plain
from rq_broker.domain.exact_json import dumps
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.api.conftest import refused, submission
from tests.redis_reads import members

KEYS = Keys("vm")
HOST = {"capacity": {"VCPU": 8, "Memory": 8, "Disk": 8}}


def _without_callback(request_id: str = "d", **fields: Any) -> dict[str, Any]:
    body = submission(request_id, **fields)
    del body["callback"]
    return body


async def _offered(api: httpx.AsyncClient, broker: Broker, *names: str) -> dict[str, Any]:
    """Submit jobs without callback and grant them; return the last one."""
    await api.put("/types/vm/hosts/h", json=HOST)
    for name in names or ("d",):
        assert (await api.post("/v1/vm", json=_without_callback(name))).status_code == 201
    assert await Granter(broker, "vm").run_once() == len(names or "d")
    job: dict[str, Any] = (await api.get(f"/v1/vm/{(names or 'd')[-1]}")).json()["data"]
    return job


async def _miss(client: Redis, broker: Broker) -> None:
    for member in await members(client, KEYS.of("status", "granted")):
        await client.zadd(KEYS.of("deadlines"), {member: 1})
    await broker.sweep("vm")


@pytest.mark.parametrize("body", [_without_callback(), submission(callback=None)])
async def test_callback_may_be_left_out(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Left out or null, the job has an empty `Callback`; it takes the fast way to be read too."""
    assert _read_plain(dumps(body).encode()) is not None
    answer = await api.post("/v1/vm", json=body)
    assert (answer.status_code, answer.json()["data"]["Callback"]) == (201, "")
    again = await api.post("/v1/vm", json=body)
    refused(again, 409, "duplicate_request_id")
    assert again.json()["same"] is True


async def test_an_empty_callback_is_a_mistake(api: httpx.AsyncClient) -> None:
    """A callback that is there and empty is refused: a variable was not set."""
    answer = await api.post("/v1/vm", json=submission(callback=""))
    refused(answer, 400, "invalid_request", "callback must not be empty")


async def test_the_life_of_an_offer(api: httpx.AsyncClient, broker: Broker) -> None:
    """The granted job says until when; its client takes it, twice, and gives it back."""
    job = await _offered(api, broker)
    assert (job["Status"], job["Hosts"], job["Attempts"]) == ("granted", ["h"], 0)
    assert job["OfferEnds"] > job["CreatedAt"]
    (row,) = (await api.get("/v1/vm")).json()["data"]
    assert row["OfferEnds"] == job["OfferEnds"]
    take = {"status": "running", "fence": job["Fence"]}
    for _ in range(2):
        assert (await api.post("/v1/vm/d", json=take)).status_code == 200
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert job["Status"] == "running"
    assert "OfferEnds" not in job
    assert (await api.post("/v1/vm/d", json={"status": "done"})).status_code == 200
    assert (await api.get("/types/vm/hosts/h")).json()["data"]["held"] == {}


async def test_a_missed_offer(api: httpx.AsyncClient, broker: Broker, client: Redis) -> None:
    """The job waits again and says so; who is late gets a 409; the third time it is in error."""
    fence = (await _offered(api, broker))["Fence"]
    await _miss(client, broker)
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert (job["Status"], job["Position"], job["Error"]) == ("queued", 1, "offer_missed")
    late = {"status": "running", "fence": fence}
    refused(await api.post("/v1/vm/d", json=late), 409, "stale_fence", "is over")
    refused(await api.post("/v1/vm/d", json={"status": "running"}), 409, "impossible_move")
    for _ in range(2):
        assert await Granter(broker, "vm").run_once() == 1
        await _miss(client, broker)
    job = (await api.get("/v1/vm/d")).json()["data"]
    assert (job["Status"], job["Cause"]) == ("error", "offer_missed")
    listed = (await api.get("/types/vm/destinations")).json()["data"]["destinations"]
    assert [(row["destination"], row["owner"], row["state"]) for row in listed] == [
        ("offer", "y", "open")
    ]
    body = {"destination": "offer", "owner": "y"}
    answer = await api.post("/types/vm/destinations/requeue", json=body)
    assert answer.json()["data"] == {"requeued": 1}
    assert await Granter(broker, "vm").run_once() == 1


async def test_offers_are_explained(api: httpx.AsyncClient, broker: Broker, client: Redis) -> None:
    """A job whose owner missed its offers is told so, and so is a what-if without callback."""
    await _offered(api, broker, "a", "b", "c")
    await _miss(client, broker)
    explanation = (await api.get("/v1/vm/a/explain")).json()["data"]
    assert explanation["reason"]["code"] == "offers_missed"
    assert "last offers to y were missed" in (await api.get("/v1/vm/a")).json()["data"]["Reason"]
    question = {"owner_id": "y", "data": {"instances": [{"VCPU": 1}]}}
    told = (await api.post("/types/vm/what-if", json=question)).json()["data"]
    assert told["reason"]["code"] == "offers_missed"
    question["callback"] = "http://receiver.test/x"
    told = (await api.post("/types/vm/what-if", json=question)).json()["data"]
    assert told["reason"] is None or told["reason"]["code"] != "offers_missed"


async def test_arrays_without_callback(api: httpx.AsyncClient, broker: Broker) -> None:
    """An array needs no callback; each of its jobs is offered by itself."""
    await api.put("/types/vm/hosts/h", json=HOST)
    answer = await api.post("/v1/vm", json=_without_callback("s", count=3, at_once=2))
    assert answer.status_code == 201
    assert await Granter(broker, "vm").run_once() == 2
    jobs = (await api.get("/v1/vm", params={"request_id": "s[*]"})).json()["data"]
    assert [job["Callback"] for job in jobs] == ["", "", ""]
    assert [("OfferEnds" in job) for job in jobs] == [True, True, False]


@pytest.mark.parametrize("fields", [{}, {"count": 2}])
async def test_older_notifiers_get_no_jobs_without_callback(
    api: httpx.AsyncClient, client: Redis, fields: dict[str, Any]
) -> None:
    """While a notifier of version 4 serves the type, the submit is refused; nothing is stored."""
    now = await client.time()
    report = {"reported": now[0] * 1000, "types": [], "contract": 4}
    await client.hset("rqb:notifiers", "old", dumps(report))
    answer = await api.post("/v1/vm", json=_without_callback(**fields))
    refused(answer, 503, "older_notifiers", "does not know jobs without callback")
    assert (await api.get("/v1/vm")).json()["data"] == []
