"""The real Placement with real processes: the original's data, outages, take-overs."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from standins.http_servers import Server
from standins.placement_server import Placement
from standins.receivers import Receiver

from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server as Store
from tests.api_client import ApiClient
from tests.making import TYPE
from tests.processes import Child, Children, children, until
from tests.receivers_app import listening

FEED = f'[[source]]\ntype = "{TYPE}"\nkind = "placement"\nname = "lab"\ncloud = "lab"\n'
SIZE = {"VCPU": 4, "MEMORY_MB": 4096, "DISK_GB": 100}
OUTAGE_S = 60.0

ORIGINAL = """{
  "request_id": "d",
  "owner_id": "y",
  "data": {
    "instances": [
      {
        "VCPU": 1,
        "Memory": 1,
        "Disk": 1
      }
    ],
    "project": "project id",
    "host_aggregate": "host1"
  },
  "callback": "abc"
}"""
"""The request of the original's README, unchanged, with the aggregate that its answers show."""
ORIGINAL_DATA = (
    '{"host_aggregate":"host1","instances":[{"Disk":1,"Memory":1,"VCPU":1}],"project":"project id"}'
)


@pytest.fixture
async def broker(real_client: Redis) -> Broker:
    return Broker(real_client)


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Children]:
    with children(tmp_path) as starter:
        yield starter


@pytest.fixture
def feeds(
    placement: Placement, nova: Server, clouds: Callable[..., None], tmp_path: Path
) -> Callable[[float], str]:
    """Write the operator's two files; returns the path of sources.toml."""
    clouds(
        auth_type="admin_token",
        auth={"endpoint": placement.url, "token": "admin"},
        compute_endpoint_override=nova.url,
    )

    def write(interval: float) -> str:
        path = tmp_path / "sources.toml"
        path.write_text(f"{FEED}interval = {interval}\n")
        return str(path)

    return write


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async def take(_: str, __: dict[str, Any]) -> int:
        return 200

    async with listening(take) as receiver:
        yield receiver


class Processes:
    """An API process and two notifiers that poll Placement."""

    def __init__(self, spawn: Children, store: str, source: str, base: str) -> None:
        self.api = spawn.api(store, "--callback-base", base)
        self.spawn, self.store = spawn, store
        self.options = ("--callback-base", base, "--source", source)
        self.notifiers = [self.notifier(), self.notifier()]
        self.api.ready()
        self.api_client = ApiClient([self.api])

    def notifier(self) -> Child:
        return self.spawn.notifier(self.store, *self.options)

    async def source(self) -> dict[str, Any]:
        """Read the state of the source in /readyz; {} before the first snapshot."""
        sources = (await self.api_client.ask("GET", "/readyz")).json()["data"]["sources"]
        states: list[dict[str, Any]] = sources.get(TYPE, [{}])
        return states[0]

    async def fresh(self) -> bool:
        state = await self.source()
        return state.get("stale") is False and state["cause"] is None and state["hosts"] > 0

    async def stale(self) -> bool:
        return bool((await self.source()).get("stale"))

    async def hosts(self) -> dict[str, Any]:
        answer = await self.api_client.ask("GET", f"/types/{TYPE}/hosts/")
        return {host["name"]: host for host in answer.json()["data"]}

    async def shows_a_server(self) -> bool:
        return any(host["used"].get("VCPU") for host in (await self.hosts()).values())

    async def reasons(self, request_id: str, vcpu: int) -> list[str]:
        """Read the reason three times: in the job, in its explanation, and in a what-if."""
        path = f"/v1/{TYPE}/{request_id}"
        ask = {"data": {"instances": [{"VCPU": vcpu}]}}
        explained = await self.api_client.ask("GET", f"{path}/explain")
        what_if = await self.api_client.ask("POST", f"/types/{TYPE}/what-if", ask)
        return [
            (await self.api_client.job(request_id))["Reason"],
            *(answer.json()["data"]["reason"]["text"] for answer in (explained, what_if)),
        ]


@pytest.fixture
async def processes(
    spawn: Children,
    real_client: Redis,
    redis_server: Store,
    feeds: Callable[[float], str],
    receiver: Receiver,
) -> AsyncIterator[Processes]:
    assert await real_client.dbsize() == 0
    base = f"http://127.0.0.1:{receiver.port}/"
    running = Processes(spawn, redis_server.url, feeds(1.0), base)
    yield running
    await running.api_client.aclose()


# The original's data


@pytest.fixture
def aggregates(placement: Placement, nova_answers: dict[str, Any]) -> None:
    """Two hosts that fit: the better one has no aggregate, the other is in Nova's host1."""
    placement.add("cn1", VCPU=1, MEMORY_MB=1, DISK_GB=1)
    az = str(uuid4())
    placement.aggregates(placement.add("cn2", **SIZE), az)
    named = {"id": 1, "name": "host1", "uuid": az, "hosts": ["cn2"], "metadata": {}}
    nova_answers["/os-aggregates"] = {"aggregates": [named]}


