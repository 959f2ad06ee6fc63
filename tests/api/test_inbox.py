"""The inbox for callbacks in development."""

from __future__ import annotations

import logging
import tracemalloc

import httpx
import pytest
from msgspec import to_builtins
from starlette.applications import Starlette

from rq_broker.api.inbox import InboxEndpoints
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import JobView

CALLBACK = {
    "type": "job.granted",
    "timestamp": "2026-01-01T00:00:00Z",
    "data": to_builtins(
        JobView.of(Job(1, "vm", "d", "y", "{}", "abc", 1, Status.GRANTED, 1, 1, hosts=("h1", "h2")))
    ),
}


async def test_callbacks_are_kept_newest_first(api: httpx.AsyncClient) -> None:
    """The inbox lists path, headers and body of each callback, the newest first."""
    assert (await api.post("/inbox/abc", json=CALLBACK)).json() == {"data": {}, "ok": True}
    await api.post("/inbox/deep/path/", content=b"not JSON \xff", headers={"webhook-id": "vm_1_1"})
    await api.post("/inbox/nested", content=b"[" * 5000 + b"]" * 5000)
    nested, newest, oldest = (await api.get("/inbox/")).json()["data"]
    assert nested["body"] == "[" * 5000 + "]" * 5000
    assert (newest["path"], newest["body"]) == ("deep/path", "not JSON \ufffd")
    assert newest["headers"]["webhook-id"] == "vm_1_1"
    assert (oldest["path"], oldest["body"]["data"]["RequestID"]) == ("abc", "d")


async def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the inbox is full, the oldest callbacks are dropped."""
    monkeypatch.setattr("rq_broker.api.inbox._CAPACITY", 3)
    transport = httpx.ASGITransport(Starlette(routes=InboxEndpoints().routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        for number in range(5):
            await api.post(f"/inbox/{number}", content=b"{}")
        kept = (await api.get("/inbox")).json()["data"]
    assert [callback["path"] for callback in kept] == ["4", "3", "2"]


async def test_the_inbox_is_bounded_in_bytes() -> None:
    """Bodies are kept as they arrived, and the oldest are dropped before they fill the memory."""
    endpoints = InboxEndpoints()
    transport = httpx.ASGITransport(Starlette(routes=endpoints.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as api:
        body = b"[%b[]]" % (b"[]," * 300_000)
        tracemalloc.start()
        try:
            for number in range(30):
                await api.post(f"/inbox/{number}", content=body)
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        paths = [view["path"] for view in (await api.get("/inbox")).json()["data"]]
    assert paths == [str(number) for number in reversed(range(30 - len(paths), 30))]
    assert 10 < len(paths) < 20
    assert kept < 20 * 2**20


async def test_one_readable_line_is_logged(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Each callback is one log line with its job and its hosts."""
    caplog.set_level(logging.INFO, "rq_broker")
    await api.post("/inbox/abc", json=CALLBACK)
    await api.post("/inbox/x", json={})
    lines = [record.getMessage() for record in caplog.records if "inbox" in record.name]
    assert lines == [
        "callback abc: job.granted for job d of type vm on h1, h2",
        "callback x: not a callback of rq-broker",
    ]
