"""Lists of jobs: the query, pages with an opaque cursor, and the whole list as a stream."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Raw

from rq_broker.api.sizes import asks_for
from rq_broker.domain.arrays import array_of
from rq_broker.domain.errors import Invalid, JobNotFound
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.representation import EtaView, JobView, to_json
from rq_broker.domain.validation import MAX_WHOLE, one_of, show
from rq_broker.planner.forecasting.forecasts import Forecast
from rq_broker.store.broker import Broker, Cursor, Page

PAGE_LIMIT = 1000
"""Jobs in one page at most. It bounds the memory of one answer."""
_PAGED = ("cursor", "from", "contains", "needs", "callback")
"""Parameters with which the answer is a page, if they are not empty."""
_BATCH = 100
"""Jobs that one call of the broker examines, and that are rendered at once, at most. They block
Redis for half a millisecond and this process for two."""
_BATCHES = 100
"""Calls of the broker for one page. A page filtered by owner and status examines 10,000 jobs at
most and may come out short; its cursor goes on from there."""
_PAGE_BYTES = 8 << 20
"""Bytes of `data` after which a page ends early: 1,000 jobs may have 1 MiB each."""
View = Callable[[Job], JobView]
"""Shows a job to who asks for a list."""
_PAUSE = 3.0
"""How long a list waits after it has rendered a batch, as a multiple of that time. To read a batch
takes as long as to render it, so all lists together use half of the process at most. Without the
pause, submits beside four lists of 100,000 jobs took forty times as long as alone."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The query of a list. An empty status matches all; `limit` None streams the whole list."""

    owners: frozenset[str] | None = None
    """Whose jobs; None: every owner's."""
    status: str = ""
    limit: int | None = None
    after: Cursor | None = None
    position: int | None = None
    """Place among the jobs of the status at which the first page begins."""
    contains: str = ""
    """List jobs whose request_id has this text."""
    needs: Mapping[str, int] = field(default_factory=dict)
    """List jobs that ask for at least so much of each resource, over all their instances."""
    callback: str = ""
    """List the jobs with this callback."""

    with_eta: bool = False
    """Whether each queued job has its forecast."""
    with_reason: bool = False
    """Whether each queued job has the reason why it waits."""
    request_id: str = ""
    """List this job alone; of an array, such as `sweep[*]`, its jobs by their numbers."""

    @property
    def array(self) -> str:
        """The name of the array whose jobs are listed; empty for none."""
        return array_of(self.request_id) or ""

    @property
    def names_jobs(self) -> bool:
        """Whether it is of jobs that an index has by name: there is nothing to walk."""
        return bool(self.callback or (self.request_id and not self.array))


def listing(parameters: Mapping[str, str]) -> Listing:
    """Parse the query parameters of a list; a page is asked for by a limit, a cursor, by what is
    computed for a page (`eta=1`, `reason=1`), where it begins (`from=N`) or how it is searched.

    Raises Invalid for a malformed parameter.
    """
    limit, cursor = parameters.get("limit"), parameters.get("cursor")
    if status := parameters.get("status", ""):
        one_of(status, "status", tuple(Status))
    for name in ("eta", "reason"):
        one_of(parameters.get(name, "0"), name, ("0", "1"))
    computed = {name for name in ("eta", "reason") if parameters.get(name) == "1"}
    owner, begin = parameters.get("owner_id", ""), parameters.get("from")
    request_id, callback = parameters.get("request_id", ""), parameters.get("callback", "")
    contains, needs = parameters.get("contains", ""), _needs(parameters.get("needs", ""))
    if begin is not None and (owner or cursor or request_id or contains or needs or not status):
        raise Invalid("from goes with a status, and with no cursor and no other filter")
    if callback and (request_id or contains or needs or begin or cursor):
        raise Invalid("callback goes with owner_id and status only")
    if request_id and (contains or needs):
        raise Invalid("request_id goes with owner_id and status only")
    return Listing(
        frozenset((owner,)) if owner else None,
        status,
        _limit(limit, paged=bool(computed or any(map(parameters.get, _PAGED)))),
        _cursor(cursor) if cursor else None,
        None if begin is None else _position(begin),
        with_eta="eta" in computed,
        with_reason="reason" in computed,
        request_id=request_id,
        contains=contains,
        needs=needs,
        callback=callback,
    )


def _needs(text: str) -> Mapping[str, int]:
    """Parse `VCPU:16,Memory:65536`."""
    amounts = dict[str, int]()
    for part in filter(None, text.split(",")):
        resource, _, amount = part.rpartition(":")
        if not resource or not (amount.isascii() and amount.isdigit() and len(amount) <= 16):
            raise Invalid(f"needs must be as VCPU:16 or VCPU:16,Memory:65536, not {show(text)}")
        amounts[resource] = int(amount)
    return amounts


def _limit(text: str | None, *, paged: bool) -> int | None:
    if text is None:
        return PAGE_LIMIT if paged else None
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= PAGE_LIMIT:
        return int(text)
    raise Invalid(f"limit must be a whole number from 1 to {PAGE_LIMIT}, not {show(text)}")


