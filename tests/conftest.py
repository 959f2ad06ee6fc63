"""One suite, two stores: a test that takes `client` runs on fakeredis and on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect, in_memory
from rq_broker.store.embedded import Server
from tests.couriers import SLOTS


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Path(tmp_path_factory.mktemp("redis")))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def real_client(redis_server: Server) -> AsyncIterator[Redis]:
    client = connect(redis_server.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "real"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    if request.param == "real":
        server = request.getfixturevalue("redis_server")
        client = connect(server.url)
        await client.flushall()
    else:
        client = in_memory()
    yield client
    await client.aclose()


@pytest.fixture
async def broker(client: Redis) -> Broker:
    return Broker(client)


@pytest.fixture
def slots() -> asyncio.Semaphore:
    """Make what the couriers of one process share."""
    return asyncio.Semaphore(SLOTS)
