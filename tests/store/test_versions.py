"""A job that changes between the read and the write of a conditional change is left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.jobs import Jobs
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, submit

Change = Callable[[Broker], Awaitable[object]]
MEANWHILE: dict[str, Change] = {
    "a field is added": lambda broker: broker.runner.command(
        "HSET", Keys(TYPE).of("job", "d"), "error", "text"
    ),
    "a field changes": lambda broker: broker.transition(TYPE, "d", Status.DONE),
    "the priority changes": lambda broker: broker.runner.command(
        "ZADD", Keys(TYPE).of("status", "queued"), 6, member(2, "d")
    ),
    "the job is another": lambda broker: broker.withdraw(TYPE, "d"),
}
CHANGES: dict[str, Change] = {
    "transition": lambda broker: broker.transition(TYPE, "d", Status.ERROR, versions=["v"]),
    "reorder": lambda broker: broker.reorder(TYPE, "d", "priority", "7", versions=["v"]),
    "set_expected": lambda broker: broker.set_expected(TYPE, "d", 9.0, versions=["v"]),
    "withdraw": lambda broker: broker.withdraw(TYPE, "d", versions=["v"]),
}


@pytest.mark.parametrize("verb", CHANGES)
@pytest.mark.parametrize("meanwhile", MEANWHILE)
async def test_a_change_between_read_and_write_is_seen(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, verb: str, meanwhile: str
) -> None:
    """The script compares the job with what its caller read, and writes nothing."""
    for name in ("before", "d", "other"):
        await submit(broker, name, priority=5)
    read = Jobs.known
    version = (await broker.read(TYPE, "d")).version

    async def read_before(jobs: Jobs, type_: str, name: str, versions: Any, owners: Any) -> Any:
        known = await read(jobs, type_, name, versions and [version], owners)
        if versions:
            await MEANWHILE[meanwhile](broker)
            if meanwhile == "the job is another":
                await submit(broker, "d", priority=5)
        return known

    monkeypatch.setattr(Jobs, "known", read_before)
    with pytest.raises(errors.ChangedMeanwhile):
        await CHANGES[verb](broker)
    job = await broker.read(TYPE, "d")
    assert (job.expected, job.priority == 7) == (None, False)
    assert job.status is (Status.DONE if meanwhile == "a field changes" else Status.QUEUED)
