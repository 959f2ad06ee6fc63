"""holders.lua: who holds what, and how long others held theirs."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring


async def test_holders_are_the_jobs_that_hold(broker: Broker) -> None:
    """Granted and running jobs are listed; one that holds nothing, or no more, is not."""
    for status in Status:
        await bring(broker, status, status)
    await bring(broker, Status.QUEUED, "by hand")
    await broker.transition(TYPE, "by hand", Status.RUNNING)
    found = await broker.holdings(TYPE)
    assert {each.request_id for each in found.holders} == {"granted", "running"}
    assert {each.owner_id for each in found.holders} == {"o"}


async def test_history_grows_with_each_release(broker: Broker) -> None:
    """What a job held for is kept, in seconds, once it released."""
    assert (await broker.holdings(TYPE)).history == ()
    for name in ("d", "e"):
        await bring(broker, Status.GRANTED, name)
        await broker.withdraw(TYPE, name)
    history = (await broker.holdings(TYPE)).history
    assert len(history) == 2
    assert all(span >= 0 for span in history)
