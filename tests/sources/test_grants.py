"""Placement's figures decide grants: a poller's snapshots, and the grants made on them."""

from __future__ import annotations

from uuid import uuid4

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from standins.placement_server import Placement

from rq_broker.admission.granter import Granter
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.sources.feeds import Feed
from rq_broker.sources.placement import PlacementSource
from rq_broker.sources.poller import Poller
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.explaining import reason_of
from tests.making import TYPE, shape, submit

SIZE = {"VCPU": 4, "MEMORY_MB": 4096}


@pytest.fixture
def broker(real_client: Redis) -> Broker:
    return Broker(real_client)


@pytest.fixture
def poller(broker: Broker, source: PlacementSource) -> Poller:
    return Poller(broker, Feed("placement", TYPE, 0.0, source))


async def granted(broker: Broker) -> list[str]:
    await Granter(broker, TYPE).run_once()
    return [job.request_id for job in (await broker.page(TYPE, status="granted")).jobs]


async def test_a_job_is_granted_when_it_fits_and_not_before(
    broker: Broker, placement: Placement, poller: Poller
) -> None:
    """The job waits while hosts are full, disabled or too small; a deletion grants it."""
    full, off = placement.add("cn1", **SIZE), placement.add("cn2", **SIZE)
    small = placement.add("cn3", **SIZE)
    servers = [str(uuid4()), str(uuid4())]
    placement.boot(servers[0], **{full: {"VCPU": 3}})
    placement.traits(off, "COMPUTE_STATUS_DISABLED")
    placement.inventory(small, {"VCPU": {"total": 4, "max_unit": 1}, "MEMORY_MB": {"total": 4096}})
    job = await submit(broker, shape=shape({"VCPU": 2, "Memory": 1}))
    await poller.run_once()
    assert await granted(broker) == []
    text = await reason_of(broker, job)
    assert text is not None
    assert text.startswith("needs VCPU 2 on one host; the most free is 1 on cn1")
    placement.delete(servers[0])
    await poller.run_once()
    assert await granted(broker) == ["d"]
    assert (await broker.read(TYPE, "d")).hosts == ("cn1",)


async def test_published_hosts_serve_beside_placements(
    broker: Broker, placement: Placement, poller: Poller
) -> None:
    """Hosts of Placement and a published host serve one queue; neither replaces the other."""
    placement.add("cn1", **SIZE)
    await broker.set_host(TYPE, Host("byhand", {"VCPU": 1}))
    for name in ("d", "e"):
        await submit(broker, name, shape=shape({"VCPU": 4} if name == "d" else {"VCPU": 1}))
    await poller.run_once()
    assert sorted(await granted(broker)) == ["d", "e"]
    assert [host.name for host in await broker.hosts(TYPE)] == ["byhand", "cn1"]


async def test_nested_providers_are_granted_as_devices(
    broker: Broker, real_client: Redis, placement: Placement, poller: Poller
) -> None:
    """Placement accepts each grant on the card that it names; what no card holds waits."""
    placement.call("PUT", "/resource_classes/CUSTOM_CARD")
    root = placement.add("cn1", **SIZE)
    cards = [placement.add_child(root, f"cn1-card{n}", CUSTOM_CARD=4) for n in range(3)]
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    wanted = shape({"CUSTOM_CARD": 3})
    for name in "abcd":
        await submit(broker, name, shape=wanted)
    await poller.run_once()
    assert await granted(broker) == ["a", "b", "c"]
    servers = {}
    for name in "abc":
        (choice,) = (await broker.read(TYPE, name)).devices
        (number,) = choice["CUSTOM_CARD"]
        servers[name] = str(uuid4())
        placement.boot(servers[name], **{cards[number]: {"CUSTOM_CARD": 3}})
        await broker.transition(TYPE, name, Status.RUNNING, servers=(servers[name],))
    await poller.run_once()
    host = await broker.host(TYPE, "cn1")
    assert (host.device_held, host.device_used) == ({}, {"CUSTOM_CARD": (3, 3, 3)})
    assert await audit(real_client, TYPE) == []
    text = await reason_of(broker, await broker.read(TYPE, "d"))
    assert text is not None
    assert "no single device has 3 free; the largest has 1 on cn1" in text
    placement.delete(servers["b"])
    await broker.transition(TYPE, "b", Status.DONE)
    await poller.run_once()
    assert await granted(broker) == ["d"]


async def test_any_aggregate_is_placements_member_of_any(
    broker: Broker, placement: Placement, poller: Poller
) -> None:
    """A job of any of two aggregates gets exactly the hosts that Placement lists for member_of."""
    groups = [str(uuid4()) for _ in range(3)]
    for number, group in enumerate(groups):
        placement.aggregates(placement.add(f"cn{number}", **SIZE), group)
    placement.add("cn9", **SIZE)
    listed = placement.call("GET", f"/resource_providers?member_of=in:{groups[0]},{groups[2]}")
    wanted = replace(shape({"VCPU": 4}, {"VCPU": 4}).demand, any_aggregate=(groups[0], groups[2]))
    wanted = replace(wanted, any_aggregate=tuple(sorted(wanted.any_aggregate)))
    for name in "ab":
        await submit(broker, name, shape=replace(shape(), demand=wanted))
    await poller.run_once()
    assert await granted(broker) == ["a"]
    hosts = (await broker.read(TYPE, "a")).hosts
    assert sorted(hosts) == sorted(each["name"] for each in listed["resource_providers"])
