"""read_array.lua: what an array is, and what has become of its jobs."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.domain.arrays import STEP
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, array_submission, submit


async def test_its_jobs_are_counted_by_status(broker: Broker) -> None:
    """Every step is counted; jobs that were withdrawn, or only have such names, are not."""
    await broker.submit_array(TYPE, array_submission(STEP + 2, at_once=3))
    await broker.transition(TYPE, f"s[{STEP}]", Status.DONE)
    await broker.transition(TYPE, "s[0]", Status.ERROR)
    await broker.withdraw(TYPE, "s[1]")
    await submit(broker, "s[1]", callback="http://x/again")
    await submit(broker, "s[01]")
    array = await broker.read_array(TYPE, "s")
    assert array.counts == {
        **dict.fromkeys(Status, 0),
        Status.QUEUED: STEP - 1,
        Status.DONE: 1,
        Status.ERROR: 1,
    }
    assert (array.waiting, array.at_once, array.count) == ("s[2]", 3, STEP + 2)


async def test_there_is_no_such_array(broker: Broker) -> None:
    """A name that no array has is told, also where jobs have such names."""
    await submit(broker, "s[0]")
    with pytest.raises(errors.JobNotFound):
        await broker.read_array(TYPE, "s")
