"""What the broker shows while servers boot, and of a gang that others' servers keep waiting."""

from __future__ import annotations

from openstack_cloud import Cloud
from openstack_cloud.broker import TYPE, Broker

from tests.openstack.jobs import Jobs, free, held, used


def test_a_server_that_boots_is_shown_in_transit(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """Between boot and `running` the server counts beside the hold; that is shown as in transit,
    and no host shows less than nothing free."""
    (host,) = jobs.granted("job", instance={"VCPU": 4, "Memory": 2048, "Disk": 10})
    server = cloud.boot("job", host, (4, 2048, 10))
    broker.wait_for(lambda: used(broker, host) == 4, "the server seen")
    assert (held(broker, host), free(broker, host)) == (4, 0)
    assert broker.hosts()[host]["in_transit"]["VCPU"] == 4
    broker.client.transition(TYPE, "job", "running", servers=[server.id])
    broker.wait_for(lambda: held(broker, host) == 0, "the hold to end")
    assert "VCPU" not in broker.hosts()[host]["in_transit"]


def test_a_gang_that_others_block_is_explained(cloud: Cloud, broker: Broker, jobs: Jobs) -> None:
    """`explain` of a gang that waits for others' servers names hosts and what they lack."""
    for host in cloud.hosts:
        cloud.boot(f"other-{host}", host)
    broker.wait_for(lambda: all(used(broker, host) == 2 for host in cloud.hosts), "them in use")
    jobs.submit("gang", 2, instance={"VCPU": 4, "Memory": 2048, "Disk": 10})
    broker.wait_for(lambda: bool(broker.explain("gang").get("hosts")), "hosts in explain")
    explained = broker.explain("gang")
    assert {*explained["hosts"]} <= cloud.hosts.keys()
    assert {shortfall["resource"] for shortfall in explained["shortfalls"]} == {"VCPU"}
    assert {used["amount"] for used in explained["used_by_others"]} == {2}
