"""Started before Redis answers, api and notifier wait, say for what, and then serve."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis, RedisCluster

from rq_broker.cli import starting
from rq_broker.store.embedded import Server, find_server, free_port
from rq_broker.store.fitness import unfitness
from tests.processes import TIMEOUT_S, Child, Children, until

LINE = 300
"""Letters that a line may have at most."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


def _until(condition: Callable[[], bool], child: Child) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, child.output()
        assert child.process.poll() is None, child.output()
        time.sleep(0.05)


def _start(spawn: Children, command: str, url: str) -> Child:
    return spawn.api(url) if command == "api" else spawn.notifier(url)


@pytest.mark.parametrize("command", ["api", "notifier"])
def test_a_redis_that_hangs_is_waited_for(store: Server, spawn: Children, command: str) -> None:
    """A stopped Redis accepts connections and answers nothing: the process says that it waits."""
    assert store.process
    store.process.send_signal(signal.SIGSTOP)
    child = _start(spawn, command, f"redis://:secret@127.0.0.1:{store.port}/0")
    waits = f"waiting for Redis at redis://127.0.0.1:{store.port}/0: Redis does not answer"
    _until(lambda: waits in child.output(), child)
    assert "secret" not in child.output()
    assert "Traceback" not in child.output()
    child.send(signal.SIGTERM)
    child.wait()  # a signal ends the wait


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster", "redis+sentinel"])
def test_a_redis_that_is_away_is_waited_for(spawn: Children, scheme: str) -> None:
    """One server, a cluster or Sentinels: several lines, seconds apart, and no traceback."""
    port = free_port()
    path = "/main/0" if "sentinel" in scheme else ""
    child = _start(spawn, "notifier", f"{scheme}://127.0.0.1:{port}{path}")
    waits = f"waiting for Redis at {scheme}://127.0.0.1:{port}{path}: Redis does not answer"
    _until(lambda: child.output().count(waits) >= 2, child)
    assert "Traceback" not in child.output()


def test_it_serves_once_redis_is_there(store: Server, spawn: Children) -> None:
    """The API answers as soon as Redis does, and its log says that the wait is over."""
    store.kill()
    child = _start(spawn, "api", store.url)
    _until(lambda: "waiting for Redis" in child.output(), child)
    store.start()
    child.ready()
    assert f"Redis at {store.url} answers" in child.output()


async def test_a_redis_that_goes_away_during_the_checks_is_waited_for(
    store: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers, and is killed before it was checked: the start waits again, and then goes on."""
    calls = 0

    async def killed_first(client: Redis | RedisCluster) -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            store.kill()
        return await unfitness(client)

    monkeypatch.setattr(starting, "unfitness", killed_first)
    start = asyncio.create_task(starting.await_redis(store.url, "notifier"))

    async def waits() -> bool:
        return "waiting for Redis" in caplog.text or start.done()

    await until(waits, "the start to wait again")
    store.start()
    assert await start == []
    assert calls == 2


def test_what_keeps_it_waiting_is_told_on_a_short_line(spawn: Children) -> None:
    """No line has objects of the Redis library, whatever they hold."""
    port = free_port()
    child = _start(spawn, "notifier", f"redis+sentinel://127.0.0.1:{port}/main")
    _until(lambda: "No master found for 'main')" in child.output(), child)
    assert max(map(len, child.output().splitlines())) < LINE
    assert "<redis." not in child.output()


@pytest.mark.parametrize("command", ["api", "notifier"])
def test_a_sentinel_is_no_redis(tmp_path: Path, spawn: Children, command: str) -> None:
    """Given as redis://, a Sentinel is refused with the way to name it, without a traceback."""
    program, port = find_server(), free_port()
    assert program
    (tmp_path / "sentinel.conf").write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    with subprocess.Popen(
        [program, str(tmp_path / "sentinel.conf"), "--sentinel"], stdout=subprocess.DEVNULL
    ) as process:
        child = _start(spawn, command, f"redis://127.0.0.1:{port}")
        assert child.wait() == 1
        process.kill()
    assert "a Sentinel answers at --redis" in child.output()
    assert "redis+sentinel://host:port/service" in child.output()
    assert "Traceback" not in child.output()


@pytest.mark.parametrize("command", ["api", "notifier"])
@pytest.mark.parametrize(("appendonly", "lines"), [("no", 1), ("yes", 0)])
def test_a_redis_without_an_append_only_file_is_told(
    tmp_path: Path, spawn: Children, command: str, appendonly: str, lines: int
) -> None:
    """The log says once that a restart of Redis loses what was acknowledged; it serves anyway."""
    store = Server(tmp_path / "redis", ["--appendonly", appendonly])
    store.start()
    child = _start(spawn, command, store.url)
    serves = "Uvicorn running" if command == "api" else "notifier of rq-broker"
    _until(lambda: serves in child.output(), child)
    assert child.output().count("Redis has no append-only file (appendonly no)") == lines
    store.kill()
