"""What a granter reads, and notes of a job that waits."""

from __future__ import annotations

from rq_broker.domain.jobs import Job
from rq_broker.domain.planning import Promise
from rq_broker.store.broker import Broker, Window
from tests.making import TYPE, head_of


async def read_state(broker: Broker, *, usage: bool = False) -> None:
    """Read the state of the type alone, and with the lock on planning it."""
    await broker.type_state(TYPE, usage=usage)
    await broker.begin_pass(TYPE, "me", 1, None, Window(9, 9, 9), usage=True, own=True)


async def read_line(broker: Broker, job: Job) -> None:
    """Pass a job that has a priority of its own, and read it."""
    await broker.reorder(TYPE, job.request_id, "priority", str(job.priority))
    await broker.note(TYPE, [Promise(job.id, job.request_id, 2.0, 1.0)], [head_of(job)])
    await broker.heads(TYPE, 0, 10, 10, own=True)
    await read_state(broker)
