"""set_host.lua: hosts published by hand."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, grant, publish, submit


async def test_a_host_reads_back_as_published(broker: Broker) -> None:
    """Names may have colons and any letters; publishing a host again replaces its fields."""
    host = Host("rack:1", {"GPU:a100": 8, "虛": 1}, {"GPU:a100": 1}, {}, frozenset({"ä", "b:c"}))
    assert await broker.set_host(TYPE, host)
    assert await broker.host(TYPE, "rack:1") == host
    smaller = Host("rack:1", {"VCPU": 2})
    assert not await broker.set_host(TYPE, smaller)
    assert await broker.hosts(TYPE) == [smaller]


async def test_a_dropped_host_can_be_published_again(broker: Broker) -> None:
    """Publishing a dropped host puts it back into service, with its holds."""
    await bring(broker, Status.GRANTED)
    await broker.drop_host(TYPE, "h1")
    assert not await broker.set_host(TYPE, Host("h1", {"VCPU": 2}))
    assert await broker.host(TYPE, "h1") == Host("h1", {"VCPU": 2}, {}, {"VCPU": 1})


async def test_a_shrunk_host_keeps_its_holds(broker: Broker) -> None:
    """A host with less capacity than its holds keeps them, and gets no grant until one fits."""
    await bring(broker, Status.RUNNING)
    await broker.set_host(TYPE, Host("h1", {"VCPU": 0}))
    host = await broker.host(TYPE, "h1")
    assert (host.held, host.free) == ({"VCPU": 1}, {"VCPU": -1})
    job = await submit(broker, "e")
    assert await grant(broker, job) is None
    await publish(broker, VCPU=2)
    assert await grant(broker, job) is not None


async def test_a_host_of_thousands_of_resources_is_published_whole(broker: Broker) -> None:
    """More fields than Lua can unpack at once are written, and replaced, in batches."""
    for count in (5000, 4000):
        amounts = {f"R{number}": number + 1 for number in range(count)}
        await broker.set_host(TYPE, Host("h1", amounts))
        assert (await broker.host(TYPE, "h1")).capacity == amounts


async def test_a_publisher_replaces_its_own_hosts_only(broker: Broker) -> None:
    """Another's host is refused to who names itself, whoever published it, and stays as it was."""
    host = Host("h", {"VCPU": 1})
    assert await broker.set_host(TYPE, host, "me")
    assert not await broker.set_host(TYPE, Host("h", {"VCPU": 2}), "me")
    with pytest.raises(errors.Forbidden):
        await broker.set_host(TYPE, host, "other")
    kept = await broker.host(TYPE, "h")
    assert (kept.publisher, kept.capacity) == ("me", {"VCPU": 2})
    assert not await broker.set_host(TYPE, host)
    assert (await broker.host(TYPE, "h")).publisher == ""
    with pytest.raises(errors.Forbidden):
        await broker.set_host(TYPE, host, "me")
