"""Lists of jobs: order, filters, pages, and whole lists."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.api.pagination import Listing, Lists
from rq_broker.domain.representation import to_json
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.store.broker import Broker, Page
from rq_broker.store.keys import Keys
from tests.api.conftest import listed, refused, submit
from tests.making import submit as make_job


async def test_lists_are_in_priority_order(api: httpx.AsyncClient) -> None:
    """Jobs are listed by priority, smallest first, and at equal priority by age."""
    await submit(api, "c", "a", "b", priority=5)
    await submit(api, "z", priority=4)
    await submit(api, "y", priority=-MAX_WHOLE)
    await submit(api, "x", priority=MAX_WHOLE)
    assert await listed(api) == ["y", "z", "c", "a", "b", "x"]


async def test_filters(api: httpx.AsyncClient) -> None:
    """owner_id and status filter, alone and together; an empty filter matches every job."""
    await submit(api, "a", "b", owner_id="x")
    await submit(api, "c")
    await api.post("/v1/vm/b", json={"status": "running"})
    assert await listed(api, "?owner_id=x") == ["a", "b"]
    assert await listed(api, "?status=queued") == ["a", "c"]
    assert await listed(api, "?owner_id=x&status=running") == ["b"]
    assert await listed(api, "?owner_id=&status=") == ["a", "b", "c"]
    assert await listed(api, "?owner_id=nobody") == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("status=waiting", "status must be one of queued, granted, running, done, error"),
        ("owner=x", 'the query parameter "owner" is not known'),
        ("limit=0", "limit must be a whole number from 1 to 1000"),
        ("limit=1001", "limit must be"),
        ("limit=1e2", "limit must be"),
        ("limit=%C2%B2", "limit must be"),
        ("limit=", "limit must be"),
        ("limit=9&eta=yes", "eta must be"),
        ("limit=9&reason=yes", "reason must be"),
        ("cursor=nonsense", "cursor must be the `next` of an earlier page"),
        ("cursor=MSwx-%C3%B0", "cursor must be"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OSwx", "cursor must be"),
        ("status=queued&status=done", "given twice"),
    ],
)
async def test_bad_queries(api: httpx.AsyncClient, query: str, sentence: str) -> None:
    """An unknown, repeated or malformed query parameter is refused, and the sentence names it."""
    refused(await api.get(f"/v1/vm/?{query}"), 400, "invalid_request", sentence)


@pytest.mark.parametrize(
    "query", ["", "&owner_id=y", "&status=queued", "&owner_id=y&status=queued"]
)
async def test_paging(api: httpx.AsyncClient, query: str) -> None:
    """Pages have no gap and no repeat, even at equal priorities; the last has null as next."""
    names = [f"{number:02}" for number in range(7)]
    await submit(api, *names, priority=1)
    await submit(api, "other", owner_id="x", priority=1)
    await api.post("/v1/vm/other", json={"status": "done"})
    request_ids: list[str] = []
    cursor = ""
    for _ in range(9):
        page = (await api.get(f"/v1/vm/?limit=3&cursor={cursor}{query}")).json()
        assert len(page["data"]) <= 3
        request_ids += [job["RequestID"] for job in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert request_ids == (names if query else [*names, "other"])


async def test_two_filters_still_fill_a_page(api: httpx.AsyncClient) -> None:
    """A job that passes both filters is found behind many that pass only one."""
    names = [f"{number:02}" for number in range(25)]
    await submit(api, *names)
    for name in names[:-1]:
        await api.post(f"/v1/vm/{name}", json={"status": "done"})
    assert await listed(api, "?owner_id=y&status=queued&limit=1") == ["24"]


async def test_a_cursor_without_a_limit(api: httpx.AsyncClient) -> None:
    """A cursor without a limit asks for a page, not for the whole list."""
    await submit(api, "a", "b")
    cursor = (await api.get("/v1/vm?limit=1")).json()["next"]
    page = (await api.get(f"/v1/vm?cursor={cursor}")).json()
    assert ([job["RequestID"] for job in page["data"]], page["next"]) == (["b"], None)


async def test_the_whole_list_is_streamed(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that needs several calls of the broker is one envelope, in order."""
    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 3)
    names = [f"{number:02}" for number in range(10)]
    await submit(api, *names)
    answer = await api.get("/v1/vm/")
    assert "content-length" not in answer.headers
    assert [job["RequestID"] for job in answer.json()["data"]] == names
    assert list(answer.json()) == ["data", "ok"]


