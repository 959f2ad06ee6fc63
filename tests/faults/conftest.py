"""Fixtures of the tests that break real servers and processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from tests.processes import Children, children


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Children]:
    """Return a starter of processes, which are killed at the end of the test."""
    with children(tmp_path) as starter:
        yield starter


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Server]:
    """Start a redis-server of the test's own."""
    server = Server(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Start a server that acknowledges a write only once it is on disk."""
    server = Server(tmp_path, ["--appendfsync", "always"])
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def lasting(server: Server) -> AsyncIterator[Broker]:
    """Make the broker that keeps running while its server is killed."""
    broker = Broker(connect(server.url))
    yield broker
    await broker.aclose()
