"""One stream of the events of several types, over one connection: of some, or of all there are.

A browser has six connections to a server, so a page that shows every type cannot have one stream
of each. The events are those of the streams of types, each once and in the order of its type.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import AsyncExitStack

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.access import identity_of, is_still_known
from rq_broker.api.event_ids import Places, Seen
from rq_broker.api.event_views import frame_with
from rq_broker.api.events import EventStream, last_event_id, sight_of
from rq_broker.api.paths import type_name
from rq_broker.api.waiting import Waits
from rq_broker.domain.errors import BrokerError, Forbidden, Invalid, Unavailable
from rq_broker.domain.events import Event
from rq_broker.store.broker import Broker
from rq_broker.store.event_feed import RETRY_SECONDS, Follower
from rq_broker.store.event_types import MOST_TYPES, AllFollower


class AllEventEndpoints:
    """The endpoint /events."""

    def __init__(self, broker: Broker, waits: Waits) -> None:
        self._broker = broker
        self._waits = waits

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/events", self.all_events)]

    async def all_events(self, request: Request) -> Response:
        """Stream what happens to the jobs of some types, or of all that the caller may use."""
        types, seen = _named(request), Seen(last_event_id(request))
        async with AsyncExitStack() as stack:
            stack.enter_context(self._waits.counted(request))
            events = self._broker.events
            follower: Follower = await stack.enter_async_context(
                events.follow(*types) if types else events.follow_all(identity_of(request).uses)
            )
            stream = _AllEvents(self._broker, request, follower, seen)
            return EventStream(stream.frames(), stack.pop_all())


def _named(request: Request) -> list[str]:
    """Return the types that the query names, each once. Raises Invalid or Forbidden."""
    types = list(dict.fromkeys(map(type_name, request.query_params.getlist("type"))))
    if len(types) > MOST_TYPES:
        raise Invalid(f"type may be given {MOST_TYPES} times, not {len(types)} times")
    identity = identity_of(request)
    for type_ in types:
        if not identity.uses(type_):
            raise Forbidden(f"{identity.name} may not use the type {type_!r}")
    return types


class _AllEvents:
    """One stream."""

    def __init__(self, broker: Broker, request: Request, follower: Follower, seen: Seen) -> None:
        self._broker = broker
        self._request = request
        self._follower = follower
        self._seen = seen
        self._sight = sight_of(request)
        self._places = Places(follower.starts)

    async def frames(self) -> AsyncGenerator[bytes]:
        """Yield what the client has missed, and then what happens."""
        follower = self._follower
        if self._seen.is_new:
            # An ID alone, so that a client that comes back before the first event misses nothing.
            yield f"id: {self._places.id}\r\n\r\n".encode()
        async for frames in self._missed():
            yield frames
        while True:
            await follower.wait()
            events = follower.events()
            if events and not await is_still_known(self._request):
                return
            if frames := self._rendered(events):
                yield frames
            if follower.is_ended:
                if not events:
                    return
            elif isinstance(follower, AllFollower) and follower.has_new:
                async for frames in self._come(follower):
                    yield frames

    async def _missed(self) -> AsyncIterator[bytes]:
        """Yield what happened since the client left."""
        if self._seen.is_new:
            return
        is_of_all = isinstance(self._follower, AllFollower)
        starts = [(type_, self._seen.of(type_)) for type_ in sorted(self._follower.starts)]
        # A type that was not there when the client left came since: all of it is news.
        missed = {
            type_: "" if after is None else after
            for type_, after in starts
            if is_of_all or after is not None
        }
        for type_, after in missed.items():
            self._places.put(type_, after)
        for type_, after in missed.items():
            async for frames in self._history(type_, after):
                yield frames

    async def _come(self, follower: AllFollower) -> AsyncIterator[bytes]:
        """Follow the types that came, each from its first event on."""
        try:
            new = await follower.add_new()
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)
            follower.wake()
            return
        except BrokerError:  # there are too many: who comes back is told so
            follower.end()
            return
        self._places.keep(follower.starts)
        for type_ in new:
            async for frames in self._history(type_, ""):
                yield frames

    async def _history(self, type_: str, after: str) -> AsyncIterator[bytes]:
        """Yield the events of a type behind an entry, up to those that the follower takes."""
        until = self._follower.starts[type_]
        async for events in self._broker.events.history(type_, after, until):
            if frames := self._rendered(events):
                yield frames
        self._places.put(type_, until)

    def _rendered(self, events: Iterable[Event]) -> bytes:
        frames = []
        for event in events:
            id_ = self._places.pass_by(event)
            if self._sight.sees(event):
                frames.append(frame_with(id_, event, self._sight.shows_by(event)))
        return b"".join(frames)
