"""Hosts whose nova-compute is dead, disabled or forced down take no jobs."""

from __future__ import annotations

from openstack_cloud import Cloud
from openstack_cloud.broker import Broker

from tests.openstack.jobs import Jobs, troubles

OTHERS = ("c1", "c2", "c3")


def test_a_killed_compute_is_left_out(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """A host whose nova-compute was killed goes once Nova calls it down, and comes back with it."""
    cloud.kill_compute("c4")
    broker.wait_for_hosts(*OTHERS)
    assert "c4" not in jobs.granted("large", 6)
    cloud.start_compute("c4")
    broker.wait_for_hosts(*OTHERS, "c4")


def test_a_disabled_host_is_left_out(cloud: Cloud, broker: Broker) -> None:
    """A host that its operator disables while it is up goes, and comes back when enabled."""
    cloud.disable("c4")
    broker.wait_for_hosts(*OTHERS)
    cloud.enable("c4")
    broker.wait_for_hosts(*OTHERS, "c4")


def test_a_host_that_is_disabled_while_down_is_left_out(cloud: Cloud, broker: Broker) -> None:
    """A host that was disabled while dead, so that no trait says so, stays out."""
    cloud.kill_compute("c4")
    cloud.disable("c4")
    broker.wait_for_hosts(*OTHERS)


def test_a_host_that_is_forced_down_is_left_out(cloud: Cloud, broker: Broker) -> None:
    """A host that is forced down while its nova-compute runs goes, and comes back when lifted."""
    cloud.force_down("c4")
    broker.wait_for_hosts(*OTHERS)
    cloud.force_down("c4", False)
    broker.wait_for_hosts(*OTHERS, "c4")


def test_a_silent_nova_is_told(cloud: Cloud, broker: Broker) -> None:
    """While Nova cannot be asked, hosts stay as they were known, and /readyz tells it."""
    cloud.kill_compute("c4")
    broker.wait_for_hosts(*OTHERS)
    cloud.stop("nova-api")
    broker.wait_for(lambda: "compute" in troubles(broker), "Nova's silence in /readyz")
    assert broker.hosts().keys() == {*OTHERS}
    cloud.start("nova-api")
    broker.wait_for(lambda: "compute" not in troubles(broker), "no trouble any more")


def test_an_added_host_is_used(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """A host that joins the cloud is found, and granted."""
    cloud.add_compute("c9")
    try:
        broker.wait_for_hosts(*cloud.hosts)
        assert "c9" in jobs.granted("all", 10)
    finally:
        cloud.remove_compute("c9")
