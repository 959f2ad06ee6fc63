"""Lists: their order, their filters, their pages and the whole of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.store.broker import Broker, Page
from rq_broker.store.keys import Keys
from tests.api.conftest import listed, refused, submit


async def test_lists_are_in_priority_order(api: httpx.AsyncClient) -> None:
    """Smaller priority first; equal priorities first come, first served."""
    await submit(api, "c", "a", "b", priority=5)
    await submit(api, "z", priority=4)
    await submit(api, "y", priority=-MAX_WHOLE)
    await submit(api, "x", priority=MAX_WHOLE)
    assert await listed(api) == ["y", "z", "c", "a", "b", "x"]


async def test_filters(api: httpx.AsyncClient) -> None:
    """owner_id, status and both choose; an empty filter filters nothing."""
    await submit(api, "a", "b", owner_id="x")
    await submit(api, "c")
    await api.post("/v1/vm/b", json={"status": "running"})
    assert await listed(api, "?owner_id=x") == ["a", "b"]
    assert await listed(api, "?status=queued") == ["a", "c"]
    assert await listed(api, "?owner_id=x&status=running") == ["b"]
    assert await listed(api, "?owner_id=&status=") == ["a", "b", "c"]
    assert await listed(api, "?owner_id=nobody") == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("status=waiting", "status must be one of queued, granted, running, done, error"),
        ("owner=x", 'the query parameter "owner" is not known'),
        ("limit=0", "limit must be a whole number from 1 to 1000"),
        ("limit=1001", "limit must be"),
        ("limit=1e2", "limit must be"),
        ("limit=%C2%B2", "limit must be"),
        ("limit=", "limit must be"),
        ("cursor=nonsense", "cursor must be the `next` of an earlier page"),
        ("cursor=MSwx-%F0", "cursor must be"),
        ("cursor=OTk5OTk5OTk5OTk5OTk5OTk5OSwx", "cursor must be"),
        ("status=queued&status=done", "given twice"),
    ],
)
async def test_bad_queries(api: httpx.AsyncClient, query: str, said: str) -> None:
    """A parameter that is unknown, doubled or malformed is refused by name."""
    refused(await api.get(f"/v1/vm/?{query}"), 400, "invalid_request", said)


@pytest.mark.parametrize(
    "query", ["", "&owner_id=y", "&status=queued", "&owner_id=y&status=queued"]
)
async def test_paging(api: httpx.AsyncClient, query: str) -> None:
    """Pages follow one another without a gap or a repeat, ties included, until next is null."""
    names = [f"{number:02}" for number in range(7)]
    await submit(api, *names, priority=1)
    await submit(api, "other", owner_id="x", priority=1)
    await api.post("/v1/vm/other", json={"status": "done"})
    seen: list[str] = []
    cursor = ""
    for _ in range(9):
        page = (await api.get(f"/v1/vm/?limit=3&cursor={cursor}{query}")).json()
        assert len(page["data"]) <= 3
        seen += [job["RequestID"] for job in page["data"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == (names if query else [*names, "other"])


async def test_a_thin_filter_still_fills_its_page(api: httpx.AsyncClient) -> None:
    """The one job that passes both filters is found behind many that pass only one."""
    names = [f"{number:02}" for number in range(25)]
    await submit(api, *names)
    for name in names[:-1]:
        await api.post(f"/v1/vm/{name}", json={"status": "done"})
    assert await listed(api, "?owner_id=y&status=queued&limit=1") == ["24"]


async def test_a_cursor_alone_pages_too(api: httpx.AsyncClient) -> None:
    """A cursor without a limit goes on in pages, not in a stream."""
    await submit(api, "a", "b")
    cursor = (await api.get("/v1/vm?limit=1")).json()["next"]
    page = (await api.get(f"/v1/vm?cursor={cursor}")).json()
    assert ([job["RequestID"] for job in page["data"]], page["next"]) == (["b"], None)


async def test_the_whole_list_is_streamed(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More jobs than one look of the broker make one envelope, in order."""
    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 3)
    names = [f"{number:02}" for number in range(10)]
    await submit(api, *names)
    answer = await api.get("/v1/vm/")
    assert "content-length" not in answer.headers
    assert [job["RequestID"] for job in answer.json()["data"]] == names
    assert list(answer.json()) == ["data", "ok"]


async def test_an_empty_list(api: httpx.AsyncClient) -> None:
    """A type nobody used has no jobs, which is no error."""
    assert (await api.get("/v1/nobody/")).content == b'{"data":[],"ok":true}'
    assert (await api.get("/v1/nobody/?limit=1")).json() == {"data": [], "next": None, "ok": True}


@pytest.mark.parametrize("query", ["", "?limit=9"])
async def test_bytes_that_are_no_text(api: httpx.AsyncClient, client: Redis, query: str) -> None:
    """What a trusted service stored as broken UTF-8 is shown with U+FFFD, and its job listed."""
    await submit(api, "a", "b")
    await client.hset(Keys("vm").of("job", "a"), mapping={"owner": b"\xffy", "error": b"\xe6\xa9"})
    shown = (await api.get(f"/v1/vm/{query}")).json()["data"]
    assert [(job["RequestID"], job["OwnerID"]) for job in shown] == [("a", "\ufffdy"), ("b", "y")]
    job = (await api.get("/v1/vm/a")).json()["data"]
    assert (job["OwnerID"], job["Error"]) == ("\ufffdy", "\ufffd\ufffd")


async def test_head(
    api: httpx.AsyncClient, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD answers as GET does, and looks no further than the first page."""
    await submit(api, "a", "b", "c")
    looks = 0
    real = broker.page

    async def page(*args: Any, **kwargs: Any) -> Page:
        nonlocal looks
        looks += 1
        return await real(*args, **kwargs)

    monkeypatch.setattr("rq_broker.api.pagination._BATCH", 1)
    monkeypatch.setattr(broker, "page", page)
    assert (await api.head("/v1/vm/")).status_code == 200
    assert looks == 1
    assert (await api.head("/v1/vm/a")).status_code == 200
    assert (await api.head("/v1/vm/x")).status_code == 404
