"""The embedded store of `rq-broker dev` when it dies alone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from rq_broker.cli import dev
from rq_broker.store.embedded import Server


async def test_a_store_that_was_killed_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill of the store alone is said in a line; it comes back with what it had kept."""
    monkeypatch.setattr(dev, "LOOK_SECONDS", 0.01)
    server = Server(tmp_path / "store", options=dev.STORE_OPTIONS, on_socket=True)
    server.start()
    keeping = asyncio.create_task(dev._keep_running(server))
    try:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "1")
            await asyncio.sleep(0.1)
            first = server.process
            server.kill()
            async with asyncio.timeout(30):
                while server.process is first:
                    await asyncio.sleep(0.02)
            assert client.get("kept") == b"1"
        assert [record.message for record in caplog.records if "has died" in record.message]
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        server.stop()
