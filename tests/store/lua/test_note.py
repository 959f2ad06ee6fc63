"""note.lua: what an admission pass decided."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Head
from rq_broker.store.broker import Broker
from tests.making import TYPE, head_of, submit


async def test_only_first_passes_of_waiting_jobs_are_noted(broker: Broker) -> None:
    """The time a job was first passed stays, and is deleted when the job leaves the queue."""
    job = await submit(broker)
    await broker.note(TYPE, (), [head_of(job), Head(99, "gone", 0)])
    first = (await broker.heads(TYPE, 0, 10, 10)).passed
    assert list(first) == ["d"]
    await broker.note(TYPE, (), [head_of(job)])
    assert (await broker.heads(TYPE, 0, 10, 10)).passed == first
    await broker.transition(TYPE, "d", Status.ERROR)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.heads(TYPE, 0, 10, 10)).passed == {}
