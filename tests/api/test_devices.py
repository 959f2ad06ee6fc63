"""Devices over HTTP: hosts that list them, grants that name them, and what a job is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.delivery.message import message_body
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.api.conftest import refused, submit
from tests.making import claim_one

GPUS: dict[str, Any] = {"capacity": {"GPU": [1000, 1000, 1000, 1000], "VCPU": 64}}
HOST = "/types/vm/hosts/h1"


def gpus(*amounts: int) -> dict[str, Any]:
    """Return `data` of instances with so many milli-GPUs each."""
    return {"instances": [{"GPU": amount} for amount in amounts]}


async def read(api: httpx.AsyncClient, path: str) -> Any:
    """Return `data` of an answer."""
    return (await api.get(path)).json()["data"]


async def test_a_host_shows_its_devices(api: httpx.AsyncClient) -> None:
    """Capacity and used are shown as published, so that they can be published again."""
    used = {"GPU": [600, 0, 0, 0]}
    assert (await api.put(HOST, json={**GPUS, "used": used})).status_code == 201
    host = await read(api, HOST)
    assert host["capacity"] == {"VCPU": 64, "GPU": [1000] * 4}
    assert (host["used"], host["free"]["GPU"]) == (used, 3400)
    assert host["devices"]["GPU"][0] == {"size": 1000, "used": 600, "held": 0, "free": 400}
    assert (await api.put(HOST, json=host)).json()["data"] == host


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"capacity": {"GPU": []}}, "capacity.GPU must be a list of 1 to 256 numbers, not of 0"),
        ({"capacity": {"GPU": [-1]}}, "capacity.GPU[0] must be a whole number"),
        ({"capacity": {"GPU": [2]}, "used": {"GPU": [1, 1]}}, "used.GPU must be a list of 1, as"),
        ({"capacity": {"GPU": 2}, "used": {"GPU": [2]}}, "used.GPU must be a number"),
    ],
)
async def test_devices_that_cannot_be(
    api: httpx.AsyncClient, fields: dict[str, Any], sentence: str
) -> None:
    """What is wrong with a list of devices is named."""
    refused(await api.put(HOST, json=fields), 400, "invalid_request", sentence)


async def test_each_instance_has_its_amount_of_one_device_or_of_whole_ones(
    api: httpx.AsyncClient, broker: Broker, client: Redis
) -> None:
    """The job, its callback and the host say which; what ends is given back; the audit agrees."""
    await api.put(HOST, json=GPUS)
    await submit(api, "d", data=gpus(600, 2000, 400))
    assert await Granter(broker, "vm").run_once() == 1
    job = await read(api, "/v1/vm/d")
    first, whole, last = (choice["GPU"] for choice in job["Devices"])
    assert (len(first), len(whole), first) == (1, 2, last)
    assert len({*first, *whole}) == 3
    delivery = await claim_one(broker)
    message = json.loads(message_body(delivery.job, datetime.now(UTC)))
    assert message["data"]["Devices"] == job["Devices"]
    held = [device["held"] for device in (await read(api, HOST))["devices"]["GPU"]]
    assert sorted(held) == [0, 1000, 1000, 1000]
    assert (held[first[0]], (await read(api, HOST))["held"]) == (1000, {"GPU": 3000})
    assert (await broker.type_state("vm", usage=True)).usage == {"y": {"GPU": 3000}}
    assert await audit(client, "vm") == []
    await api.post("/v1/vm/d", json={"status": "done"})
    host = await read(api, HOST)
    assert (host["held"], host["free"]["GPU"]) == ({}, 4000)
    assert "Devices" not in await read(api, "/v1/vm/d")
    assert (await broker.type_state("vm", usage=True)).usage == {}
    assert await audit(client, "vm") == []


async def test_a_host_that_lost_devices_shows_what_is_held_of_them_apart(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """The rest show their own holds, what is gone has size 0, and the answer warns."""
    await api.put(HOST, json=GPUS)
    await submit(api, "a", "b", "c", data={"instances": [{"GPU": 1000, "VCPU": 8}]})
    assert await Granter(broker, "vm").run_once() == 3
    answer = (await api.put(HOST, json={"capacity": {"GPU": [1000]}})).json()
    held = [(device["size"], device["held"]) for device in answer["data"]["devices"]["GPU"]]
    assert held == [(1000, 1000), (0, 1000), (0, 1000)]
    assert answer["data"]["free"] == {"GPU": -2000, "VCPU": -24}
    warnings = sorted(answer["Warning"].split("; "))
    assert warnings == [
        "held.GPU 3000 is above capacity.GPU 1000",
        "held.VCPU 24 is above capacity.VCPU 0",
    ]
    await submit(api, "d", data=gpus(1000))
    assert await Granter(broker, "vm").run_once() == 0


async def test_a_job_waits_until_one_device_has_room(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """Sums do not count: where each of two devices has 400 left, 600 wait, and are told why."""
    await api.put(HOST, json={"capacity": {"GPU": [1000, 1000]}})
    await submit(api, "a", "b", "c", data=gpus(600))
    assert await Granter(broker, "vm").run_once() == 2
    explanation = await read(api, "/v1/vm/c/explain")
    assert explanation["reason"]["text"].startswith(
        "needs GPU 600 of one device; no single device has 600 free; the largest has 400 on h1"
    )
    (lack,) = explanation["shortfalls"]
    assert (lack["resource"], lack["needed"], lack["free"]) == ("GPU/0", 600, 400)
    (holder,) = explanation["holders"]
    assert (holder["resource"], holder["amount"]) == ("GPU/0", 600)
    assert explanation["used_by_others"] == []
    assert explanation["largest"]["scaled"] == [{"GPU": 396}]
    await api.post("/v1/vm/a", json={"status": "done"})
    assert await Granter(broker, "vm").run_once() == 1


@pytest.mark.parametrize(
    ("amount", "warning"),
    [
        (1500, "needs GPU 1500 on one host, but a device of h1 has 1000, and more than one device"),
        (5000, "needs GPU 5000, which is 5 whole devices, on one host; the largest is 4 of them"),
    ],
)
async def test_what_no_device_can_hold_is_told_at_submit(
    api: httpx.AsyncClient, amount: int, warning: str
) -> None:
    """A part of a device beside whole ones, and too many of them, are impossible."""
    await api.put(HOST, json=GPUS)
    body = {"request_id": "d", "owner_id": "y", "callback": "c", "data": gpus(amount)}
    job = (await api.post("/v1/vm/", json=body)).json()["data"]
    assert warning in job["Warning"]
    imagined = (await api.post("/types/vm/what-if", json={"data": gpus(amount)})).json()["data"]
    assert warning in imagined["impossible"]


async def test_used_without_devices_counts_against_each(
    api: httpx.AsyncClient, broker: Broker
) -> None:
    """A sum may be in use on any device: none of them is granted beyond what is left then."""
    await api.put(HOST, json={"capacity": {"GPU": [1000, 1000]}, "used": {"GPU": 500}})
    host = await read(api, HOST)
    assert (host["used"], [d["free"] for d in host["devices"]["GPU"]]) == ({"GPU": 500}, [500, 500])
    await submit(api, "a", data=gpus(600))
    await submit(api, "b", data=gpus(500, 500))
    assert await Granter(broker, "vm").run_once() == 1
    assert (await read(api, "/v1/vm/b"))["Status"] == "granted"
