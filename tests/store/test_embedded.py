"""The embedded store: found where it may be, ready when it says so, its data safe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from rq_broker.domain.errors import Unavailable
from rq_broker.store.connection import check_fit, connect, in_memory
from rq_broker.store.embedded import Server, find_server, free_port


def _program(directory: Path, name: str) -> str:
    """Put an executable of this name into a directory; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a machine with no server; what a test puts into this directory is on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    return tmp_path / "path"


@pytest.fixture
def beside(path: Path) -> str:
    """Make a machine that has a server beside its Python only, and answer where."""
    return _program(path.parent / "venv", "redis-server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "store")
    server.start()
    yield server
    server.stop()


def test_redis_goes_before_valkey(path: Path) -> None:
    """Of the two servers on PATH, redis-server is taken."""
    _program(path, "valkey-server")
    redis_server = _program(path, "redis-server")
    assert find_server() == redis_server


def test_valkey_serves_where_redis_is_missing(path: Path) -> None:
    """A machine with valkey-server alone has a server."""
    valkey = _program(path, "valkey-server")
    assert find_server() == valkey


def test_one_beside_python_serves_where_path_has_none(beside: str) -> None:
    """A server that was put into .venv is found without anybody setting PATH."""
    assert find_server() == beside


def test_path_goes_before_what_is_beside_python(path: Path, beside: str) -> None:
    """A server of the machine's own is taken even where .venv has one."""
    own = _program(path, "redis-server")
    assert find_server() == own != beside


@pytest.mark.usefixtures("path")
def test_no_server_is_said_plainly(tmp_path: Path) -> None:
    """Without any server, starting one fails with a sentence that names what was looked for."""
    assert find_server() is None
    with pytest.raises(Unavailable, match="redis-server"):
        Server(tmp_path / "store").start()


def test_free_port_can_be_bound() -> None:
    """The port handed out is one a server can listen on without privileges."""
    assert 1024 <= free_port() <= 65535


async def test_a_started_server_serves_at_once(server: Server) -> None:
    """When `start` returns, the URL answers; no client has to wait or try again."""
    async with connect(server.url) as client:
        assert await client.ping()


async def test_a_started_server_never_evicts(server: Server) -> None:
    """The embedded store is fit for a queue: noeviction, append-only file, loopback alone."""
    async with connect(server.url) as client:
        await check_fit(client)
        settings = await client.config_get("*")
    wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}
    assert wanted.items() <= settings.items()


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
async def test_data_outlives_the_process(server: Server, end: Callable[[Server], None]) -> None:
    """What was acknowledged is there again, at the same URL, after a kill as after a stop."""
    async with connect(server.url) as client:
        await client.set("answer", "42")
    end(server)
    server.start()
    async with connect(server.url) as client:
        assert await client.get("answer") == "42"


async def test_stop_leaves_no_process(server: Server) -> None:
    """After `stop` the process is gone, and stopping again does no harm."""
    assert server.process is not None
    pid = server.process.pid
    server.stop()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_connect_dials_nothing_yet() -> None:
    """A client for a Redis that is away can be made; the first call tells."""
    client = connect(f"redis://127.0.0.1:{free_port()}/0", timeout=0.5)
    with pytest.raises(redis.ConnectionError):
        await client.ping()
    await client.aclose()


async def test_bytes_that_are_no_text_survive(server: Server) -> None:
    """A value that is not UTF-8, as a foreign writer may leave, is read and written unchanged."""
    async with redis.asyncio.Redis(port=server.port) as raw, connect(server.url) as client:
        await raw.set("odd", b"\xff\xfe")
        await client.set("copy", await client.get("odd") or "")
        assert await raw.get("copy") == b"\xff\xfe"


async def test_a_redis_that_may_evict_is_refused(server: Server) -> None:
    """A maxmemory-policy that could drop jobs is named in the refusal."""
    async with connect(server.url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(Unavailable, match="allkeys-lru"):
            await check_fit(client)


async def test_fakeredis_passes_as_fit() -> None:
    """The in-memory stand-in, which has no INFO, is no reason to refuse."""
    async with in_memory() as client:
        await check_fit(client)
