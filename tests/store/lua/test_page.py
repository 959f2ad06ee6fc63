"""page.lua: lists of jobs, with filters, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring, listed, submit


@pytest.mark.parametrize("limit", [1, 2, 7, 500])
async def test_pages_list_every_job_once_in_order(broker: Broker, limit: int) -> None:
    """Pages of any size list the jobs of all statuses once, by priority and then by ID."""
    for number, status in enumerate([*Status, *Status]):
        name = f"{status}-{number}"
        await bring(broker, status, name)
        await broker.reorder(TYPE, name, "priority", str(-(number % 3)))
    everything = await _list(broker, 500)
    assert await _list(broker, limit) == everything
    expected = sorted(everything, key=lambda entry: (entry[0], entry[1]))
    assert everything == expected
    assert len({id_ for _, id_, _ in everything}) == 10
    assert [name for *_, name in await _list(broker, limit, status="done")] == [
        name for *_, name in expected if name.startswith("done")
    ]


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_filters_can_be_combined(broker: Broker, limit: int) -> None:
    """owner_id and status filter alone and together; jobs of another owner are never listed."""
    for name in ("a", "b", "c", "d"):
        await submit(broker, name, owner_id="o:1" if name < "c" else "o")
    await broker.transition(TYPE, "a", Status.DONE)
    mine = [name for *_, name in await _list(broker, limit, owners=["o:1"])]
    assert mine == ["a", "b"]
    both = [name for *_, name in await _list(broker, limit, owners=["o:1"], status="queued")]
    assert both == ["b"]
    assert await _list(broker, limit, owners=["nobody"]) == []


async def test_a_page_has_the_same_positions_as_read(broker: Broker) -> None:
    """Positions count from 1 in the whole queue, with any filter and on every page."""
    for name in "abcdef":
        await submit(broker, name, owner_id="o" if name in "ace" else "p")
    await broker.transition(TYPE, "a", Status.DONE)
    every_filter: list[dict[str, Any]] = [{}, {"owners": ["o"]}, {"status": "queued"}]
    for filters in every_filter:
        first = await broker.page(TYPE, limit=2, **filters)
        rest = await broker.page(TYPE, after=first.next, **filters)
        for job in (*first.jobs, *rest.jobs):
            assert job == await listed(broker, job.request_id)


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_large_jobs_end_a_page_early(broker: Broker, limit: int) -> None:
    """A page ends behind the job that exceeds 256 KiB, and its cursor goes on behind that."""
    for name in "abcd":
        await submit(broker, name, data='{"x":"%s"}' % ("x" * 200_000))
    page = await broker.page(TYPE, limit=limit)
    assert [job.request_id for job in page.jobs] == list("ab")[:limit]
    assert page.next is not None
    assert [name for *_, name in await _list(broker, limit)] == list("abcd")


async def _list(broker: Broker, limit: int, **filters: Any) -> list[tuple[int, int, str]]:
    entries, cursor = [], None
    while True:
        page = await broker.page(TYPE, after=cursor, limit=limit, **filters)
        entries += [(job.priority, job.id, job.request_id) for job in page.jobs]
        cursor = page.next
        if cursor is None:
            return entries