@pytest.mark.parametrize("query", ["", "?limit=1000", "?limit=1000&eta=1"])
async def test_long_lists_are_rendered_in_batches(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """No more than `_BATCH` jobs are rendered without a pause in which others are served."""
    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 3)
    names = [f"{number:02}" for number in range(10)]
    await submit(api, *names)
    sizes: list[int] = []

    def counting(views: list[Any]) -> bytes:
        if isinstance(views, list):
            sizes.append(len(views))
        return to_json(views)

    monkeypatch.setattr("rq_broker.api.pagination.to_json", counting)
    assert await listed(api, query) == names
    assert sizes == [3, 3, 3, 1]


async def test_lists_take_turns(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one list pauses no other renders, so that many take no more time than one."""
    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 1)
    for name in "abc":
        await make_job(broker, name)
    pauses = 0

    async def sleep(_: float) -> None:
        nonlocal pauses
        pauses += 1
        assert pauses == 1
        await yield_to_others(0)
        pauses -= 1

    yield_to_others = asyncio.sleep
    monkeypatch.setattr("rq_broker.api.pagination.asyncio.sleep", sleep)
    lists = Lists(broker)

    async def read() -> bytes:
        first = await lists.first_page("vm", Listing())
        return b"".join([piece async for piece in lists.stream("vm", Listing(), first)])

    assert len({await task for task in [asyncio.create_task(read()) for _ in range(5)]}) == 1


async def test_a_page_of_large_jobs_ends_early(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page has only so many bytes of `data`; its `next` goes on from there."""
    monkeypatch.setattr("rq_broker.api.pagination._PAGE_BYTES", 500_000)
    for name in "abcde":
        await submit(api, name, data={"text": "x" * 200_000})
    page = (await api.get("/v1/vm/?limit=5")).json()
    rest = (await api.get(f"/v1/vm/?limit=5&cursor={page['next']}")).json()
    names = [[job["RequestID"] for job in each["data"]] for each in (page, rest)]
    assert names[0] + names[1] == list("abcde")
    assert 3 <= len(names[0]) < 5
    assert rest["next"] is None
    assert await listed(api) == list("abcde")


async def test_an_empty_list(api: httpx.AsyncClient) -> None:
    """An unknown type has an empty list, not an error."""
    assert (await api.get("/v1/nobody/")).content == b'{"data":[],"ok":true}'
    assert (await api.get("/v1/nobody/?limit=1")).json() == {"data": [], "next": None, "ok": True}


@pytest.mark.parametrize("query", ["", "?limit=9"])
async def test_text_that_is_not_utf8(api: httpx.AsyncClient, client: Redis, query: str) -> None:
    """Broken UTF-8, stored by another service, is shown as U+FFFD, and the job is listed."""
    await submit(api, "a", "b")
    await client.hset(Keys("vm").of("job", "a"), mapping={"owner": b"\xffy", "error": b"\xe6\xa9"})
    jobs = (await api.get(f"/v1/vm/{query}")).json()["data"]
    assert [(job["RequestID"], job["OwnerID"]) for job in jobs] == [("a", "\ufffdy"), ("b", "y")]
    job = (await api.get("/v1/vm/a")).json()["data"]
    assert (job["OwnerID"], job["Error"]) == ("\ufffdy", "\ufffd\ufffd")


async def test_head(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD has the status of GET, and reads only the first page."""
    await submit(api, "a", "b", "c")
    calls = 0
    real = broker.page

    async def page(*args: Any, **kwargs: Any) -> Page:
        nonlocal calls
        calls += 1
        return await real(*args, **kwargs)

    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 1)
    monkeypatch.setattr(broker, "page", page)
    assert (await api.head("/v1/vm/")).status_code == 200
    assert calls == 1
    assert (await api.head("/v1/vm/a")).status_code == 200
    assert (await api.head("/v1/vm/x")).status_code == 404
