"""Names of aggregates that cannot be read are told, and those known before are kept."""

from __future__ import annotations

from typing import Any

from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker

from tests.openstack.jobs import Jobs, troubles


def reason(broker: Broker, name: str) -> str:
    """Return why a job waits."""
    job: Any = broker.client.read(TYPE, name)
    return str(job.get("Reason"))


def test_a_role_that_may_not_read_names_is_told(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """A `service` role reads hosts but no names: /readyz, log, metrics and Reason say so."""
    uuid = cloud.aggregate("gold", "c1")
    broker.start_notifiers(lab=cloud.login_as("service"))
    broker.wait_for(lambda: "aggregates" in troubles(broker), "the lost names in /readyz")
    assert broker.hosts().keys() == cloud.hosts.keys()
    broker.wait_for(lambda: bool(broker.hosts()["c1"]["aggregates"]), "an aggregate on c1")
    assert broker.hosts()["c1"]["aggregates"] in (["gold"], [uuid])
    jobs.submit("silver", host_aggregate="silver")
    broker.wait_for(lambda: "names of aggregates" in reason(broker, "silver"), "the Reason")
    assert "aggregates" in broker.log()
    assert "rq_broker_sources_in_trouble 1.0" in broker.metrics()


def test_known_names_stay_while_nova_is_away(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """A notifier that starts while Nova's API is down keeps the names that are known, and tells."""
    cloud.aggregate("gold", "c2")
    broker.wait_for(lambda: broker.hosts()["c2"]["aggregates"] == ["gold"], "the name gold")
    cloud.stop("nova-api")
    broker.start_notifiers()
    broker.wait_for(lambda: "aggregates" in troubles(broker), "the lost names in /readyz")
    assert broker.hosts()["c2"]["aggregates"] == ["gold"]
    assert jobs.granted("job", host_aggregate="gold") == ["c2"]
    cloud.start("nova-api")
    broker.wait_for(lambda: "aggregates" not in troubles(broker), "no trouble any more")


def test_a_renamed_aggregate_is_known_by_its_new_name(cloud: Cloud, broker: Broker) -> None:
    """The new name of an aggregate replaces the old one within a snapshot."""
    cloud.aggregate("gold", "c2")
    broker.wait_for(lambda: broker.hosts()["c2"]["aggregates"] == ["gold"], "the name gold")
    found = cloud.operator.compute.find_aggregate("gold", ignore_missing=False)
    cloud.operator.compute.update_aggregate(found, name="brass")
    broker.wait_for(lambda: broker.hosts()["c2"]["aggregates"] == ["brass"], "the name brass")
