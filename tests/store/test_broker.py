"""What the broker does without a script: counts, readiness."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store import submits
from rq_broker.store.broker import Broker
from rq_broker.store.keys import digest
from tests.making import TYPE, bring, shape, submission, submit


async def test_types_are_counted_per_status(broker: Broker) -> None:
    """types lists each type ever used, with the number of its jobs per status."""
    await bring(broker, Status.GRANTED)
    await submit(broker, "e")
    await submit(broker, "d", "虛擬機")
    counts = await broker.types()
    assert list(counts) == ["vm", "虛擬機"]
    assert counts["vm"] == {**dict.fromkeys(Status, 0), Status.GRANTED: 1, Status.QUEUED: 1}


async def test_ping_and_aclose(broker: Broker) -> None:
    """A broker answers while Redis does, and can be closed twice."""
    await broker.ping()
    await broker.aclose()
    await broker.aclose()


async def test_a_redis_that_takes_no_writes_is_unavailable(real_client: Redis) -> None:
    """A ping is a write, so it fails where writes fail, and it leaves nothing behind."""
    broker = Broker(real_client)
    await broker.ping()
    assert await real_client.dbsize() == 0
    await real_client.config_set("maxmemory", 1)
    try:
        with pytest.raises(errors.Unavailable):
            await broker.ping()
    finally:
        await real_client.config_set("maxmemory", 0)


async def test_a_host_that_no_script_could_count_is_refused(broker: Broker) -> None:
    """A host published from Python keeps the rule that HTTP and sources keep."""
    for odd in (Host("a/b", {}), Host("h", {"VCPU": -1}), Host("h", {}, max_unit={"VCPU": -1})):
        with pytest.raises(errors.Invalid):
            await broker.set_host(TYPE, odd)
    assert await broker.hosts(TYPE) == []


async def test_a_long_shape_is_not_kept_in_memory(broker: Broker) -> None:
    """A client that invents large demands cannot fill the cache of shapes."""
    submits._describe_shape.cache_clear()
    long = submission("long", data='{"x":"' + "y" * 1024 + '"}', shape=shape({"LONG": 1}))
    job = await broker.submit(TYPE, long)
    assert submits._describe_shape.cache_info().currsize == 0
    assert job.shape == digest(long.shape.canonical())
    short = await broker.submit(TYPE, submission("short", shape=shape({"SHORT": 1})))
    assert submits._describe_shape.cache_info().currsize == 1
    assert short.shape == digest(shape({"SHORT": 1}).canonical())
