"""What Nova adds to Placement's hosts: computes that are up, and names; what holds without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from standins.http_servers import Server
from standins.placement_server import Placement

from rq_broker.domain.capacity import Host
from rq_broker.sources.nova import NAMES, STATES
from rq_broker.sources.placement import PlacementSource
from rq_broker.sources.source import SourceSnapshot
from tests.sources import nova_server
from tests.sources.nova_server import DISABLED, DOWN, UNLISTED, Compute

SIZE = {"VCPU": 8}


def names(snapshot: SourceSnapshot) -> set[str]:
    return {host.name for host in snapshot.hosts}


def labels(snapshot: SourceSnapshot) -> dict[str, set[str]]:
    return {host.name: set(host.aggregates) for host in snapshot.hosts}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (DOWN, {"cn2": "down"}),
        (DISABLED, {"cn2": "disabled"}),
        (UNLISTED, {"cn2": "Nova does not say that it is up"}),
    ],
)
async def test_a_compute_that_takes_no_work_takes_its_host_out_within_a_snapshot(
    placement: Placement,
    source: PlacementSource,
    computes: dict[str, Compute],
    state: Compute,
    why: dict[str, str],
) -> None:
    """Down, disabled or gone from Nova: its host is out, its shares too, until it is up again; the
    snapshot says which and why."""
    for name in ("cn1", "cn2"):
        provider = placement.add(name, **SIZE)
    server = str(uuid4())
    placement.boot(server, **{provider: {"VCPU": 1}})
    watch = frozenset({server})
    assert names(await source.snapshot(watch)) == {"cn1", "cn2"}
    computes["cn2"] = state
    snapshot = await source.snapshot(watch)
    assert (names(snapshot), snapshot.consumers, snapshot.unread) == ({"cn1"}, {server: {}}, {})
    assert snapshot.out_of_service == why
    computes.clear()
    snapshot = await source.snapshot(watch)
    assert (names(snapshot), snapshot.out_of_service) == ({"cn1", "cn2"}, {})
    assert snapshot.consumers == {server: {("cn2", "VCPU"): 1}}


async def test_a_host_that_placement_leaves_out_is_told_by_nova(
    placement: Placement, source: PlacementSource, nova_answers: dict[str, Any]
) -> None:
    """Nova marks a disabled compute by a trait, by which Placement leaves its host out; Nova's list
    still has it. Its last word stays while it cannot be asked."""
    open_ = placement.add("cn1", **SIZE)
    listed = [
        {"id": open_, "hypervisor_hostname": "cn1", "state": "up", "status": "enabled"},
        {"id": "2", "hypervisor_hostname": "cn2", "state": "up", "status": "disabled"},
    ]
    nova_answers["/os-hypervisors"] = {"hypervisors": listed}
    assert (await source.snapshot()).out_of_service == {"cn2": "disabled"}
    nova_answers["/os-hypervisors"] = {"hypervisors": None}
    snapshot = await source.snapshot()
    assert (snapshot.out_of_service, [*snapshot.unread]) == ({"cn2": "disabled"}, [STATES])


async def test_all_pages_of_computes_are_read(
    placement: Placement,
    source: PlacementSource,
    nova: Server,
    nova_answers: dict[str, Any],
    computes: dict[str, Compute],
) -> None:
    """A page that lacks a compute whose service was deleted has no link, and is not the last."""
    nova.answer = nova_server.nova_of(placement, nova_answers, computes, page=2)
    for number in range(5):
        placement.add(f"cn{number}", **SIZE)
    await source.snapshot()
    computes["cn1"] = UNLISTED
    assert len((await source.snapshot()).hosts) == 4


@pytest.fixture
def three_hosts(
    placement: Placement, nova_answers: dict[str, Any], computes: dict[str, Compute]
) -> None:
    """Two hosts in aggregates, and one whose compute is down."""
    gold, silver = str(uuid4()), str(uuid4())
    hosts = [placement.add(f"cn{number}", **SIZE) for number in range(3)]
    placement.aggregates(hosts[0], gold, silver)
    placement.aggregates(hosts[1], gold)
    listed = [{"name": "gold", "uuid": gold}, {"name": "silver", "uuid": silver}]
    nova_answers["/os-aggregates"] = {"aggregates": listed}
    computes["cn2"] = DOWN


@pytest.mark.usefixtures("three_hosts")
@pytest.mark.parametrize("fault", ["500", "403", "reset", "not json", "another shape"])
async def test_the_last_word_of_nova_stays_while_it_cannot_be_asked(
    source: PlacementSource, nova: Server, fault: str
) -> None:
    """Whatever goes wrong at Nova: states and names stay, it is told with a cause, and it ends."""
    await source.snapshot()
    nova.fault = fault
    snapshot = await source.snapshot()
    assert labels(snapshot) == {"cn0": {"gold", "silver"}, "cn1": {"gold"}}
    assert snapshot.unread.keys() == {NAMES, STATES}
    assert "as Nova reported them last" in snapshot.unread[STATES]
    nova.fault = ""
    assert not (await source.snapshot()).unread


@pytest.mark.usefixtures("three_hosts")
@pytest.mark.parametrize("fault", ["500", "reset"])
async def test_a_process_that_takes_over_keeps_what_the_other_one_knew(
    source: PlacementSource, nova: Server, fault: str
) -> None:
    """While Nova is away a dead compute stays out and names stay, in a process that is new."""
    before = await source.snapshot()
    nova.fault = fault
    source.recall(before.hosts)
    snapshot = await source.snapshot()
    assert labels(snapshot) == {"cn0": {"gold", "silver"}, "cn1": {"gold"}}
    assert "the hosts of the last snapshot stay" in snapshot.unread[STATES]


async def test_a_nova_that_refuses_leaves_the_decision_to_placement(
    placement: Placement, source: PlacementSource, nova: Server
) -> None:
    """Where Nova never answered and will not, every host of Placement's is in, also a new one."""
    placement.add("cn1", **SIZE)
    nova.fault = "403"
    source.recall((Host("cn1", SIZE),))
    placement.add("cn2", **SIZE)
    snapshot = await source.snapshot()
    assert names(snapshot) == {"cn1", "cn2"}
    assert "every host of Placement's counts as up (refused: compute" in snapshot.unread[STATES]


async def test_a_nova_that_has_none_of_the_hosts_is_doubted(
    placement: Placement, source: PlacementSource, nova_answers: dict[str, Any]
) -> None:
    """A list of another cloud's computes takes no host out; it is told as a misconfiguration."""
    placement.add("cn1", **SIZE)
    other = {"id": str(uuid4()), "state": "up", "status": "enabled"}
    nova_answers["/os-hypervisors"] = {"hypervisors": [other]}
    snapshot = await source.snapshot()
    assert names(snapshot) == {"cn1"}
    assert "misconfigured: compute lists none of Placement's 1 hosts" in snapshot.unread[STATES]


async def test_without_nova_nothing_is_asked_or_missed(
    placement: Placement, proxy: Server, nova: Server, clouds: Callable[..., None]
) -> None:
    """`nova = false` is for clouds whose Nova this login may not read: nothing is told then."""
    clouds(
        auth_type="admin_token",
        auth={"endpoint": proxy.url, "token": "admin"},
        compute_endpoint_override=nova.url,
    )
    aggregate = str(uuid4())
    placement.aggregates(placement.add("cn1", **SIZE), aggregate)
    source = PlacementSource(cloud="lab", nova=False)
    snapshot = await source.snapshot()
    assert (labels(snapshot), snapshot.unread, nova.log) == ({"cn1": {aggregate}}, {}, [])
    await source.close()
