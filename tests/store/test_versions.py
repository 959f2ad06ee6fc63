"""A job that changes between the read and the write of a conditional change is left alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from rq_broker.store.jobs import Jobs
from rq_broker.store.keys import Keys, member
from rq_broker.store.versions import version_of, version_of_new
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


@pytest.mark.parametrize("expected", [None, 1500])
@pytest.mark.parametrize(("position", "left"), [(1, 0), (None, 0), (None, 2)])
def test_a_new_job_has_the_version_that_its_hash_gives(
    expected: int | None, position: int | None, left: int
) -> None:
    """What a submit answers as the version is what a read of the job answers next."""
    status = "queued" if position else "beside"
    fields = {"id": "7", "created": "1700000000000000", "status": status, "shape": "Zk3v9Qx1-_0a"}
    fields |= {"owner": "o", "bytes": "1100", "data": "{}", "data2": "{}"}
    fields |= {} if expected is None else {"expected": str(expected)}
    fields |= {"left": str(left)} if left else {}
    reply = SimpleNamespace(
        priority=5, id=7, created=1700000000000000, position=position, left=left
    )
    assert version_of_new(reply, "Zk3v9Qx1-_0a", expected) == version_of(5, fields)


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
