"""API and notifier as in production: several processes on one real Redis."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis
from standins.receivers import Receiver

from rq_broker.store.embedded import Server
from rq_broker.store.keys import WAKE_CHANNEL
from tests.api_client import SEED, ApiClient
from tests.processes import Child, Children, children, until
from tests.receivers_app import Ledger, listening

CONTINUED = ("id", "fence", "incarnation")
"""Fields of a type's base that outlive a test: without them its API processes would report that
Redis lost state."""

# One Redis and two API processes for all tests of this module, notifiers for each test


@pytest.fixture(scope="module")
def module_spawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    with children(tmp_path_factory.mktemp("processes")) as starter:
        yield starter


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("store")
    server = Server(folder, options=("--appendfsync", "always"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def apis(module_spawn: Children, module_store: Server) -> list[Child]:
    apis = [module_spawn.api(module_store.url) for _ in range(2)]
    for api in apis:
        api.ready()
    return apis


@pytest.fixture
def store(module_store: Server) -> Server:
    with redis.Redis(port=module_store.port) as client:
        keys = list(client.scan_iter("rqb:{*", count=1000))
        bases = {key: client.hmget(key, CONTINUED) for key in keys if key.endswith(b"}")}
        client.delete("none", *keys)  # the set of types stays: an API process adds a type once
        for base, values in bases.items():
            if kept := {
                name: value for name, value in zip(CONTINUED, values, strict=True) if value
            }:
                client.hset(base, mapping=kept)
    return module_store


@pytest.fixture
async def api_client(apis: list[Child], store: Server) -> AsyncIterator[ApiClient]:
    assert store.port
    api_client = ApiClient(apis)
    yield api_client
    await api_client.aclose()


async def _audit(spawn: Children, store: Server) -> str:
    child = spawn.start("audit", "--redis", store.url)
    await asyncio.to_thread(child.wait)
    return child.output()


async def _end(child: Child) -> int:
    """Send SIGTERM and wait for the exit code without blocking the loop."""
    child.send(signal.SIGTERM)
    return await asyncio.to_thread(child.wait)


# Uniqueness


@pytest.mark.parametrize("same", ["request_id", "callback"])
async def test_one_of_64_submits_wins(
    api_client: ApiClient, spawn: Children, store: Server, same: str
) -> None:
    """Of 64 submits through two APIs one gets 201, and 63 get 409 with the name that is taken."""
    bodies = [
        {**SEED, "request_id": f"r{n}", "callback": f"http://127.0.0.1:9/{n}", same: "http:x"}
        for n in range(64)
    ]
    if same == "callback":
        bodies = [{**body, same: "http://127.0.0.1:9/one"} for body in bodies]
    answers = await asyncio.gather(*(api_client.ask("POST", "/v1/vm", body) for body in bodies))
    assert Counter((answer.status_code, answer.json().get("code")) for answer in answers) == {
        (201, None): 1,
        (409, f"duplicate_{same}"): 63,
    }
    assert await _audit(spawn, store) == "clean\n"
    winner = next(answer.json()["data"] for answer in answers if answer.status_code == 201)
    losers = [body for body in bodies if body["request_id"] != winner["RequestID"]]
    losers = losers or [body for body in bodies if body["callback"] != winner["Callback"]]
    assert (await api_client.ask("DELETE", f"/v1/vm/{winner['RequestID']}")).is_success
    with redis.Redis(port=store.port, decode_responses=True) as client:
        left = {key.removeprefix("rqb:{vm}") for key in client.scan_iter("rqb:{vm}*")}
    assert left <= {"", ":audit", ":events", ":wake", ":withdrawn"}
    again = await api_client.ask("POST", "/v1/vm", losers[0])
    assert again.status_code == 201


# Flow


CAPACITY = {"h1": 8, "h2": 8}


@asynccontextmanager
async def _clients(api_client: ApiClient, ledger: Ledger) -> AsyncIterator[Receiver]:
    """Yield a receiver whose clients hold their capacity for a moment, then say done."""
    random, tasks = Random(7), set()

    async def use(job: dict[str, Any]) -> None:
        await asyncio.sleep(random.uniform(0, 0.02))
        ledger.released(job)
        body = {"status": "done", "fence": job["Fence"]}
        answer = await api_client.ask("POST", f"/v1/vm/{job['RequestID']}", body)
        assert answer.is_success, answer.text

    async def handle(webhook_id: str, job: dict[str, Any]) -> int:
        if ledger.called(webhook_id, job):
            tasks.add(asyncio.create_task(use(job)))
        return 200

    async with listening(handle) as receiver:
        yield receiver
    await asyncio.gather(*tasks)


async def _submit_many(api_client: ApiClient, receiver: Receiver, count: int) -> None:
    random = Random(count)
    for start in range(0, count, 20):
        jobs = [(f"d{n}", random.choices((1, 2, 4), k=random.randint(1, 3)))
                  for n in range(start, min(start + 20, count))]  # fmt: skip
        await asyncio.gather(
            *(api_client.submit(receiver, name, *amounts) for name, amounts in jobs)
        )


async def test_hundreds_flow_through_and_nothing_is_oversold(
    api_client: ApiClient, spawn: Children, store: Server
) -> None:
    """With two APIs and two notifiers every job is called back once; no host is oversold."""
    ledger = Ledger(CAPACITY)
    await api_client.publish(CAPACITY)
    for _ in range(2):
        spawn.notifier(store.url)
    async with _clients(api_client, ledger) as receiver:
        await _submit_many(api_client, receiver, 120)
        await api_client.until_count("done", 120)
    assert ledger.oversold == []
    assert len(ledger.calls) == 120
    assert set(ledger.calls.values()) == {1}
    hosts = (await api_client.ask("GET", "/types/vm/hosts/")).json()["data"]
    assert [host["held"] for host in hosts] == [{}, {}]
    assert await _audit(spawn, store) == "clean\n"


async def test_a_notifier_killed_under_load_costs_nothing(
    api_client: ApiClient, spawn: Children, store: Server
) -> None:
    """With one of two notifiers killed midway every job still ends, and no host is oversold."""
    ledger = Ledger(CAPACITY)
    await api_client.publish(CAPACITY)
    victim = spawn.notifier(store.url, timeout=0.5)
    spawn.notifier(store.url, timeout=0.5)
    async with _clients(api_client, ledger) as receiver:
        await _submit_many(api_client, receiver, 60)

        async def half_are_called() -> bool:
            return len(ledger.calls) >= 30

        await until(half_are_called, "half of the callbacks")
        victim.kill()
        await api_client.until_count("done", 60)
    assert ledger.oversold == []
    assert len(ledger.calls) == 60
    assert await _audit(spawn, store) == "clean\n"


# A notifier's end


class Staller:
    """A receiver that does not answer the first callback until told to, and answers later ones."""

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


async def test_a_callback_of_a_killed_notifier_is_repeated(
    api_client: ApiClient, spawn: Children, store: Server
) -> None:
    """Killed while it waits for an answer, its callback is repeated with the same webhook-id."""
    staller = Staller()
    await api_client.publish({"h1": 1})
    victim = spawn.notifier(store.url, timeout=1.0)
    async with listening(staller.handle) as receiver:
        await api_client.submit(receiver, "d")
        await asyncio.wait_for(staller.called.wait(), 30)
        victim.kill()
        spawn.notifier(store.url, timeout=1.0)
        await api_client.until("running", "d")
    assert len(staller.ids) == 2
    assert len(set(staller.ids)) == 1
    assert await _audit(spawn, store) == "clean\n"


async def test_a_stopped_notifier_finishes_callbacks_in_flight(
    api_client: ApiClient, spawn: Children, store: Server
) -> None:
    """After SIGTERM an answer still counts, no new callback is sent, and the exit code is 0."""
    staller = Staller()
    await api_client.publish({"h1": 1})
    child = spawn.notifier(store.url, timeout=20.0)
    async with listening(staller.handle) as receiver:
        await api_client.submit(receiver, "d")
        await asyncio.wait_for(staller.called.wait(), 30)
        asyncio.get_running_loop().call_later(0.3, staller.answer_first.set)
        assert await _end(child) == 0, child.output()
        assert (await api_client.job("d"))["Status"] == "running"
    assert len(staller.ids) == 1
    assert "Traceback" not in child.output()
    assert await _audit(spawn, store) == "clean\n"


async def test_a_stopped_notifier_hands_over_a_callback_that_hangs(
    api_client: ApiClient, spawn: Children, store: Server
) -> None:
    """Without an answer SIGTERM still ends it, and the next notifier repeats the callback."""
    staller = Staller()
    await api_client.publish({"h1": 1})
    child = spawn.notifier(store.url, timeout=0.5)
    async with listening(staller.handle) as receiver:
        await api_client.submit(receiver, "d")
        await asyncio.wait_for(staller.called.wait(), 30)
        assert await _end(child) == 0, child.output()
        assert (await api_client.job("d"))["Status"] == "granted"
        spawn.notifier(store.url, timeout=5.0)
        await api_client.until("running", "d")
    assert len(staller.ids) == 2
    assert len(set(staller.ids)) == 1
    assert await _audit(spawn, store) == "clean\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_an_idle_notifier_stops_at_once(
    spawn: Children, store: Server, number: signal.Signals
) -> None:
    """Without callbacks in flight SIGTERM and SIGINT end it with exit code 0."""
    child = spawn.notifier(store.url, "--type", "idle")
    with redis.Redis(port=store.port) as client:

        async def listens() -> bool:
            return bool(client.pubsub_numsub(WAKE_CHANNEL)[0][1] == 1)

        await until(listens, "the notifier to wait for work")
    child.send(number)
    assert await asyncio.to_thread(child.wait) == 0, child.output()
    assert "Traceback" not in child.output()


# Redis's end


async def _refused(api_client: ApiClient, method: str, path: str, body: Any = None) -> None:
    started = time.monotonic()
    answer = await api_client.ask(method, path, body)
    assert time.monotonic() - started < 3.0
    assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def _refused_everywhere(api_client: ApiClient) -> None:
    requests = [
        ("POST", "/v1/vm", SEED | {"callback": "http://127.0.0.1:9/x"}),
        ("GET", "/v1/vm", None),
        ("GET", "/v1/vm/d0", None),
        ("POST", "/v1/vm/d0", {"status": "done"}),
        ("DELETE", "/v1/vm/d0", None),
        ("GET", "/v1", None),
        ("GET", "/types/vm", None),
        ("GET", "/readyz", None),
    ]
    await asyncio.gather(*(_refused(api_client, *request) for request in requests * 2))
    assert (await api_client.ask("GET", "/healthz")).status_code == 200


async def test_redis_killed_and_restarted_loses_nothing(
    api_client: ApiClient, spawn: Children, store: Server
) -> None:
    """While it is down calls get 503 within 3 s; restarted on its file, every job goes on."""
    ledger, staller = Ledger({"h1": 2}), Staller()

    async def handle(webhook_id: str, job: dict[str, Any]) -> int:
        ledger.called(webhook_id, job)
        if job["RequestID"] == "in-flight":
            return await staller.handle(webhook_id, job)
        return 200

    await api_client.publish({"h1": 2})
    notifiers = [spawn.notifier(store.url, timeout=2.0) for _ in range(2)]
    async with listening(handle) as receiver:
        await api_client.submit(receiver, "d0")
        await api_client.until("running", "d0")
        await api_client.submit(receiver, "in-flight")
        await asyncio.wait_for(staller.called.wait(), 30)
        for number in range(1, 12):
            await api_client.submit(receiver, f"d{number}")
        store.kill()
        try:
            await _refused_everywhere(api_client)
            staller.answer_first.set()
            await asyncio.sleep(1.0)
            await _refused_everywhere(api_client)
        finally:
            store.start()
        await api_client.until("running", "d0", "in-flight")
        for number in range(12):
            await api_client.until("running", f"d{number}")
            ledger.released(await api_client.job(f"d{number}"))
            assert (
                await api_client.ask("POST", f"/v1/vm/d{number}", {"status": "done"})
            ).is_success
    assert ledger.oversold == []
    assert len(ledger.calls) == 13
    assert len(set(staller.ids)) == 1
    assert all(child.process.poll() is None for child in notifiers)
    assert await _audit(spawn, store) == "clean\n"


async def test_processes_started_before_redis_serve_once_it_answers(
    spawn: Children, tmp_path: Path
) -> None:
    """Started first, API and notifier say what they wait for, and work once Redis answers."""
    server = Server(tmp_path / "late")
    server.start()
    server.kill()
    api = spawn.api(server.url)
    notifier = spawn.notifier(server.url)

    async def both_wait() -> bool:
        return all("waiting for Redis" in child.output() for child in (api, notifier))

    await until(both_wait, "both to say what they wait for")
    api_client = ApiClient([api])
    try:
        server.start()
        await asyncio.to_thread(api.ready)
        await api_client.publish({"h1": 1})
        async with listening(Staller().handle) as receiver:
            await api_client.submit(receiver, "first")
            await api_client.until("granted", "first")
    finally:
        await api_client.aclose()
        server.stop()
