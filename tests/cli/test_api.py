"""`rq-broker api`: what it serves, in its own process and in worker processes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from starlette.applications import Starlette

from rq_broker.cli import api as api_module
from rq_broker.settings import Settings
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.cli.running import invoke


@pytest.mark.parametrize("command", ["api", "dev"])
def test_a_port_that_is_taken_is_told_first(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says that the port is taken and which option chooses another; nothing is started."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke(command, "--port", str(port))
    assert result.exit_code == 1
    sentence = f"127.0.0.1:{port} is taken by another process: --port chooses another port"
    assert result.output == f"Error: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_insecure_permits_any_address(
    monkeypatch: pytest.MonkeyPatch, redis_server: Server
) -> None:
    """With --insecure the API serves on the address that was asked for."""
    options: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **kwargs: options.update(kwargs))
    result = invoke("api", "--host", "0.0.0.0", "--insecure", "--redis", redis_server.url)
    assert (result.exit_code, options["host"]) == (0, "0.0.0.0"), result.output


def test_a_start_that_lets_nobody_or_everybody_in_is_told(
    monkeypatch: pytest.MonkeyPatch, redis_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how to make the first token where none is valid, and who is let in without."""
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: None)
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
    redis = ("--redis", redis_server.url)

    def warnings(*options: str) -> list[str]:
        caplog.clear()
        result = invoke("api", *redis, *options)
        assert result.exit_code == 0, result.output
        words = ("rq-broker token create --role admin", "everybody who reaches 0.0.0.0")
        return [word for word in words if word in caplog.text]

    nobody, everybody = ["rq-broker token create --role admin"], ["everybody who reaches 0.0.0.0"]
    jwt = ("--jwt-issuer", "https://x", "--jwt-audience", "a", "--jwt-keys", "http://127.0.0.1:1/")
    assert warnings() == []
    assert warnings("--host", "0.0.0.0", "--insecure") == everybody
    assert warnings("--host", "0.0.0.0", "--tokens", "--insecure") == nobody
    assert warnings("--tokens", *jwt) == []
    assert invoke("token", "create", *redis, "--role", "viewer", "--name", "v").exit_code == 0
    assert warnings("--tokens") == []
    assert invoke("token", "revoke", "v", *redis).exit_code == 0
    assert warnings("--tokens") == nobody


def test_a_redis_that_evicts_is_refused(redis_server: Server) -> None:
    """Neither API nor notifier starts on a store that may drop keys."""
    with Redis.from_url(redis_server.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            for command in ("api", "notifier"):
                result = invoke(command, "--redis", redis_server.url)
                assert result.exit_code == 1
                assert "noeviction" in result.output
        finally:
            client.config_set("maxmemory-policy", "noeviction")


async def test_the_application_is_wired(client: AsyncRedis) -> None:
    """What `api` serves submits and explains, and has no inbox unless it is dev's."""
    settings = Settings(callback_base="http://127.0.0.1:1/in/", callback_allow=("127.0.0.0/8",))
    body = {"request_id": "d", "owner_id": "y", "data": {}, "callback": "abc"}
    for dev, inbox in ((False, 404), (True, 200)):
        transport = httpx.ASGITransport(api_module.build_app(settings, client, dev=dev))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert (await http.get("/inbox/")).status_code == inbox
            assert (await http.post("/v1/vm/", json=body)).status_code == (409 if dev else 201)
            job = (await http.get("/v1/vm/d")).json()["data"]
            assert job["Reason"] == "there is no host; and no notifier serves this type"


async def test_a_worker_process_has_the_settings_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, redis_server: Server
) -> None:
    """Each API process resolves callbacks, checks them and stores jobs as `api` was told to."""
    workers: list[Starlette] = []
    client = connect(redis_server.url)

    def serve(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(
            api_module, "connect", lambda url: client if url == redis_server.url else None
        )
        workers.append(api_module.worker_app())

    monkeypatch.setattr(uvicorn, "run", serve)
    args = ("--redis", redis_server.url, "--callback-base", "http://8.8.8.8/", "--callback-allow",
            "8.8.8.0/24", "--callback-ports", "80,443")  # fmt: skip
    result = await asyncio.to_thread(invoke, "api", *args)
    assert result.exit_code == 0, result.output
    transport = httpx.ASGITransport(workers[0])
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        body = {"request_id": "w", "owner_id": "y", "data": {}}
        for callback, status in (
            ("abc", 201),
            ("http://8.8.8.8:81/", 400),
            ("http://9.9.9.9", 400),
        ):
            answer = await http.post("/v1/worker", json={**body, "callback": callback})
            assert answer.status_code == status, answer.text
    await client.aclose()
