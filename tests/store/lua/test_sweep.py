"""sweep.lua: offers, running times and retention that end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner
from tests.making import TYPE, bring, queue, submit


async def test_an_offer_that_ended_moves_its_job_to_error(broker: Broker, client: Redis) -> None:
    """After the offer no callback starts; the job is in error with a cause, and holds nothing."""
    await broker.set_policy(TYPE, {"offer": 0})
    await bring(broker, Status.GRANTED)
    assert (await broker.claim(TYPE, 0.0, 10))[1] == []
    assert (await broker.sweep(TYPE))[1] == 1
    job = await broker.read(TYPE, "d")
    assert job.status == Status.ERROR
    assert job.error == "offer expired before the callback succeeded"
    assert (await broker.host(TYPE, "h1")).held == {}
    assert await audit(client, TYPE) == []


async def test_running_time_ends_unless_renewed(broker: Broker) -> None:
    """Setting the status running again renews the time; without it the job ends in error."""
    await broker.set_policy(TYPE, {"running": 0})
    await bring(broker, Status.RUNNING)
    await broker.set_policy(TYPE, {"running": 60})
    await broker.transition(TYPE, "d", Status.RUNNING)
    wait, moved = await broker.sweep(TYPE)
    assert moved == 0
    assert wait is not None
    await broker.set_policy(TYPE, {"running": 0})
    await broker.transition(TYPE, "d", Status.RUNNING)
    assert (await broker.sweep(TYPE))[1] == 1
    assert (await broker.read(TYPE, "d")).error == "running time ended without renewal"


async def test_retention_forgets_done_and_error_jobs(broker: Broker, client: Redis) -> None:
    """Jobs that are done or in error are withdrawn after the retention; others stay."""
    await broker.set_policy(TYPE, {"retention": 0})
    for status in Status:
        await bring(broker, status, status)
    assert (await broker.sweep(TYPE))[1] == 2
    assert {job.request_id for job in (await broker.page(TYPE)).jobs} == {
        "queued",
        "granted",
        "running",
    }
    assert await audit(client, TYPE) == []


async def test_a_requeued_job_has_no_deadline(broker: Broker) -> None:
    """A job that is back in the queue is not withdrawn."""
    await broker.set_policy(TYPE, {"retention": 0})
    await bring(broker, Status.ERROR)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await broker.sweep(TYPE) == (None, 0)
    assert await queue(broker) == ["d"]


def _after_sweep(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Awaitable[object]]) -> None:
    """Run `act` between the script of a sweep and what its caller does with the reply."""
    run = Runner.run

    async def spied(self: Runner, verb: str, type_: str, /, **arguments: object) -> object:
        reply = await run(self, verb, type_, **arguments)
        if verb == "sweep":
            await act()
        return reply

    monkeypatch.setattr(Runner, "run", spied)


@pytest.mark.parametrize("again", ["requeued", "resubmitted"])
async def test_a_job_that_came_back_outlives_its_retention(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """A job requeued or submitted again while the sweep runs keeps its new place in the queue."""
    await broker.set_policy(TYPE, {"retention": 0})
    await bring(broker, Status.DONE)

    async def come_back() -> None:
        if again == "requeued":
            await broker.transition(TYPE, "d", Status.QUEUED)
        else:
            await broker.withdraw(TYPE, "d")
            await submit(broker, "d")

    _after_sweep(monkeypatch, come_back)
    with suppress(errors.JobNotFound):
        await broker.sweep(TYPE)
    assert await queue(broker) == ["d"]


async def test_two_janitors_may_sweep_at_once(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that another janitor, or its client, withdrew meanwhile is no error."""
    await broker.set_policy(TYPE, {"retention": 0})
    for name in ("d", "e"):
        await bring(broker, Status.DONE, name)
    _after_sweep(monkeypatch, lambda: broker.withdraw(TYPE, "d"))
    await broker.sweep(TYPE)
    assert (await broker.page(TYPE)).jobs == ()


@pytest.mark.parametrize("field", ["created", "owner"])
async def test_an_unreadable_job_does_not_stop_a_sweep(
    broker: Broker, client: Redis, field: str
) -> None:
    """A damaged record does not keep other jobs from expiring."""
    await broker.set_policy(TYPE, {"retention": 0})
    for name in ("broken", "d"):
        await bring(broker, Status.DONE, name)
    await client.hdel(Keys(TYPE).of("job", "broken"), field)
    await broker.sweep(TYPE)
    with pytest.raises(errors.JobNotFound):
        await broker.read(TYPE, "d")


async def test_the_attempt_of_a_killed_courier_is_in_the_history(
    broker: Broker, client: Redis
) -> None:
    """If the offer ends before anybody claims again, the lost attempt is recorded all the same."""
    await broker.set_policy(TYPE, {"offer": 0.3})
    await bring(broker, Status.GRANTED)
    (delivery,) = (await broker.claim(TYPE, 0.35, 1))[1]
    await asyncio.sleep(0.5)
    await broker.sweep(TYPE)
    assert (await broker.read(TYPE, "d")).status is Status.ERROR
    (attempt,) = await broker.attempts(TYPE, "d")
    assert (attempt.cause, attempt.attempt, attempt.fence) == (
        "courier_lost",
        1,
        delivery.job.fence,
    )
    assert await audit(client, TYPE) == []
