"""The real Placement under real processes: the original's data, outages, take-overs."""

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

from rq_broker.store.broker import Broker
from rq_broker.store.embedded import Server as Store
from tests.desk import Desk
from tests.making import TYPE
from tests.processes import Child, Children, children, until
from tests.receivers import Receiver
from tests.receivers_app import listening
from tests.sources.placement_server import Placement
from tests.sources.servers import Server

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
"""The original's request, to the letter, with the aggregate that its answers show."""
ORIGINAL_DATA = (
    '{"host_aggregate":"host1","instances":[{"Disk":1,"Memory":1,"VCPU":1}],"project":"project id"}'
)


@pytest.fixture
async def broker(real_client: Redis) -> Broker:
    return Broker(real_client)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Children]:
    with children(tmp_path) as this:
        yield this


@pytest.fixture
def feeds(
    placement: Placement, nova: Server, clouds: Callable[..., None], tmp_path: Path
) -> Callable[[float], str]:
    """Write the operator's two files, for processes to read; answers the path of the sources."""
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

    async with listening(take) as this:
        yield this


class House:
    """An API process and two notifiers that poll Placement, and what they show of it."""

    def __init__(self, crew: Children, store: str, source: str, base: str) -> None:
        self.api = crew.api(store, "--callback-base", base)
        self.crew, self.store = crew, store
        self.more = ("--callback-base", base, "--source", source)
        self.notifiers = [self.notifier(), self.notifier()]
        self.api.ready()
        self.desk = Desk([self.api])

    def notifier(self) -> Child:
        return self.crew.notifier(self.store, *self.more)

    async def source(self) -> dict[str, Any]:
        """Read what readiness tells of the source; {} before the first look."""
        sources = (await self.desk.ask("GET", "/readyz")).json()["data"]["sources"]
        found: list[dict[str, Any]] = sources.get(TYPE, [{}])
        return found[0]

    async def fresh(self) -> bool:
        told = await self.source()
        return told.get("stale") is False and told["cause"] is None and told["hosts"] > 0

    async def stale(self) -> bool:
        return bool((await self.source()).get("stale"))

    async def hosts(self) -> dict[str, Any]:
        answer = await self.desk.ask("GET", f"/types/{TYPE}/hosts/")
        return {one["name"]: one for one in answer.json()["data"]}

    async def sees_a_server(self) -> bool:
        return any(one["used"].get("VCPU") for one in (await self.hosts()).values())

    async def reasons(self, request_id: str, vcpu: int) -> list[str]:
        """Read every Reason there is: the job's, its explanation's, and a what-if's."""
        path = f"/v1/{TYPE}/{request_id}"
        ask = {"data": {"instances": [{"VCPU": vcpu}]}}
        explained = await self.desk.ask("GET", f"{path}/explain")
        imagined = await self.desk.ask("POST", f"/types/{TYPE}/what-if", ask)
        return [
            (await self.desk.job(request_id))["Reason"],
            *(one.json()["data"]["reason"]["text"] for one in (explained, imagined)),
        ]


@pytest.fixture
async def house(
    crew: Children,
    real_client: Redis,
    redis_server: Store,
    feeds: Callable[[float], str],
    receiver: Receiver,
) -> AsyncIterator[House]:
    assert await real_client.dbsize() == 0
    this = House(crew, redis_server.url, feeds(1.0), f"http://127.0.0.1:{receiver.port}/")
    yield this
    await this.desk.aclose()


# The original's data


@pytest.fixture
def aggregates(placement: Placement, nova_answers: dict[str, Any]) -> None:
    """Two hosts that fit, the better one of no aggregate, the other of one Nova calls host1."""
    placement.add("cn1", VCPU=1, MEMORY_MB=1, DISK_GB=1)
    az = str(uuid4())
    placement.aggregates(placement.add("cn2", **SIZE), az)
    named = {"id": 1, "name": "host1", "uuid": az, "hosts": ["cn2"], "metadata": {}}
    nova_answers["/os-aggregates"] = {"aggregates": [named]}


@pytest.mark.usefixtures("aggregates")
async def test_the_originals_request_is_called_back(house: House, receiver: Receiver) -> None:
    """As its README posts it: granted in Nova's aggregate of that name, and called back at abc."""
    async with httpx.AsyncClient(base_url=house.api.url) as curl:
        answer = await curl.post("/v1/vm/", content=ORIGINAL)
    assert answer.status_code == 201
    assert (answer.json()["data"]["Status"], answer.json()["data"]["Data"]) == (
        "queued",
        ORIGINAL_DATA,
    )
    await house.desk.until("running", "d")
    (head,), (body,) = receiver.heads, receiver.bodies
    event = json.loads(body)
    assert head.startswith("POST /abc HTTP/1.1")
    assert (event["type"], event["data"]["RequestID"]) == ("job.granted", "d")
    assert (event["data"]["Data"], event["data"]["Hosts"]) == (ORIGINAL_DATA, ["cn2"])
    assert (await house.hosts())["cn2"]["held"] == {"VCPU": 1, "Memory": 1, "Disk": 1}


