"""Several clouds in one installation: one type of two sources, two types of two regions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.sources import Source, SourceSnapshot, Unreachable
from rq_broker.sources.feeds import Feed
from rq_broker.sources.poller import Poller
from rq_broker.store.broker import Broker
from tests.making import TYPE, planned_grant, submit


class Region(Source):
    """A cloud with some hosts, and servers on them."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = hosts
        self.servers: Mapping[str, Mapping[tuple[str, str], int]] = {}
        self.away = False

    async def snapshot(self, watch: frozenset[str] = frozenset()) -> SourceSnapshot:
        if self.away:
            raise Unreachable("away")
        return SourceSnapshot(self.hosts, {name: self.servers.get(name, {}) for name in watch})


@pytest.fixture
def east() -> Region:
    return Region(Host("e1", {"VCPU": 4}), Host("both", {"VCPU": 1}))


@pytest.fixture
def west() -> Region:
    return Region(Host("w1", {"VCPU": 8}), Host("both", {"VCPU": 2}))


def poller(broker: Broker, name: str, region: Region, type_: str = TYPE) -> Poller:
    return Poller(broker, Feed(name, type_, 0.0, region))


async def capacities(broker: Broker, type_: str = TYPE) -> dict[str, int]:
    return {
        host.name: host.capacity["VCPU"] for host in await broker.hosts(type_) if not host.dropped
    }


async def test_one_type_has_the_hosts_of_both_sources(
    broker: Broker, east: Region, west: Region
) -> None:
    """Of a name in both the first one's host stays, and the other source counts a clash."""
    first, second = poller(broker, "east", east), poller(broker, "west", west)
    for _ in range(2):
        await first.run_once()
        await second.run_once()
        assert await capacities(broker) == {"e1": 4, "w1": 8, "both": 1}
    states = {state.name: state for state in await broker.sources(TYPE)}
    assert (states["east"].clashes, states["west"].clashes) == (0, 1)
    # When the first no longer has it, the other one's is taken.
    east.hosts = east.hosts[:1]
    await first.run_once()
    await second.run_once()
    assert await capacities(broker) == {"e1": 4, "w1": 8, "both": 2}


async def test_a_source_that_is_away_takes_nothing_from_the_other(
    broker: Broker, east: Region, west: Region
) -> None:
    """The hosts of both stay while one is away; each source has its own cause."""
    first, second = poller(broker, "east", east), poller(broker, "west", west)
    await first.run_once()
    await second.run_once()
    west.away, east.hosts = True, (Host("e2", {"VCPU": 4}),)
    await second.run_once()
    await first.run_once()
    assert await capacities(broker) == {"e2": 4, "w1": 8}
    causes = {state.name: state.cause for state in await broker.sources(TYPE)}
    assert causes == {"east": "", "west": "unreachable"}


async def test_a_server_counts_at_the_source_that_sees_it(
    broker: Broker, east: Region, west: Region
) -> None:
    """A snapshot of the source that does not have a server leaves what the other one saw."""
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    first, second = poller(broker, "east", east), poller(broker, "west", west)
    await first.run_once()
    await second.run_once()
    job = await submit(broker)
    assert await broker.grant(TYPE, planned_grant(job, None, "w1"), await broker.type_state(TYPE))
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("s",))
    await first.run_once()
    assert (await broker.host(TYPE, "w1")).held == {"VCPU": 1}
    west.servers = {"s": {("w1", "VCPU"): 1}}
    for each in (second, first, first, second):
        await each.run_once()
        assert (await broker.host(TYPE, "w1")).held == {}


async def test_two_types_have_a_region_each(broker: Broker, east: Region, west: Region) -> None:
    """Hosts of one name in two types are two hosts: what is granted in one is free in the other."""
    await poller(broker, "lab", east).run_once()
    await poller(broker, "lab", west, "west").run_once()
    assert await capacities(broker) == {"e1": 4, "both": 1}
    assert await capacities(broker, "west") == {"w1": 8, "both": 2}
    job = await submit(broker)
    assert await broker.grant(TYPE, planned_grant(job, None, "both"), await broker.type_state(TYPE))
    assert (await broker.host(TYPE, "both")).held == {"VCPU": 1}
    assert (await broker.host("west", "both")).held == {}
