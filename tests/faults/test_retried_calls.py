"""A proxy cuts the connection after the API ran a call: the client repeats it and gets its job."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from faulting.listener import listening
from redis.asyncio import Redis

from rq_broker.client import AsyncClient
from rq_broker.domain import errors
from rq_broker.store.audit import audit
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.processes import Child, children
from tests.redis_reads import key_names

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
JOB: dict[str, Any] = {
    "owner_id": "y",
    "data": {"instances": [{"VCPU": 1}]},
    "callback": "http://127.0.0.1:9/d",
}


@dataclass
class CuttingProxy:
    """Passes requests on, and cuts the connection in place of each n-th answer to a write."""

    target: int
    cut_each: int
    cut_after: int
    """Bytes of the answer that pass before the cut."""
    url: str = ""
    writes: int = 0
    cuts: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self.pass_one(reader, writer):
            pass

    async def pass_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await _message(reader)
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            downstream.write(request)
            answer = await _message(upstream)
        finally:
            downstream.close()
        method, path, _ = request.split(b" ", 2)
        if method != b"GET":
            self.writes += 1
            if self.writes % self.cut_each == 0:
                self.cuts.append(f"{method.decode()} {path.decode()}")
                writer.write(answer[: self.cut_after])
                return False
        writer.write(answer)
        return True


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read a head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, [])
    server.start()
    yield server
    server.kill()


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Child]:
    with children(tmp_path) as starter:
        api = starter.api(server.url)
        api.ready()
        yield api


@asynccontextmanager
async def proxied(api: Child, cut_each: int, cut_after: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(int(api.url.rpartition(":")[2]), cut_each, cut_after)
    async with listening(proxy.handle) as port:
        proxy.url = f"http://127.0.0.1:{port}"
        yield proxy


@pytest.mark.parametrize("cut_after", [0, 40])
async def test_a_client_whose_answers_are_cut_gets_each_job_once(
    server: Server, api: Child, cut_after: int
) -> None:
    """Half of all answers to writes are lost after they ran: no call fails, each ran once."""
    async with proxied(api, 2, cut_after) as proxy, AsyncClient(proxy.url) as client:
        ids = []
        for number in range(10):
            fields = {**JOB, "request_id": f"r{number}", "callback": f"http://127.0.0.1:9/{number}"}
            job = await client.submit("vm", **fields)
            ids.append(job["ID"])
        assert ids == list(range(1, 11))
        assert sum(cut.startswith("POST") for cut in proxy.cuts) >= 5
        for number in range(10):
            await client.transition("vm", f"r{number}", "running")
            await client.withdraw("vm", f"r{number}")
        assert any(cut.startswith("DELETE") for cut in proxy.cuts)
        assert [job async for job in client.jobs("vm")] == []
    redis = connect(server.url)
    assert isinstance(redis, Redis)
    assert await audit(redis, "vm") == []
    left = [key for key in await key_names(redis) if ":job:" in key or ":submit_keys" in key]
    assert left == []
    events: Any = await redis.xrange("rqb:{vm}:events")
    assert [fields["status"] for _, fields in events].count("deleted") == 10
    await redis.aclose()


async def test_a_second_client_is_refused_all_the_same(api: Child) -> None:
    """The retry is the first client's alone: another one's submit of the name stays a 409."""
    async with (
        proxied(api, 1_000, 0) as proxy,
        AsyncClient(proxy.url) as client,
        AsyncClient(api.url) as other,
    ):
        job = await client.submit("vm", request_id="d", **JOB)
        with pytest.raises(errors.DuplicateRequestId) as refused:
            await other.submit("vm", request_id="d", **JOB)
        del job["Warning"]  # of the type, which has no host
        assert refused.value.details == {"same": True, "data": job}


async def test_without_retries_the_loss_is_the_callers(api: Child) -> None:
    """With `retries=0` a cut answer raises; the job is there, and its own key returns it."""
    async with proxied(api, 1, 0) as proxy, AsyncClient(proxy.url, retries=0) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.submit("vm", idempotency_key="k", request_id="d", **JOB)
    async with AsyncClient(api.url) as client:
        job = await client.submit("vm", idempotency_key="k", request_id="d", **JOB)
        assert job["ID"] == 1
