"""transition.lua: the moves a client makes."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import MOVES, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.deliveries import Settlement
from tests.making import TYPE, bring, claim_one, grant, settle


@pytest.mark.parametrize("start", list(Status))
@pytest.mark.parametrize("to", list(Status))
async def test_only_the_moves_of_the_state_machine_are_made(
    broker: Broker, client: Redis, start: Status, to: Status
) -> None:
    """A move succeeds if MOVES has it or the status is the same; else it is ImpossibleMove."""
    await bring(broker, start)
    if to in MOVES[start] or to == start:
        assert await broker.transition(TYPE, "d", to) == start
        assert (await broker.read(TYPE, "d")).status == to
    else:
        with pytest.raises(errors.ImpossibleMove):
            await broker.transition(TYPE, "d", to)
        assert (await broker.read(TYPE, "d")).status == start
    assert await audit(client, TYPE) == []


async def test_a_stale_fence_is_refused(broker: Broker) -> None:
    """An update with the fence of an earlier grant is refused; with the newest, it is made."""
    old = (await bring(broker, Status.GRANTED)).fence
    await broker.transition(TYPE, "d", Status.QUEUED)
    new = await grant(broker, await broker.read(TYPE, "d"))
    assert old is not None
    assert new is not None
    assert new > old
    with pytest.raises(errors.StaleFence):
        await broker.transition(TYPE, "d", Status.RUNNING, fence=old)
    await broker.transition(TYPE, "d", Status.RUNNING, fence=new)


async def test_error_text_is_kept_until_the_job_is_requeued(broker: Broker) -> None:
    """The client's error text stays on the job in error until the job is queued again."""
    await bring(broker, Status.RUNNING)
    await broker.transition(TYPE, "d", Status.ERROR, error="disk full")
    assert (await broker.read(TYPE, "d")).error == "disk full"
    await broker.transition(TYPE, "d", Status.QUEUED)
    job = await broker.read(TYPE, "d")
    assert (job.error, job.attempts, job.hosts) == (None, 0, ())


@pytest.mark.parametrize("to", [Status.RUNNING, Status.DONE])
async def test_an_error_is_deleted_when_the_client_moves_its_job_on(
    broker: Broker, to: Status
) -> None:
    """A job that its client sets running or done has no error of an earlier attempt."""
    await bring(broker, Status.GRANTED)
    await settle(broker, await claim_one(broker), Settlement("retry", delay=60.0, cause="reset"))
    await broker.transition(TYPE, "d", to)
    assert (await broker.read(TYPE, "d")).error is None
