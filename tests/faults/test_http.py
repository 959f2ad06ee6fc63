"""The HTTP side of the real commands: smuggled requests, crowds of connections, the end."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest

from rq_broker.store.embedded import Server, free_port
from tests.api_client import SEED
from tests.processes import Child, Children, end_redis, redis_answers, store_url, until
from tests.raw_http import RawConnection, connected, request

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
HEALTH = request("GET", "/healthz")


@pytest.fixture
def api(spawn: Children, redis_server: Server) -> Child:
    return _served(spawn, redis_server)


def _served(spawn: Children, store: Server, *args: str, descriptors: int | None = None) -> Child:
    child = spawn.api(store.url, *args, descriptors=descriptors)
    child.ready()
    return child


def _port(child: Child) -> int:
    return int(child.url.rpartition(":")[2])


async def _submit(client: httpx.AsyncClient, name: str) -> None:
    body = SEED | {"request_id": name, "callback": f"http://127.0.0.1:9/{name}"}
    answer = await client.post("/v1/http", json=body)
    assert answer.status_code == 201, answer.text


# Requests within requests


async def test_no_smuggled_delete_runs(api: Child) -> None:
    """Of 60 DELETEs that are the body of a request with `Upgrade: h2c`, none runs."""
    async with httpx.AsyncClient(base_url=api.url) as client:
        names = [f"victim-{number}" for number in range(60)]
        for name in names:
            await _submit(client, name)
        for name in names:
            body = request("DELETE", f"/v1/http/{name}")
            head = request("POST", "/v1/http", *H2C, f"Content-Length: {len(body)}")
            async with connected(_port(api), head, body, HEALTH) as connection:
                refused, alive = await connection.answers(2)
            assert (refused.status, refused.code) == (400, "unreadable_json")
            assert (alive.status, alive.json["data"]) == (200, {"alive": True})
        for name in names:
            assert (await client.delete(f"/v1/http/{name}")).status_code == 200


async def test_a_submit_with_upgrade_is_a_submit(api: Child) -> None:
    """What Java's client and `curl --http2` send first is carried out, and in HTTP/1.1."""
    body = httpx.Request("POST", "http://x", json=SEED | {"request_id": "h2c"}).content
    data = request(
        "POST", "/v1/h2c", *H2C, body=body.replace(b'"abc"', b'"http://127.0.0.1:9/h2c"')
    )
    async with connected(_port(api), data) as connection:
        answer = await connection.answer()
    assert (answer.status, answer.json["data"]["RequestID"]) == (201, "h2c")
    async with httpx.AsyncClient(base_url=api.url) as client:
        assert (await client.delete("/v1/h2c/h2c")).status_code == 200


# Crowds


async def test_slow_connections_never_take_all(spawn: Children, redis_server: Server) -> None:
    """With 128 descriptors, 300 connections that send half a head leave room for others."""
    api = _served(spawn, redis_server, descriptors=128)
    assert "up to 96 connections are served, 48 from one address" in api.output()
    async with AsyncExitStack() as stack:
        for _ in range(300):
            with suppress(ConnectionResetError):
                await stack.enter_async_context(connected(_port(api), HEALTH[:-3]))
        async with connected(_port(api), HEALTH) as refused:
            answer = await refused.answer()
            assert (answer.status, answer.code) == (503, "too_many_connections")
        for _ in range(5):
            async with connected(_port(api), HEALTH, source="127.0.0.2") as other:
                assert (await other.answer()).status == 200
    lines = [line for line in api.output().splitlines() if "a connection is refused" in line]
    assert "48 connections from one address are open (from 127.0.0.1)" in lines[0]
    assert len(lines) <= 3
    await asyncio.to_thread(api.ready)


async def test_idle_connections_make_room(spawn: Children, redis_server: Server) -> None:
    """With 128 descriptors, 300 clients that keep their connections are all served in turn."""
    api = _served(spawn, redis_server, descriptors=128)
    async with AsyncExitStack() as stack:
        for _ in range(300):
            connection = await stack.enter_async_context(connected(_port(api), HEALTH))
            assert (await connection.answer()).status == 200
    assert "refused" not in api.output()


