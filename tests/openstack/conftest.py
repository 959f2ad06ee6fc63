"""One whole small OpenStack for all tests, mended after each; a broker of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack_cloud import Cloud, nova, services
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.everyday_client import EverydayClient

from tests.openstack.jobs import SIZE, Jobs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let openstacksdk warn: its own code uses what it has deprecated."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for kind in ("PendingDeprecationWarning", "openstack.warnings.LegacyAPIWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))


@pytest.fixture(scope="session")
def whole_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("openstack")) as cloud:
        nova.flavor(cloud.operator, *SIZE)
        yield cloud


@pytest.fixture
def cloud(whole_cloud: Cloud) -> Iterator[Cloud]:
    """Return the cloud with four empty hosts; what a test changes is undone at its end."""
    yield whole_cloud
    for name in (*services.NAMES, *whole_cloud.hosts):
        if not whole_cloud.runs(name):
            whole_cloud.start(name)
    for host, service in nova.compute_services(whole_cloud.operator).items():
        if service.is_forced_down:
            whole_cloud.force_down(host, False)
        if service.status == "disabled":
            whole_cloud.enable(host)
    whole_cloud.delete_all()
    for aggregate in whole_cloud.operator.compute.aggregates():
        whole_cloud.drop_aggregate(aggregate.name)
    whole_cloud.wait_for_hosts(*whole_cloud.hosts)


@pytest.fixture
def logins(cloud: Cloud) -> dict[str, Any]:
    """Return the clouds that the broker's sources log in to; a test may have its own."""
    return {"lab": cloud.login_as("broker")}


@pytest.fixture
def broker(cloud: Cloud, logins: dict[str, Any], tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", logins) as broker:
        broker.wait_for_hosts(*cloud.hosts)
        broker.client.set_policy(TYPE, holds="until_seen", retention=3600, settle=600)
        yield broker


@pytest.fixture
def jobs(broker: Broker) -> Iterator[Jobs]:
    jobs = Jobs(broker)
    yield jobs
    jobs.callbacks.shutdown()
    jobs.callbacks.server_close()


@pytest.fixture
def user(cloud: Cloud, broker: Broker) -> Iterator[EverydayClient]:
    """Return a client that boots on the hosts it is granted, and deletes soon."""
    user = EverydayClient(broker.url, cloud.operator, cloud.image, lambda: 2.0)
    yield user
    user.close()
