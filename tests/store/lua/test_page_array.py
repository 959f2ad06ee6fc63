"""page_array.lua: the jobs of an array by their numbers."""

from __future__ import annotations

import pytest

from rq_broker.domain import errors
from rq_broker.domain.arrays import Template
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, array_submission, listed, submit


async def test_pages_have_every_job_once(broker: Broker) -> None:
    """Whatever their priorities are, jobs come by their numbers, and no other job does."""
    await submit(broker, "other")
    await broker.submit_array(TYPE, array_submission(5))
    await broker.reorder(TYPE, "s[3]", "position", "front")
    await broker.withdraw(TYPE, "s[2]")
    await submit(broker, "s[2]", callback="http://x/again")
    first, start = await broker.page_array(TYPE, "s", limit=3)
    assert start == 3
    rest, end = await broker.page_array(TYPE, "s", start, limit=3)
    assert end is None
    names = [job.request_id for job in (*first, *rest)]
    assert names == ["s[0]", "s[1]", "s[3]", "s[4]"]
    assert rest[0] == await listed(broker, "s[3]")


async def test_pages_of_a_status_and_of_an_owner(broker: Broker) -> None:
    """Only jobs that both filters let through are in the page."""
    await broker.submit_array(TYPE, array_submission(3))
    await broker.transition(TYPE, "s[1]", Status.DONE)
    jobs, _ = await broker.page_array(TYPE, "s", status="done", owners=["o"])
    assert [job.request_id for job in jobs] == ["s[1]"]
    assert await broker.page_array(TYPE, "s", owners=["x"]) == ((), None)
    with pytest.raises(errors.JobNotFound):
        await broker.page_array(TYPE, "t")


async def test_a_page_of_large_jobs_is_short(broker: Broker) -> None:
    """A page ends once it has read a quarter of a megabyte; the next one goes on there."""
    large = array_submission(9, data=Template(('"' + "x" * 100_000, '"')))
    await broker.submit_array(TYPE, large)
    jobs, following = await broker.page_array(TYPE, "s")
    assert (len(jobs), following) == (3, 3)
