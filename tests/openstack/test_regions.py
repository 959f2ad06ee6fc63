"""Several regions and clouds in one installation: one type fed by two, two types by one each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from openstack.connection import Connection
from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.identity import Login
from openstack_cloud.layout import OTHER_REGION, REGION

from tests.openstack.jobs import Jobs

THERE = ("d1", "d2")
"""Hosts of the other region, which has a Placement and no Nova."""


def add_provider(connection: Connection, name: str, **totals: int) -> None:
    """Add a host to a Placement without a Nova."""
    placement, uuid = connection.placement, str(uuid4())
    placement.post("/resource_providers", json={"name": name, "uuid": uuid})
    inventories = {key: {"total": total, "max_unit": total} for key, total in totals.items()}
    body = {"resource_provider_generation": 0, "inventories": inventories}
    placement.put(f"/resource_providers/{uuid}/inventories", json=body)


def both_regions(cloud: Cloud) -> Login:
    """Return a login that is good for both regions; each source says which one it means."""
    login = cloud.login_as("broker")
    del login["region_name"]
    return {**login, "regions": [REGION, OTHER_REGION]}


@pytest.fixture
def regions(cloud: Cloud) -> Iterator[Cloud]:
    """Return the cloud with its second region up, which has two hosts."""
    cloud.start("placement2")
    with cloud.connect("broker", region=OTHER_REGION) as there:
        for name in THERE:
            add_provider(there, name, VCPU=4, MEMORY_MB=8192, DISK_GB=100)
        yield cloud
        for provider in there.placement.get("/resource_providers").json()["resource_providers"]:
            there.placement.delete(f"/resource_providers/{provider['uuid']}")
    cloud.stop("placement2")


def test_one_type_is_fed_by_two_regions(regions: Cloud, tmp_path: Path) -> None:
    """Two sources feed one type: a gang larger than a region is granted in both."""
    tables = [
        {"cloud": "lab", "region": REGION, "name": "here"},
        {"cloud": "lab", "region": OTHER_REGION, "name": "there"},
    ]
    with Broker(tmp_path / "broker", {"lab": both_regions(regions)}, tables) as broker:
        broker.wait_for_hosts(*regions.hosts, *THERE)
        hosts = Jobs(broker).granted("large", 2 * (len(regions.hosts) + len(THERE)))
        assert {*hosts} == {*regions.hosts, *THERE}
        regions.stop("placement2")
        broker.wait_for(
            lambda: {source["name"] for source in broker.sources() if source["cause"]} >= {"there"},
            "the source there to fail",
        )
        assert broker.hosts().keys() == {*regions.hosts, *THERE}
        regions.start("placement2")


def test_one_type_is_fed_by_two_clouds(regions: Cloud, tmp_path: Path) -> None:
    """Two clouds of clouds.yaml, each with a login of its own, feed one type: a gang spans both."""
    logins = {
        "here": regions.login_as("broker"),
        "there": {**regions.application_credential("broker"), "region_name": OTHER_REGION},
    }
    tables = [{"cloud": name, "name": name} for name in logins]
    with Broker(tmp_path / "broker", logins, tables) as broker:
        broker.wait_for_hosts(*regions.hosts, *THERE)
        hosts = Jobs(broker).granted("large", 2 * (len(regions.hosts) + len(THERE)))
        assert {*hosts} == {*regions.hosts, *THERE}
        broker.start_notifiers(there={**logins["there"], "region_name": "nowhere"})
        broker.wait_for(
            lambda: {source["name"] for source in broker.sources() if source["cause"]} == {"there"},
            "the other cloud alone to fail",
        )
        assert broker.hosts().keys() == {*regions.hosts, *THERE}


def test_two_types_are_fed_by_a_region_each(regions: Cloud, tmp_path: Path) -> None:
    """Each of two types has the hosts of its own region, and grants there only."""
    tables = [
        {"cloud": "lab", "region": REGION},
        {"type": "bench", "cloud": "lab", "region": OTHER_REGION},
    ]
    with Broker(tmp_path / "broker", {"lab": both_regions(regions)}, tables) as broker:
        broker.wait_for_hosts(*regions.hosts)
        broker.wait_for_hosts(*THERE, type_="bench")
        assert {*Jobs(broker).granted("job", 4, type_="bench")} == {*THERE}
        assert {*Jobs(broker).granted("job", 8)} == {*regions.hosts}
        assert TYPE in broker.client.types()
