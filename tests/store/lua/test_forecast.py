"""forecast.lua: whether the ETA reported for a waiting job was kept."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from rq_broker.domain.figures import Judged
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, publish, submit


async def test_a_forecast_is_judged_by_the_grant(broker: Broker, client: Redis) -> None:
    """A forecast is kept if the job is granted in time; only the first one reported counts."""
    await publish(broker)
    for name, seconds in (("kept", 60.0), ("missed", -60.0)):
        job = await submit(broker, name)
        await broker.forecast(TYPE, [(job, seconds, seconds)])
        await broker.forecast(TYPE, [(job, -seconds, -seconds)])
        await grant(broker, job)
    assert await broker.forecast(TYPE, [(await submit(broker), 1.0, 1.0)]) == (1, 1)
    assert await audit(client, TYPE) == []


async def test_a_job_that_leaves_the_queue_is_not_judged(broker: Broker, client: Redis) -> None:
    """A job that leaves the queue without a grant loses its forecast, and gets no new one."""
    job = await submit(broker)
    await broker.forecast(TYPE, [(job, 60.0, 60.0)])
    await broker.transition(TYPE, "d", Status.DONE)
    assert await broker.forecast(TYPE, [(job, 60.0, 60.0)]) == (0, 0)
    assert await audit(client, TYPE) == []
    await broker.transition(TYPE, "d", Status.QUEUED)
    await publish(broker)
    await grant(broker, job)
    assert await broker.forecast(TYPE, [(job, 60.0, 60.0)]) == (0, 0)


async def test_a_damaged_count_of_the_record_is_none(broker: Broker, client: Redis) -> None:
    """What came true of forecasts is read from the base; a count that is no number is 0."""
    state = await broker.type_state(TYPE)
    assert (state.judged, state.judged_p50) == (Judged(0, 0), Judged(0, 0))
    damaged: dict[Any, Any] = {"forecasts_kept": "7", "forecasts_missed": "x"}
    damaged |= {"forecasts_p50_kept": "4", "forecasts_p50_missed": "3"}
    await client.hset(Keys(TYPE).base, mapping=damaged)
    state = await broker.type_state(TYPE)
    assert (state.judged, state.judged_p50) == (Judged(7, 0), Judged(4, 3))
