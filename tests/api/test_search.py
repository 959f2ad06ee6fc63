"""Lists and actions that search: by a part of a name, by size, by callback, by place."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from rq_broker.api import pagination
from rq_broker.store.broker import Broker
from tests.api.conftest import listed, refused, submit
from tests.making import TYPE, submit as make_job

_WIDE = {"instances": [{"VCPU": 4, "Memory": 8192, "count": 4}]}
_ELASTIC = {"instances": [{"VCPU": 8, "count": {"min": 1, "max": 9}}, {"VCPU": 1}]}
_TAKES = [
    ("contains=SWEEP", ["a-sweep", "b-Sweep-2"]),
    ("contains=sweep&status=queued", ["a-sweep"]),
    ("contains=sweep&owner_id=x", ["b-Sweep-2"]),
    ("contains=[", ["other[1]"]),
    ("contains=nowhere", []),
    ("needs=VCPU:16", ["a-sweep"]),
    ("needs=VCPU:9", ["a-sweep", "b-Sweep-2"]),
    ("needs=VCPU:9,Memory:1", ["a-sweep"]),
    ("needs=Slots:1", ["other[1]"]),
    ("needs=GPU:1", []),
    ("needs=VCPU:9&contains=2", ["b-Sweep-2"]),
    ("callback=http://127.0.0.1:9/b-Sweep-2", ["b-Sweep-2"]),
    ("callback=http://127.0.0.1:9/b-Sweep-2&status=queued", []),
    ("callback=http://127.0.0.1:9/b-Sweep-2&owner_id=y", []),
    ("callback=http://127.0.0.1:9/", []),
    ("request_id=a-sweep", ["a-sweep"]),
    ("request_id=a-sweep&owner_id=x", []),
    ("request_id=sweep", []),
    ("status=queued&from=2", ["other[1]"]),
    ("status=running&from=1", ["b-Sweep-2"]),
    ("status=running&from=2", []),
]


@pytest.fixture
async def jobs(api: httpx.AsyncClient) -> httpx.AsyncClient:
    callback = {"callback": "http://127.0.0.1:9/b-Sweep-2"}
    await submit(api, "a-sweep", data=_WIDE, owner_id="y")
    await submit(api, "b-Sweep-2", data=_ELASTIC, owner_id="x", **callback)
    await submit(api, "other[1]", data={}, owner_id="y")
    await api.post("/v1/vm/b-Sweep-2", json={"status": "running"})
    return api


async def test_what_a_search_finds(jobs: httpx.AsyncClient) -> None:
    """Each filter finds its jobs, alone and with others, in the order of the queue."""
    found = {query: await listed(jobs, f"?{query}") for query, _ in _TAKES}
    assert found == dict(_TAKES)


@pytest.mark.parametrize(
    "query",
    ["from=1", "status=queued&from=1&contains=a", "needs=VCPU", "needs=VCPU:x", "needs=VCPU:-1",
     "callback=x&contains=a", "status=queued&from=1&owner_id=y", "request_id=a[*]&contains=a"],
)  # fmt: skip
async def test_searches_that_are_refused(api: httpx.AsyncClient, query: str) -> None:
    """A search that no index or walk can answer is a mistake, and says so."""
    refused(await api.get(f"/v1/vm/?{query}"), 400, "invalid_request")


@pytest.mark.parametrize("limit", [1, 2, 500])
async def test_a_search_goes_on(broker: Broker, limit: int) -> None:
    """A call compares 5,000 names; the cursor goes on behind them, and no job is found twice."""
    for number in range(30):
        await make_job(broker, f"n{number}", owner_id=f"o{number % 3}")
    names, after = [], None
    while True:
        page = await broker.page(TYPE, owners=["o1", "o2"], contains="N1", after=after, limit=limit)
        names += [job.request_id for job in page.jobs]
        after = page.next
        if after is None:
            break
    assert names == [f"n{n}" for n in range(30) if n % 3 and f"n{n}".startswith("n1")]


async def test_actions_search_too(jobs: httpx.AsyncClient) -> None:
    """An action means the jobs that a list with the same filter shows."""

    async def meant(**filter_: Any) -> list[str]:
        body = {"action": "withdraw", "dry_run": True, "filter": filter_}
        answer = await jobs.post("/types/vm/actions", json=body)
        return [job["RequestID"] for job in answer.json()["data"]["jobs"]]

    assert await meant(contains="sweep") == ["a-sweep", "b-Sweep-2"]
    assert await meant(contains="sweep", status="queued") == ["a-sweep"]
    assert await meant(needs={"VCPU": 9}, owner_id="x") == ["b-Sweep-2"]


async def test_a_search_is_bounded(
    jobs: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that examined as much as one call may ends early, and its cursor goes on."""
    monkeypatch.setattr(pagination, "_BATCHES", 1)
    monkeypatch.setattr(pagination, "_BATCH", 1)
    names: list[str] = []
    query = "needs=Slots:1"
    for _ in range(4):
        answer = (await jobs.get(f"/v1/vm/?{query}")).json()
        names += [job["RequestID"] for job in answer["data"]]
        if answer["next"] is None:
            break
        query = f"needs=Slots:1&cursor={answer['next']}"
    assert names == ["other[1]"]


async def test_a_page_at_a_place_counts_the_places(jobs: httpx.AsyncClient) -> None:
    """With `from` the answer says how many places there are, also behind the last; else not."""
    counts = [
        (await jobs.get(f"/v1/vm/?{query}")).json().get("count")
        for query in (
            "status=queued&from=2",
            "status=queued&from=9",
            "status=done&from=1",
            "limit=1",
        )
    ]
    assert counts == [2, 2, 0, None]
