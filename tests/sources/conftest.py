"""One Placement service for all tests, emptied before each, behind a proxy that can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from standins.http_servers import Server, forward
from standins.placement_server import Placement

from rq_broker.sources.placement import PlacementSource
from tests.sources.nova_server import Compute, nova_of


@pytest.fixture(scope="session")
def placement_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placement]:
    placement = Placement(tmp_path_factory.mktemp("placement"))
    yield placement
    placement.stop()


@pytest.fixture
def placement(placement_process: Placement) -> Placement:
    if placement_process.child.poll() is not None:  # a test that failed left it down
        placement_process.start()
    placement_process.clear()
    return placement_process


@pytest.fixture
def proxy(placement: Placement) -> Iterator[Server]:
    server = Server(forward(lambda: placement.client))
    yield server
    server.stop()


@pytest.fixture
def nova_answers() -> dict[str, Any]:
    return {"/os-aggregates": {"aggregates": []}}


@pytest.fixture
def computes() -> dict[str, Compute]:
    """Hosts whose compute is not up and enabled."""
    return {}


@pytest.fixture
def nova(
    placement: Placement, nova_answers: dict[str, Any], computes: dict[str, Compute]
) -> Iterator[Server]:
    server = Server(nova_of(placement, nova_answers, computes))
    yield server
    server.stop()


@pytest.fixture
async def source(
    proxy: Server, nova: Server, clouds: Callable[..., None]
) -> AsyncIterator[PlacementSource]:
    clouds(
        auth_type="admin_token",
        auth={"endpoint": proxy.url, "token": "admin"},
        compute_endpoint_override=nova.url,
    )
    source = PlacementSource(cloud="lab", timeout=60, connections=4)
    yield source
    await source.close()
