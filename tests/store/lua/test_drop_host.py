"""drop_host.lua: a host out of service."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, grant, submit


async def test_a_dropped_host_goes_with_its_last_hold(broker: Broker, client: Redis) -> None:
    """A dropped host that holds something stays listed, without capacity, until it is released."""
    await bring(broker, Status.GRANTED)
    await broker.drop_host(TYPE, "h1")
    assert await broker.host(TYPE, "h1") == Host("h1", {}, {}, {"VCPU": 1}, dropped=True)
    assert await grant(broker, await submit(broker, "e")) is None
    await broker.transition(TYPE, "d", Status.DONE)
    with pytest.raises(errors.HostNotFound):
        await broker.host(TYPE, "h1")
    with pytest.raises(errors.HostNotFound):
        await broker.drop_host(TYPE, "h1")
    assert await audit(client, TYPE) == []


async def test_a_publisher_drops_its_own_hosts_only(broker: Broker) -> None:
    """Another's host stays in service."""
    await broker.set_host(TYPE, Host("h", {"VCPU": 1}), "me")
    with pytest.raises(errors.Forbidden):
        await broker.drop_host(TYPE, "h", "other")
    assert [host.dropped for host in await broker.hosts(TYPE)] == [False]
    await broker.drop_host(TYPE, "h", "me")
    assert await broker.hosts(TYPE) == []
