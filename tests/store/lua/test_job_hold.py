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


@pytest.mark.parametrize(("hours", "is_overdue"), [(2.9, False), (3.1, True)])
async def test_a_job_is_overdue_after_three_times_what_it_said(
    broker: Broker, client: Redis, hours: float, is_overdue: bool
) -> None:
    """It is by when it began to run, and no more once its client says that it still runs."""
    await bring(broker, Status.RUNNING)
    assert not (await broker.job_hold(TYPE, "d")).is_overdue
    await broker.set_expected(TYPE, "d", 3600.0)
    began = (await broker.now(TYPE) - hours * 3600) * 1000
    await client.hset(Keys(TYPE).of("job", "d"), "running_since", round(began))
    assert (await broker.job_hold(TYPE, "d")).is_overdue == is_overdue
    await broker.transition(TYPE, "d", Status.RUNNING)
    assert not (await broker.job_hold(TYPE, "d")).is_overdue


async def test_a_job_without_a_grant_has_nothing(broker: Broker) -> None:
    """A waiting job holds nothing; a job that is not there is not found."""
    await bring(broker, Status.QUEUED)
    hold = await broker.job_hold(TYPE, "d")
    assert (hold.status, hold.hosts, hold.held, hold.seen) == (Status.QUEUED, (), {}, {})
    with pytest.raises(errors.JobNotFound):
        await broker.job_hold(TYPE, "e")