@pytest.mark.usefixtures("aggregates")
async def test_the_originals_request_is_called_back(
    processes: Processes, receiver: Receiver
) -> None:
    """It is granted in Nova's aggregate of that name, and called back at abc."""
    async with httpx.AsyncClient(base_url=processes.api.url) as curl:
        answer = await curl.post("/v1/vm/", content=ORIGINAL)
    assert answer.status_code == 201
    assert (answer.json()["data"]["Status"], answer.json()["data"]["Data"]) == (
        "queued",
        ORIGINAL_DATA,
    )
    await processes.api_client.until("running", "d")
    (head,), (body,) = receiver.heads, receiver.bodies
    event = json.loads(body)
    assert head.startswith("POST /abc HTTP/1.1")
    assert (event["type"], event["data"]["RequestID"]) == ("job.granted", "d")
    assert (event["data"]["Data"], event["data"]["Hosts"]) == (ORIGINAL_DATA, ["cn2"])
    assert (await processes.hosts())["cn2"]["held"] == {"VCPU": 1, "Memory": 1, "Disk": 1}


# Outages


async def test_placement_down_for_a_minute_and_back(
    processes: Processes, placement: Placement, receiver: Receiver
) -> None:
    """The last snapshot serves, with its age, whichever notifier polls; afterwards it is fresh."""
    provider, server = placement.add("cn1", **SIZE), str(uuid4())
    placement.boot(server, **{provider: {"VCPU": 2}})
    await until(processes.shows_a_server, "a snapshot that shows the server")
    api_client = processes.api_client
    await api_client.submit(receiver, "large", 4)
    for reason in await processes.reasons("large", 4):
        assert reason == "needs VCPU 4 on one host; the most free is 2 on cn1"

    placement.stop()
    down = time.monotonic()
    await until(processes.stale, "the source to be stale")
    await api_client.submit(receiver, "small", 1)
    await api_client.until("running", "small")
    for notifier in processes.notifiers:
        notifier.kill()
    processes.notifier()
    ages = []
    while time.monotonic() < down + OUTAGE_S:
        state = await processes.source()
        assert (state["stale"], state["cause"], state["hosts"]) == (True, "unreachable", 1)
        assert state["text"].startswith("placement /")
        ages.append(state["age_seconds"])
        for reason in await processes.reasons("large", 4):
            words, age = reason.split(" (capacity as of ")
            assert words == "needs VCPU 4 on one host; the most free is 1 on cn1"
            age, rest = age.split(" s ", 1)
            assert rest == "ago: source lab fails: unreachable)"
            assert ages[-1] - 1 < int(age)
        host = (await processes.hosts())["cn1"]
        assert (host["capacity"]["VCPU"], host["used"]["VCPU"]) == (4, 2)
        await asyncio.sleep(1)
    assert ages == sorted(ages)
    assert ages[-1] > OUTAGE_S - 5

    placement.start()
    placement.delete(server)
    await until(processes.fresh, "the source to be fresh", 15)
    state = await processes.source()
    assert state["age_seconds"] < ages[-1]
    assert state["text"] is None
    assert (await api_client.ask("POST", "/v1/vm/small", {"status": "done"})).is_success
    await api_client.until("running", "large")
    assert [json.loads(body)["data"]["RequestID"] for body in receiver.bodies] == ["small", "large"]


@pytest.fixture
def down(placement: Placement) -> Iterator[None]:
    placement.stop()
    yield
    placement.start()


@pytest.mark.usefixtures("down")
async def test_a_source_without_any_snapshot_has_no_age(
    processes: Processes, receiver: Receiver
) -> None:
    """Where Placement is down from the start, neither readiness nor a reason states an age."""
    await processes.api_client.submit(receiver, "d", 1)
    await until(processes.stale, "the source to be stale")
    state = await processes.source()
    assert (state["age_seconds"], state["cause"], state["hosts"]) == (None, "unreachable", 0)
    for reason in await processes.reasons("d", 1):
        assert reason == "there is no host (capacity never known: source lab fails: unreachable)"


# Take-over


async def test_a_killed_leader_is_followed_within_seconds(
    processes: Processes, broker: Broker, placement: Placement
) -> None:
    """When the notifier that polls is killed, the other polls; when that one is, none does."""

    async def shows(name: str) -> bool:
        return name in await processes.hosts()

    async def lease_is_free() -> bool:
        return await broker.turn(TYPE, "test", "take", 1.0, "source:lab") > 1

    placement.add("cn1", **SIZE)
    await until(lambda: shows("cn1"), "the first snapshot")
    assert not await lease_is_free()
    for number, notifier in enumerate(processes.notifiers):
        notifier.kill()
        placement.add(f"later{number}", **SIZE)
        if number == 0:
            await until(lambda: shows("later0"), "the other notifier to poll", 15)
    await until(lease_is_free, "the last lease to end", 15)
    assert not await shows("later1")


# In development


async def test_dev_polls_sources_too(spawn: Children, tmp_path: Path) -> None:
    """With --source a type has the source's hosts; the demo's host only where it has no source."""
    (tmp_path / "lab.toml").write_text("[hosts.bench-1]\ncapacity = { Slots = 2 }\n")
    feed = '[[source]]\ntype = "vm"\nkind = "file"\npath = "lab.toml"\n'
    (tmp_path / "sources.toml").write_text(feed)
    dev = spawn.serve("dev", "--source", "sources.toml", cwd=tmp_path)
    dev.ready()
    api_client = ApiClient([dev])
    try:
        body = {"request_id": "d", "owner_id": "y", "data": {}, "callback": "abc"}
        assert (await api_client.ask("POST", "/v1/vm/", body)).status_code == 201
        await api_client.until("running", "d")
        for type_, name in (("vm", "bench-1"), ("kube", "host1")):
            (host,) = (await api_client.ask("GET", f"/types/{type_}/hosts/")).json()["data"]
            assert host["name"] == name
    finally:
        await api_client.aclose()
        dev.send(signal.SIGTERM)
        await asyncio.to_thread(dev.wait)
