"""Events over HTTP, as server-sent events: of a type, and of one job.

The events of a stream come from the one reader of the process, see store/event_hub. sse-starlette
keeps the connection alive, and notices when the client is gone. What the client does not read waits
in its follower, which is cut when it has too much.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from http import HTTPStatus

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rq_broker.api.access import identity_of, is_still_known
from rq_broker.api.event_views import Sight, frames, shared_frames, view_of
from rq_broker.api.own import limits_of, owners_of
from rq_broker.api.paths import job_of, type_of
from rq_broker.api.responses import PRIVATE, UNSNIFFED, ok
from rq_broker.api.waiting import Waits, refuse_array
from rq_broker.domain.errors import Invalid, JobNotFound, Unavailable
from rq_broker.domain.events import FINAL, Event, place_of
from rq_broker.domain.job_history import JobHistory, told_of
from rq_broker.domain.jobs import Job
from rq_broker.domain.validation import rejected
from rq_broker.store.broker import Broker
from rq_broker.store.event_feed import Follower

PING_SECONDS = 15
"""Time between two comments that keep a quiet stream open. Proxies cut one after a minute or so."""
_ENTRY_ID = re.compile(r"[0-9]{1,15}(-[0-9]{1,15})?")
_LATEST_MS = 253_402_300_799_999
"""The end of the year 9999: a later time cannot be told of a gap behind such an event."""


class EventEndpoints:
    """The endpoints that stream events."""

    def __init__(self, broker: Broker, waits: Waits) -> None:
        self._broker = broker
        self._waits = waits

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1/{type}/{request_id}/events", self.job_events),
            Route("/v1/{type}/{request_id}/history", self.history),
            Route("/types/{type}/events", self.type_events),
        ]

    async def type_events(self, request: Request) -> Response:
        """Stream what happens to the jobs of a type."""
        type_, after = type_of(request), _last_entry(request)
        async with AsyncExitStack() as stack:
            follower = await self._follow(stack, request, type_)
            writes = self._writes(request, type_, follower, after)
            return EventStream(writes, stack.pop_all())

    async def job_events(self, request: Request) -> Response:
        """Stream what happens to one job, until it has ended or is gone."""
        (type_, request_id), after = job_of(request), _last_entry(request)
        refuse_array(request_id)
        owners = owners_of(request)
        try:
            job = await self._broker.read(type_, request_id, owners)
        except JobNotFound:
            if after:
                return _over()
            raise
        async with AsyncExitStack() as stack:
            follower = await self._follow(stack, request, type_)
            job = await self._broker.read(type_, request_id, owners)
            follower.narrow(job.id)
            if after and job.status in FINAL and not await self._has_more(job, follower, after):
                return _over()
            writes = self._writes_of_job(request, job, follower, after)
            return EventStream(writes, stack.pop_all())

    async def history(self, request: Request) -> Response:
        """List what happened to a job, the oldest event first, as far as it is kept."""
        (type_, request_id), owners = job_of(request), owners_of(request)
        refuse_array(request_id)
        job = await self._broker.read(type_, request_id, owners)
        with self._waits.counted(request):
            until = await self._broker.events.newest(type_)
            kept = self._broker.events.history(type_, "", until)
            told = JobHistory(job, [event async for events in kept for event in events])
        sight = sight_of(request)
        views = [view_of(event, sight.shows_by(event)) for event in told.events]
        return ok(views, complete=told.is_complete)

    async def _has_more(self, job: Job, follower: Follower, after: str) -> bool:
        """Tell whether events of a job came behind one that its client has."""
        async for events in self._broker.events.history(job.type, after, follower.start):
            if any(told_of(job, event) for event in events):
                return True
        return False

    async def _follow(self, stack: AsyncExitStack, request: Request, type_: str) -> Follower:
        stack.enter_context(self._waits.counted(request))
        return await stack.enter_async_context(self._broker.events.follow(type_))

    async def _writes(
        self, request: Request, type_: str, follower: Follower, after: str
    ) -> AsyncGenerator[bytes]:
        """Yield what the client has missed, and then what happens."""
        sight = sight_of(request)
        async for events in self._events(request, type_, follower, after):
            if written := shared_frames(events, sight):
                yield written

    async def _writes_of_job(
        self, request: Request, job: Job, follower: Follower, after: str
    ) -> AsyncGenerator[bytes]:
        """Yield the same of one job; without an event to go on from, first what it is now."""
        sight = sight_of(request)
        if not after:
            now = _present(job, follower.start)
            yield frames([now], sight)
            if now.word in FINAL:
                return
        is_final = False
        async for events in self._events(request, job.type, follower, after):
            shown = []
            for event in events:
                told = told_of(job, event)
                if told and not is_final:
                    shown.append(told)
                    is_final = told.word in FINAL
            if shown:
                yield frames(shown, sight)
            if is_final:
                return

    async def _events(
        self, request: Request, type_: str, follower: Follower, after: str
    ) -> AsyncIterator[tuple[Event, ...]]:
        if after:
            async for events in self._broker.events.history(type_, after, follower.start):
                yield events
        while True:
            await follower.wait()
            if events := follower.events():
                if not await is_still_known(request):
                    return
                yield events
            elif follower.is_ended:
                return


class EventStream(EventSourceResponse):
    """A stream that gives back what it holds, however it ends.

    It ends where Redis does not serve what the client has missed: the client comes back, and is
    refused then, or goes on behind the last event that it has.
    """

    def __init__(self, writes: AsyncGenerator[bytes], stack: AsyncExitStack) -> None:
        super().__init__(_served(writes), headers=UNSNIFFED, ping=PING_SECONDS)
        self._stack = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        async with self._stack:
            await super().__call__(scope, receive, send)


async def _served(writes: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(writes):
        with suppress(Unavailable):
            async for write in writes:
                yield write


def last_event_id(request: Request) -> str:
    """Return the ID of the last event that the client has, as it sent it; '' if it has none."""
    query = request.query_params.get("last_event_id", "")
    return request.headers.get("last-event-id", "") or query


def _last_entry(request: Request) -> str:
    """Return the same of one type. Raises Invalid."""
    text = last_event_id(request)
    is_id = _ENTRY_ID.fullmatch(text) and place_of(text)[0] <= _LATEST_MS
    if text and not is_id:
        raise Invalid(f"last_event_id must be the id of an event{rejected(text)}")
    return text


def _over() -> Response:
    """Answer that nothing follows: browsers come back after each end of a stream, but not then."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=PRIVATE)


def sight_of(request: Request) -> Sight:
    """Return what the caller sees. A caller limited to owners sees only their jobs, and gaps."""
    limits, name = limits_of(request), identity_of(request).name
    return Sight(owners_of(request), None if limits is None else name)


def _present(job: Job, after: str) -> Event:
    """Return an event that says what a job is now."""
    return Event(
        after or "0-0",
        job.status.value,
        job.type,
        job.updated,
        job.request_id,
        job.id,
        job.owner_id,
        None,
        job.status,
    )
