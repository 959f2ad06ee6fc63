"""holders.lua: the jobs that hold capacity, and how long ended jobs held theirs."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring


async def test_holders_are_the_jobs_that_hold(broker: Broker) -> None:
    """Granted and running jobs are listed, jobs that hold nothing are not."""
    for status in Status:
        await bring(broker, status, status)
    await bring(broker, Status.QUEUED, "by hand")
    await broker.transition(TYPE, "by hand", Status.RUNNING)
    holders = (await broker.holdings(TYPE)).holders
    assert {holder.request_id for holder in holders} == {"granted", "running"}
    assert {holder.owner_id for holder in holders} == {"o"}


async def test_history_grows_with_each_release(broker: Broker) -> None:
    """Each job that releases its capacity adds how long it held it, in seconds."""
    assert (await broker.holdings(TYPE)).history == ()
    for name in ("d", "e"):
        await bring(broker, Status.GRANTED, name)
        await broker.withdraw(TYPE, name)
    history = (await broker.holdings(TYPE)).history
    assert len(history) == 2
    assert all(seconds >= 0 for seconds in history)
