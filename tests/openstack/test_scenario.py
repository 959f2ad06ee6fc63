"""The seed's own scenario: wait, be called back, boot where it was granted, be seen, end."""

from __future__ import annotations

from typing import Any

import pytest
from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker
from openstack_cloud.everyday_client import EverydayClient

from tests.openstack.jobs import INSTANCE, Jobs, free, held, used


@pytest.mark.parametrize("kind", ["password", "application credential"])
def test_jobs_boot_where_they_were_granted_and_end(
    kind: str, cloud: Cloud, broker: Broker, user: EverydayClient
) -> None:
    """Ten jobs, more than fit at once, each boot on the granted host, are seen in use and end."""
    if kind == "application credential":
        broker.start_notifiers(lab=cloud.application_credential("broker"))
    for number in range(10):
        user.submit(broker.client, TYPE, f"job{number}", instances=[INSTANCE], project="lab")
    seen_in_use: set[str] = set()

    def all_done() -> bool:
        seen_in_use.update(host for host in broker.hosts() if used(broker, host))
        return int(broker.client.types()[TYPE]["done"]) == 10

    broker.wait_for(all_done, "ten jobs to be done", seconds=300)
    broker.wait_for(lambda: not any(used(broker, host) for host in cloud.hosts), "nothing in use")
    assert user.refusals == []
    assert len(seen_in_use) >= 2
    # What the last jobs held is free with the first snapshot begun after they were done.
    broker.wait_for(lambda: not any(held(broker, host) for host in cloud.hosts), "nothing held")
    assert broker.audit()[0] == 0


def test_a_hold_ends_when_the_server_is_seen(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """The hold of a job is replaced by its server's usage, and free capacity is counted once."""
    (host,) = jobs.granted("job")
    assert held(broker, host) == 2
    server = cloud.boot("job", host)
    broker.client.transition(TYPE, "job", "running", servers=[server.id])
    broker.wait_for(lambda: (held(broker, host), used(broker, host)) == (0, 2), "the server seen")
    assert free(broker, host) == 2
    cloud.delete(server)
    broker.client.transition(TYPE, "job", "done")
    broker.wait_for(lambda: free(broker, host) == 4, "the host free again")


def test_an_aggregate_is_asked_for_by_its_name(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """A job that asks for an aggregate is granted on a host of it only."""
    cloud.aggregate("gold", "c3")
    broker.wait_for(lambda: broker.hosts()["c3"]["aggregates"] == ["gold"], "the name gold")
    assert jobs.granted("first", 2, host_aggregate="gold") == ["c3", "c3"]
    jobs.submit("second", host_aggregate="gold")
    job: Any = broker.client.read(TYPE, "second")
    assert job["Status"] == "queued"
    assert job["Reason"]


def test_other_tenants_are_counted(cloud: Cloud, broker: Broker) -> None:
    """Servers that no job has started make their host less free."""
    server = cloud.boot("other", "c2")
    broker.wait_for(lambda: free(broker, "c2") == 2, "the other's server")
    cloud.delete(server)
    broker.wait_for(lambda: free(broker, "c2") == 4, "its end")
