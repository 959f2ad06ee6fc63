"""job_hold.lua: what has become of one job's grant."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring


async def test_it_tells_what_is_held_and_what_is_used_instead(
    broker: Broker, client: Redis
) -> None:
    """Of a running job its hosts, its servers, what is held and what the source counts as used."""
    await bring(broker, Status.GRANTED)
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("s", "t"))
    await client.hset(Keys(TYPE).of("seen", "d"), "h2/VCPU", 3)
    hold = await broker.job_hold(TYPE, "d")
    assert (hold.status, hold.hosts, hold.servers) == (Status.RUNNING, ("h1",), ("s", "t"))
    assert (hold.held, hold.seen) == ({"h1": {"VCPU": 1}}, {"h2": {"VCPU": 3}})
    assert (hold.unseen, hold.missed_by) == (("s", "t"), "")
    assert 0 <= hold.named_for < 60


async def test_a_job_without_a_grant_has_nothing(broker: Broker) -> None:
    """A waiting job holds nothing; a job that is not there is not found."""
    await bring(broker, Status.QUEUED)
    hold = await broker.job_hold(TYPE, "d")
    assert (hold.status, hold.hosts, hold.held, hold.seen) == (Status.QUEUED, (), {}, {})
    with pytest.raises(errors.JobNotFound):
        await broker.job_hold(TYPE, "e")
