"""A client that dies with its grant: who is reminded, when its capacity is free, what stays."""

from __future__ import annotations

from typing import Any

from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker

from tests.openstack.jobs import Jobs, held, used

WHOLE_HOST = {"VCPU": 4, "Memory": 2048, "Disk": 10}


def code_of(broker: Broker, job: str) -> str:
    """Return the code of what is wrong with a job; '' for nothing."""
    return str((broker.explain(job)["reason"] or {}).get("code", ""))


def test_a_dead_client_is_told_of_and_loses_its_capacity_but_not_its_server(
    cloud: Cloud, broker: Broker, jobs: Jobs
) -> None:
    """Who waits is told which job is overdue; the policy's `running` ends that job; the next one is
    granted, but not where the dead client's server still runs, which nobody deletes for it."""
    broker.client.set_policy(TYPE, running=25)
    hosts = jobs.granted("dead", 4, instance=WHOLE_HOST)
    assert {*hosts} == cloud.hosts.keys()
    server = cloud.boot("dead", hosts[0])
    broker.client.set_expected(TYPE, "dead", 2)
    broker.client.transition(TYPE, "dead", "running", servers=[server.id])
    jobs.submit("next", 3, instance=WHOLE_HOST)
    broker.wait_for(lambda: code_of(broker, "dead") == "still_running", "the reminder")
    holders: Any = broker.explain("next")["holders"]
    assert {(holder["request_id"], holder["overdue"]) for holder in holders} == {("dead", True)}
    ended = broker.wait_for_status("dead", "error")
    assert ended["Error"] == "running time ended without renewal"
    granted = broker.wait_for_status("next", "running")
    assert {*granted["Hosts"]} == {*hosts[1:]}
    broker.wait_for(lambda: held(broker, hosts[0]) == 0, "nothing held for the dead one")
    assert used(broker, hosts[0]) == 2
