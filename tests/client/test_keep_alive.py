"""How long the client keeps idle connections."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from rq_broker.client import AsyncClient, connections as module
from rq_broker.settings import Settings
from tests.api.server.serving import serving


def test_the_client_gives_up_connections_before_the_server() -> None:
    """A call never meets a connection that the server closes in the same second."""
    assert Settings().keep_alive / 2 >= module.KEEP_ALIVE_SECONDS
    assert module.LIMITS.keepalive_expiry == module.KEEP_ALIVE_SECONDS


@pytest.mark.parametrize(("seconds", "connections"), [(30.0, 1), (0.01, 2)])
async def test_an_idle_connection_is_given_up(
    monkeypatch: pytest.MonkeyPatch, seconds: float, connections: int
) -> None:
    """A second call uses the first one's connection, unless that was idle for too long."""
    monkeypatch.setattr(module, "LIMITS", httpx.Limits(keepalive_expiry=seconds))
    async with serving() as served, AsyncClient(f"http://127.0.0.1:{served.port}") as client:
        for _ in range(2):
            await client.types()
            await asyncio.sleep(0.05)
    assert len(set(served.clients)) == connections