def _position(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 16 and 1 <= int(text) <= MAX_WHOLE:
        return int(text)
    raise Invalid(f"from must be a place in the line, 1 for the next, not {show(text)}")


def opaque(cursor: Cursor) -> str:
    """Encode a cursor for clients."""
    return urlsafe_b64encode(f"{cursor.priority},{cursor.id}".encode()).decode().rstrip("=")


def _cursor(text: str) -> Cursor:
    """Decode a cursor. Raises Invalid."""
    try:
        priority, id_ = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(",")
        if abs(int(priority)) <= MAX_WHOLE and 0 < int(id_) <= MAX_WHOLE:
            return Cursor(str(int(priority)), str(int(id_)))
    except ValueError:
        pass
    raise Invalid(f"cursor must be the `next` of an earlier page, not {show(text)}")


class Lists:
    """Reads and renders the lists of one process, which take turns and leave time to others."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._turn = asyncio.Lock()

    async def page(self, type_: str, listing: Listing, limit: int) -> Page:
        """Collect one page of up to `limit` jobs."""
        jobs: list[Job] = []
        after, line = listing.after, ""
        size, places = 0, None
        if listing.names_jobs:
            named = await self._named(type_, listing)
            return Page(tuple(job for job in named if listing.status in ("", job.status)), None)
        both_filters = listing.owners is not None and listing.status and not listing.array
        for _ in range(_BATCHES):
            # The broker walks one index and drops what the other filter refuses.
            whole = both_filters or listing.needs
            count = _BATCH if whole else min(_BATCH, limit - len(jobs))
            batch = await self._batch(type_, listing, after, count)
            places = places or batch.count
            line = line or batch.line  # what came since the first batch is newer than the version
            jobs += [job for job in batch.jobs if asks_for(job, listing.needs)]
            after = batch.next
            size += sum(len(job.data) for job in batch.jobs)
            if after is None or len(jobs) >= limit or size >= _PAGE_BYTES:
                break
        if len(jobs) > limit:
            last = jobs[limit - 1]
            cursor = Cursor(str(last.priority), str(last.id))
            return Page(tuple(jobs[:limit]), cursor, places, line)
        return Page(tuple(jobs), after, places, line)

    async def _named(self, type_: str, listing: Listing) -> Sequence[Job]:
        if listing.callback:
            return await self._broker.called_at(type_, listing.callback, listing.owners)
        try:
            return [await self._broker.read(type_, listing.request_id, listing.owners)]
        except JobNotFound:
            return ()

    async def first_page(self, type_: str, listing: Listing) -> Page:
        """Read the first page of a stream, while a failure can still become an error answer."""
        if listing.names_jobs:
            return await self.page(type_, listing, PAGE_LIMIT)
        return await self._batch(type_, listing, None, _BATCH)

    async def stream(
        self, type_: str, listing: Listing, first: Page, view: View = JobView.of
    ) -> AsyncIterator[bytes]:
        """Yield the envelope of the whole list, a page at a time, so that memory stays bounded.

        If Redis goes away meanwhile, the answer breaks off and is no valid JSON.
        """
        prefix, current = b'{"data":[', first
        while True:
            if current.jobs:
                yield prefix + await self._elements(current.jobs, view)
                prefix = b","
            if current.next is None:
                break
            current = await self._batch(type_, listing, current.next, _BATCH)
        line = b',"line":"%b"' % first.line.encode() if first.line else b""
        yield (prefix if prefix != b"," else b"") + b"]" + line + b',"ok":true}'

    async def array(
        self,
        jobs: Sequence[Job],
        view: View = JobView.of,
        forecasts: Sequence[Forecast | None] | None = None,
    ) -> Raw:
        """Render jobs as a JSON array, each with its forecast where forecasts are given."""
        pieces = [
            await self._elements(
                jobs[start : start + _BATCH], view, forecasts and forecasts[start : start + _BATCH]
            )
            for start in range(0, len(jobs), _BATCH)
        ]
        return Raw(b"[%b]" % b",".join(pieces))

    async def _elements(
        self,
        jobs: Sequence[Job],
        view: View,
        forecasts: Sequence[Forecast | None] | None = None,
    ) -> bytes:
        """Render the elements of an array, when it is this list's turn."""
        async with self._turn:
            started = time.perf_counter()
            views = [view(job) for job in jobs]
            if forecasts is not None:
                views = [
                    shown.with_fields(eta=forecast and EtaView.of(forecast))
                    for shown, forecast in zip(views, forecasts, strict=True)
                ]
            elements = to_json(views)[1:-1]
            await asyncio.sleep(_PAUSE * (time.perf_counter() - started))
        return elements

    async def _batch(self, type_: str, listing: Listing, after: Cursor | None, size: int) -> Page:
        if listing.array:
            return await self._batch_of_array(type_, listing, after, size)
        return await self._broker.page(
            type_,
            owners=listing.owners,
            status=listing.status,
            after=after,
            position=listing.position,
            limit=size,
            contains=listing.contains,
        )

    async def _batch_of_array(
        self, type_: str, listing: Listing, after: Cursor | None, size: int
    ) -> Page:
        """Read some jobs of an array; its cursors have the number of the next job as the ID."""
        try:
            jobs, following = await self._broker.page_array(
                type_,
                listing.array,
                int(after.id) if after else 0,
                status=listing.status,
                owners=listing.owners,
                limit=size,
            )
        except JobNotFound:
            return Page((), None)
        return Page(jobs, None if following is None else Cursor("0", str(following)))
