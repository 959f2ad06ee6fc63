"""How a list is asked for and given: whole and streamed, or page by page with an opaque cursor."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from rq_broker.api.responses import rendered
from rq_broker.domain.errors import Invalid
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import job_json
from rq_broker.domain.validation import MAX_WHOLE, one_of, only, show
from rq_broker.store.broker import Broker, Cursor, Page

_QUERY = ("owner_id", "status", "limit", "cursor")
_PAGE_LIMIT = 1000
_LOOK = 500
"""Jobs looked at in one call of the broker."""
_LOOKS = 20
"""Calls of the broker for one page: filtered by owner and status it may come out short."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list is asked for; `limit` None: all of it, streamed."""

    owner_id: str = ""
    status: str = ""
    limit: int | None = None
    after: Cursor | None = None


def listing(query: Sequence[tuple[str, str]]) -> Listing:
    """Read the query of a list. An empty filter filters nothing; a cursor alone means a page."""
    params = dict(query)
    only(params, _QUERY, "the query parameter")
    if len(params) < len(query):
        raise Invalid("a query parameter is given twice")
    limit, cursor, status = params.get("limit"), params.get("cursor"), params.get("status", "")
    if status:
        one_of(status, "status", tuple(Status))
    return Listing(
        params.get("owner_id", ""),
        status,
        _limit(limit, bool(cursor)),
        _cursor(cursor) if cursor else None,
    )


def _limit(text: str | None, paged: bool) -> int | None:
    if text is None:
        return _PAGE_LIMIT if paged else None
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _PAGE_LIMIT:
        return int(text)
    raise Invalid(f"limit must be a whole number from 1 to {_PAGE_LIMIT}, not {show(text)}")


def opaque(cursor: Cursor) -> str:
    """Render a cursor as clients see it."""
    return urlsafe_b64encode(f"{cursor.priority},{cursor.id}".encode()).decode().rstrip("=")


def _cursor(text: str) -> Cursor:
    try:
        priority, id_ = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(",")
        if abs(int(priority)) <= MAX_WHOLE and 0 < int(id_) <= MAX_WHOLE:
            return Cursor(str(int(priority)), str(int(id_)))
    except ValueError:
        pass
    raise Invalid(f"cursor must be a `next` of an earlier page, not {show(text)}")


async def page(broker: Broker, type_: str, asked: Listing, limit: int) -> Page:
    """Collect one page of up to `limit` jobs."""
    jobs: list[Job] = []
    after = asked.after
    for _ in range(_LOOKS):
        thin = asked.owner_id and asked.status
        look = _LOOK if thin else min(_LOOK, limit - len(jobs))
        found = await _look(broker, type_, asked, after, look)
        jobs += found.jobs
        after = found.next
        if after is None or len(jobs) >= limit:
            break
    if len(jobs) > limit:
        last = jobs[limit - 1]
        return Page(tuple(jobs[:limit]), Cursor(str(last.priority), str(last.id)))
    return Page(tuple(jobs), after)


async def stream(broker: Broker, type_: str, asked: Listing, first: Page) -> AsyncIterator[bytes]:
    """Render the whole list as one envelope, a page at a time, so that a million jobs fit.

    Should Redis go away meanwhile the answer breaks off and its JSON stays unfinished.
    """
    lead, current = b'{"data":[', first
    while True:
        if current.jobs:
            yield lead + rendered([job_json(job) for job in current.jobs])[1:-1]
            lead = b","
        if current.next is None:
            break
        current = await _look(broker, type_, asked, current.next, _LOOK)
    yield (lead if lead != b"," else b"") + b'],"ok":true}'


async def _look(
    broker: Broker, type_: str, asked: Listing, after: Cursor | None, look: int
) -> Page:
    return await broker.page(
        type_, owner_id=asked.owner_id, status=asked.status, after=after, limit=look
    )


async def begin(broker: Broker, type_: str, asked: Listing) -> Page:
    """Read the first page of a whole list, while a failure can still be said properly."""
    return await _look(broker, type_, asked, None, _LOOK)
