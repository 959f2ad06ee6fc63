"""note.lua: what a pass found out."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, submit


async def test_only_first_passes_of_waiting_jobs_are_noted(broker: Broker) -> None:
    """A first pass is remembered at its first time, forgotten when the job leaves the line."""
    job = await submit(broker)
    name = f"{job.id:016d}:d"
    await broker.note(TYPE, None, [name, "0000000000000099:gone"])
    first = (await broker.heads(TYPE, 0, 10, 10)).passed
    assert list(first) == [name]
    await broker.note(TYPE, None, [name])
    assert (await broker.heads(TYPE, 0, 10, 10)).passed == first
    await broker.transition(TYPE, "d", Status.ERROR)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.heads(TYPE, 0, 10, 10)).passed == {}
