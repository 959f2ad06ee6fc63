"""Fixtures of all tests: a test that takes `client` runs on fakeredis and on a real server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis
from standins.keystone_server import Keystone

from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect, in_memory
from rq_broker.store.embedded import Server
from tests.couriers import SLOTS

# How long an example takes says more of the machine's load than of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In CI, run on fakeredis the store's tests only: what differs from a server is the store's."""
    if os.environ.get("CI") == "true":
        left_out = [item for item in items if _is_left_to_developers(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _is_left_to_developers(item)]


def _is_left_to_developers(item: pytest.Item) -> bool:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    values = getattr(getattr(item, "callspec", None), "params", {}).values()
    return folder != "store" and any(value == "fake" for value in values)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape lone surrogates in a report: pytest-xdist ends the whole run on one."""
    report = yield
    text = str(report.longrepr) if report.failed else ""
    if text != (escaped := _printable(text)):
        report.longrepr = escaped
    report.sections = [(name, _printable(section)) for name, section in report.sections]
    return report


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # With an append-only file it would wait for the disk, at times longer than a call may take.
    server = Server(Path(tmp_path_factory.mktemp("redis")), ["--appendonly", "no"])
    server.start()
    yield server
    server.stop()


async def _empty(server: Server) -> Redis:
    """Empty a server; return a client of it."""
    client = connect(server.url)
    assert isinstance(client, Redis)
    await client.flushall()
    return client


async def _close(client: Redis) -> None:
    """End what brokers of the test still do, then close: what dials anew would outlive the loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.aclose()


@pytest.fixture
async def real_client(redis_server: Server) -> AsyncIterator[Redis]:
    client = await _empty(redis_server)
    yield client
    await _close(client)


@pytest.fixture(params=["fake", "real"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    if request.param == "real":
        client = await _empty(request.getfixturevalue("redis_server"))
    else:
        client = in_memory()
    yield client
    await _close(client)


@pytest.fixture
async def broker(client: Redis) -> AsyncIterator[Broker]:
    broker = Broker(client)
    yield broker
    await broker.aclose()


@pytest.fixture
def slots() -> asyncio.Semaphore:
    """Return the slots that the couriers of one process share."""
    return asyncio.Semaphore(SLOTS)


@pytest.fixture(scope="session")
def keystone_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    keystone = Keystone(tmp_path_factory.mktemp("keystone"))
    yield keystone
    keystone.stop()


@pytest.fixture
def clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write a clouds.yaml with one cloud, `lab`."""

    def write(**settings: Any) -> None:
        path = tmp_path / "clouds.yaml"
        path.write_text(json.dumps({"clouds": {"lab": settings}}))
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))

    return write
