"""/metrics of several processes: what Redis counts is the same in each, the rest adds up."""

from __future__ import annotations

import asyncio

import httpx
from standins.receivers import receiver, responding

from rq_broker.store.embedded import Server, free_port
from tests.api_client import ApiClient
from tests.metrics import Scrape, parse
from tests.processes import Child, Children, until

JOBS = 6


async def _scrape(url: str) -> Scrape:
    """Scrape over a connection of its own, which any worker of an API may get."""
    async with httpx.AsyncClient(timeout=30) as client:
        return parse((await client.get(f"{url}/metrics")).text)


async def _delivered(ports: list[int]) -> float:
    """Add up the callbacks that the notifiers with these ports have delivered."""
    scrapes = [await _scrape(f"http://127.0.0.1:{port}") for port in ports]
    return sum(
        value
        for scrape in scrapes
        for labels, value in scrape.rows("rq_broker_callbacks_total").items()
        if ("outcome", "ok") in labels
    )


async def _submits(api: Child, times: int) -> float:
    """Scrape an API some times; return how many submits it tells of, each time the same."""
    scrapes = [await _scrape(api.url) for _ in range(times)]
    assert {scrape.value("rq_broker_grants_total", type="vm") for scrape in scrapes} == {JOBS}
    (count,) = {
        scrape.value("rq_broker_script_seconds_count", script="submit") for scrape in scrapes
    }
    return count


async def test_processes_tell_the_same_or_add_up(store: Server, spawn: Children) -> None:
    """Two workers answer as one, two APIs tell the same of types, and what two notifiers did is
    the sum of both; the folder of the workers is gone at the end."""
    folder = spawn.folder / "shared"
    folder.mkdir()
    workers = spawn.serve(
        "api", "--redis", store.url, "--workers", "2", "--callback-allow", "127.0.0.0/8",
        TMPDIR=str(folder),
    )  # fmt: skip
    other = spawn.api(store.url)
    ports = [free_port() for _ in range(2)]
    notifiers = [spawn.notifier(store.url, "--metrics-port", str(port)) for port in ports]
    for api in (workers, other):
        await asyncio.to_thread(api.ready)
    http = ApiClient([workers, other])
    names = [f"d{number}" for number in range(JOBS)]
    async with receiver(responding(200)) as sink:
        await http.publish({"VCPU": 64})
        for name in names:
            await http.submit(sink, name, 1)
        await http.until("running", *names)
    await http.aclose()

    async def is_counted() -> bool:
        return await _delivered(ports) == JOBS

    await until(is_counted, "both notifiers together to have sent all callbacks")
    assert sum([await _submits(api, times) for api, times in ((workers, 6), (other, 1))]) == JOBS
    assert len(list(folder.iterdir())) == 1
    workers.process.terminate()
    assert await asyncio.to_thread(workers.wait) == 0
    assert list(folder.iterdir()) == []
    for notifier in notifiers:
        notifier.process.terminate()
        assert await asyncio.to_thread(notifier.wait) == 0


def test_a_port_that_is_taken_ends_the_start(store: Server, spawn: Children) -> None:
    """A notifier whose metrics cannot be served says so, and does not run without them."""
    notifier = spawn.notifier(store.url, "--metrics-port", str(store.port))
    assert notifier.wait() == 1
    assert f"--metrics-port: 127.0.0.1:{store.port} cannot be served on" in notifier.output()