async def test_a_flood_of_connections_ends_well(spawn: Children, redis_server: Server) -> None:
    """Hundreds of connections at the same instant do not close the port, and some are answered."""
    api = _served(spawn, redis_server, descriptors=96)
    opened = await asyncio.gather(
        *(RawConnection.open(_port(api)) for _ in range(400)), return_exceptions=True
    )
    connections = [each for each in opened if isinstance(each, RawConnection)]
    for connection in connections:
        with suppress(OSError):
            await connection.send(HEALTH)
    for connection in connections:
        await connection.close()
    await asyncio.to_thread(api.ready)
    assert "too_many_connections" in api.output() or "refused" in api.output()
    assert "Traceback" not in api.output()


async def test_more_connections_than_descriptors_are_refused(
    spawn: Children, redis_server: Server
) -> None:
    """A limit that the descriptors do not allow ends the process with a sentence."""
    child = spawn.start(
        "api", "--redis", redis_server.url, "--max-connections", "1000", descriptors=128
    )
    assert await asyncio.to_thread(child.wait) == 1
    assert "--max-connections 1000 needs" in child.output()


# The end


async def _unread(child: Child) -> socket.socket:
    """Ask for a page of documents many times, and read nothing of the answers."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", _port(child)))
    await loop.sock_sendall(client, request("GET", "/openapi.json") * 200)
    return client


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_client_that_does_not_read_cannot_prevent_the_end(
    spawn: Children, redis_server: Server, workers: str
) -> None:
    """SIGTERM ends the process within the grace though an answer waits to be read."""
    api = _served(spawn, redis_server, "--grace", "1", "--workers", workers)
    with await _unread(api):
        async with connected(_port(api), HEALTH) as other:
            assert (await other.answer()).status == 200
        api.send(signal.SIGTERM)
        await asyncio.to_thread(api.wait)
    assert "connections are cut: 1 s after the signal to stop" in api.output()
    assert "Traceback" not in api.output()


@pytest.mark.parametrize("command", ["api", "dev"])
async def test_a_request_under_way_ends_before_the_process(
    spawn: Children, redis_server: Server, tmp_path: Path, command: str
) -> None:
    """After SIGTERM a submit whose body is still on its way is carried out and answered."""
    body = httpx.Request(
        "POST", "http://x", json=SEED | {"callback": "http://127.0.0.1:9/e"}
    ).content
    data = request("POST", "/v1/end", "Expect: 100-continue", body=body)
    is_api = command == "api"
    child = spawn.api(redis_server.url) if is_api else spawn.serve(command, cwd=tmp_path)
    child.ready()
    async with connected(_port(child), data[:-5]) as connection:
        # The server has begun: one that has read nothing yet closes the connection as idle.
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        child.send(signal.SIGTERM)

        async def stops() -> bool:
            return "Shutting down" in child.output()

        await until(stops, "the process to stop accepting")
        await connection.send(data[-5:])
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (201, "close")
        await asyncio.to_thread(child.wait)
    if is_api:
        again = _served(spawn, redis_server)
        async with httpx.AsyncClient(base_url=again.url) as client:
            assert (await client.delete("/v1/end/d")).status_code == 200


async def test_workers_end_with_the_process_that_started_them(
    spawn: Children, redis_server: Server
) -> None:
    """After `kill -9` of the supervisor its workers give the port back, and a new one serves."""
    port = str(free_port())
    args = ("--redis", redis_server.url, "--port", port, "--workers", "2", "--grace", "1")
    first = spawn.start("api", *args)
    first.url = f"http://127.0.0.1:{port}"
    first.ready()
    first.process.kill()
    await asyncio.to_thread(first.process.wait)

    async def port_is_free() -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return probe.connect_ex(("127.0.0.1", int(port))) != 0

    await until(port_is_free, "the workers to end")
    second = spawn.start("api", *args)
    second.url = first.url
    second.ready()


@pytest.fixture
async def dev(spawn: Children, tmp_path: Path) -> AsyncIterator[Child]:
    child = spawn.serve("dev", cwd=tmp_path)
    child.ready()
    yield child
    child.kill()
    end_redis(store_url(child))


async def test_the_store_ends_with_dev(dev: Child) -> None:
    """After `kill -9` of `dev` its redis-server ends."""
    url = store_url(dev)
    assert redis_answers(url)
    dev.process.kill()

    async def ended() -> bool:
        return not redis_answers(url)

    await until(ended, "the store to end")


def test_a_low_limit_of_descriptors_is_raised(spawn: Children, redis_server: Server) -> None:
    """The soft limit, 1,024 on most systems, does not bound the connections; the hard one does."""
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)
    api = spawn.api(redis_server.url, descriptors=hard, soft_descriptors=256)
    api.ready()
    assert f"up to {hard - hard // 8} connections are served" in api.output()
