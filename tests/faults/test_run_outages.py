"""`rq-broker run` and `hold` while the broker goes away, and when very many of them run."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rq_broker.client import AsyncClient, Client
from rq_broker.store.embedded import Server
from tests.processes import Child, Children, until

HOLDERS = 50
"""Holds of each client: enough that grants and ends overlap all the time."""


async def shows(child: Child, text: str) -> None:
    async def printed() -> bool:
        return text in child.output()

    await until(printed, f"{text!r} in the output")


async def exists(path: Path) -> None:
    await until(partial(asyncio.to_thread, path.exists), f"{path.name} to be there")


async def test_a_broker_away_is_waited_out(spawn: Children, store: Server, tmp_path: Path) -> None:
    """API, notifier and Redis end and come back while jobs are submitted, wait, run and end."""
    api, notifier = spawn.api(store.url), spawn.notifier(store.url)
    port = api.url.rpartition(":")[2]
    api.ready()

    def run(name: str, command: str) -> Child:
        words = ("--name", name, "--hold-at-most", "300s", "--", "sh", "-c", command)
        return spawn.start("run", "lab", *words, RQ_BROKER_SERVER=api.url)

    with Client(api.url) as client:
        client.set_host("lab", "bench", capacity={"Slots": 1})
        first = run(
            "first", f"touch {tmp_path}/up; until test -e {tmp_path}/go; do sleep 0.05; done"
        )
        await exists(tmp_path / "up")
        second = run("second", "true")
        await shows(second, "place 1 in line")
        for child in (api, notifier):
            child.kill()
        third = run("third", "true")
        (tmp_path / "go").touch()
        for child in (first, second, third):
            await shows(child, "the broker does not answer, waiting for it")
        store.stop()
        store.start()
        api = spawn.start("api", "--redis", store.url, "--port", port)
        spawn.notifier(store.url)
        for child in (first, second, third):
            assert child.wait() == 0, child.output()
            assert "the broker answers again" in child.output()
        for name in ("first", "second", "third"):
            assert client.read("lab", name)["Status"] == "done"
    audited = spawn.start("audit", "--redis", store.url)
    assert audited.wait() == 0, audited.output()


async def test_ctrl_c_while_nothing_answers(spawn: Children, store: Server, tmp_path: Path) -> None:
    """Whoever does not want to wait for the broker ends `run` by a second signal, at each stage."""
    api = spawn.api(store.url)
    notifier = spawn.notifier(store.url)
    api.ready()
    with Client(api.url) as client:
        client.set_host("lab", "bench", capacity={"Slots": 1})
    command = f"touch {tmp_path}/up; until test -e {tmp_path}/go; do sleep 0.05; done; exit 3"
    ended = spawn.start("run", "lab", "--", "sh", "-c", command, RQ_BROKER_SERVER=api.url)
    await exists(tmp_path / "up")
    for child in (api, notifier):
        child.kill()
    submitted = spawn.start("run", "lab", "--", "true", RQ_BROKER_SERVER=api.url)
    (tmp_path / "go").touch()
    await shows(submitted, "the broker does not answer")
    submitted.process.send_signal(signal.SIGINT)
    submitted.process.send_signal(signal.SIGTERM)
    await shows(ended, "the broker does not answer")
    ended.process.send_signal(signal.SIGTERM)
    assert ended.wait() == 3  # the code of the command
    assert "the broker ends the hold by itself" in ended.output()
    assert submitted.wait() == 143, submitted.output()
    assert "the broker drops the job by itself" in submitted.output()


async def test_a_hundred_holds_are_never_oversold(spawn: Children, store: Server) -> None:
    """Of a hundred parallel holds, sync and async, three at most are held at any time."""
    api = spawn.api(store.url)
    spawn.notifier(store.url)
    api.ready()
    lock, held, most, fences = threading.Lock(), 0, 0, set[int]()

    def count(change: int) -> None:
        nonlocal held, most
        with lock:
            held += change
            most = max(most, held)

    def hold_once(client: Client) -> None:
        with client.hold("lab", {"Slots": 1}, owner_id="sync") as grant:
            count(1)
            fences.add(grant.fence)
            count(-1)

    async def hold_async_once(client: AsyncClient) -> None:
        async with client.hold("lab", {"Slots": 1}, owner_id="async") as grant:
            count(1)
            fences.add(grant.fence)
            await asyncio.sleep(0)
            count(-1)

    with Client(api.url) as client, ThreadPoolExecutor(HOLDERS) as pool:
        client.set_host("lab", "bench", capacity={"Slots": 3})
        async with AsyncClient(api.url) as async_client:
            threads = [asyncio.wrap_future(pool.submit(hold_once, client)) for _ in range(HOLDERS)]
            await asyncio.gather(*threads, *(hold_async_once(async_client) for _ in range(HOLDERS)))
        counts = client.types()["lab"]
    audited = spawn.start("audit", "--redis", store.url)
    assert most <= 3
    assert audited.wait() == 0, audited.output()
    assert len(fences) == 2 * HOLDERS == counts["done"]