# Outages


async def test_placement_down_for_a_minute_and_back(
    house: House, placement: Placement, receiver: Receiver
) -> None:
    """Its last snapshot stays and serves, whoever polls, with its age told; back, it is fresh."""
    provider, server = placement.add("cn1", **SIZE), str(uuid4())
    placement.boot(server, **{provider: {"VCPU": 2}})
    await until(house.sees_a_server, "a snapshot that shows the server")
    desk = house.desk
    await desk.submit(receiver, "large", 4)
    for reason in await house.reasons("large", 4):
        assert reason == "needs VCPU 4 on one host; the most free is 2 on cn1"

    placement.stop()
    down = time.monotonic()
    await until(house.stale, "the source to be stale")
    await desk.submit(receiver, "small", 1)
    await desk.until("running", "small")
    for notifier in house.notifiers:
        notifier.kill()
    house.notifier()
    ages = []
    while time.monotonic() < down + OUTAGE_S:
        told = await house.source()
        assert (told["stale"], told["cause"], told["hosts"]) == (True, "unreachable", 1)
        assert told["text"].startswith("placement /")
        ages.append(told["age_seconds"])
        for reason in await house.reasons("large", 4):
            words, age = reason.split(" (capacity as of ")
            assert words == "needs VCPU 4 on one host; the most free is 1 on cn1"
            age, rest = age.split(" s ", 1)
            assert rest == "ago: source lab fails: unreachable)"
            assert ages[-1] - 1 < int(age)
        host = (await house.hosts())["cn1"]
        assert (host["capacity"]["VCPU"], host["used"]["VCPU"]) == (4, 2)
        await asyncio.sleep(1)
    assert ages == sorted(ages)
    assert ages[-1] > OUTAGE_S - 5

    placement.start()
    placement.delete(server)
    await until(house.fresh, "the source to be fresh", 15)
    told = await house.source()
    assert told["age_seconds"] < ages[-1]
    assert told["text"] is None
    assert (await desk.ask("POST", "/v1/vm/small", {"status": "done"})).is_success
    await desk.until("running", "large")
    assert [json.loads(body)["data"]["RequestID"] for body in receiver.bodies] == ["small", "large"]


@pytest.fixture
def away(placement: Placement) -> Iterator[None]:
    placement.stop()
    yield
    placement.start()


@pytest.mark.usefixtures("away")
async def test_a_source_never_seen_is_told_as_such(house: House, receiver: Receiver) -> None:
    """Down from the start it has no age, and neither readiness nor a Reason makes one up."""
    await house.desk.submit(receiver, "d", 1)
    await until(house.stale, "the source to be stale")
    told = await house.source()
    assert (told["age_seconds"], told["cause"], told["hosts"]) == (None, "unreachable", 0)
    for reason in await house.reasons("d", 1):
        assert reason == "there is no host (capacity never known: source lab fails: unreachable)"


# Take-over


async def test_a_killed_leader_is_followed_within_seconds(
    house: House, broker: Broker, placement: Placement
) -> None:
    """Of two notifiers one polls; that one killed, the other does; that one too, then nobody."""

    async def sees(name: str) -> bool:
        return name in await house.hosts()

    async def turn_is_free() -> bool:
        return await broker.turn(TYPE, "test", "take", 1.0, "source:lab") > 1

    placement.add("cn1", **SIZE)
    await until(lambda: sees("cn1"), "the first snapshot")
    assert not await turn_is_free()
    for number, notifier in enumerate(house.notifiers):
        notifier.kill()
        placement.add(f"later{number}", **SIZE)
        if number == 0:
            await until(lambda: sees("later0"), "whichever is left", 15)
    await until(turn_is_free, "the last one's turn to end", 15)
    assert not await sees("later1")


# In development


async def test_dev_polls_sources_too(crew: Children, tmp_path: Path) -> None:
    """With --source its hosts are those of the source, and the demo's only where none feeds."""
    (tmp_path / "lab.toml").write_text("[hosts.bench-1]\ncapacity = { Slots = 2 }\n")
    feed = '[[source]]\ntype = "vm"\nkind = "file"\npath = "lab.toml"\n'
    (tmp_path / "sources.toml").write_text(feed)
    dev = crew.serve("dev", "--source", "sources.toml", cwd=tmp_path)
    dev.ready()
    desk = Desk([dev])
    try:
        body = {"request_id": "d", "owner_id": "y", "data": {}, "callback": "abc"}
        assert (await desk.ask("POST", "/v1/vm/", body)).status_code == 201
        await desk.until("running", "d")
        found = [(await desk.ask("GET", f"/types/{each}/hosts/")).json() for each in ("vm", "kube")]
        assert [[one["name"] for one in each["data"]] for each in found] == [["bench-1"], ["host1"]]
    finally:
        await desk.aclose()
        dev.send(signal.SIGTERM)
        await asyncio.to_thread(dev.wait)
