"""How an event is written in a stream of server-sent events."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Meta, UnsetType, field
from sse_starlette import ServerSentEvent

from rq_broker.domain.arrays import whole
from rq_broker.domain.events import LOST, Event
from rq_broker.domain.jobs import BESIDE, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.representation import Converted, JsonObject, Number, Time, rfc3339, to_json

_WHOLE_NUMBERS = frozenset({"alternative", "milliseconds"})
_CACHED = 1024
"""Frames kept: one event goes to many streams, most of them at the same time."""
_CACHED_TOGETHER = 16
"""Writes kept, of 500 events and some 125 KB at most: those of streams that have the same events to
write. More would serve more kinds of callers that follow one type at the same time."""


class EventView(JsonObject, frozen=True):
    """One event: what happened to a job or to its type. Keys that do not apply are left out."""

    event: Annotated[str, Meta(description="What happened, the same as the line `event:`.")]
    type: str
    at: Time
    request_id: Annotated[str, Converted(request_id_in)] | UnsetType = UNSET
    id: Annotated[Number | UnsetType, Meta(description="The job's ID.")] = UNSET
    owner_id: str | UnsetType = UNSET
    old_status: Annotated[
        Status | UnsetType | None,
        Meta(description="The job's status before; null: it was not there."),
    ] = field(default=UNSET, name="from")
    new_status: Annotated[
        Status | UnsetType | None, Meta(description="The job's status since; null: it is gone.")
    ] = field(default=UNSET, name="to")
    by: Annotated[
        str | UnsetType | None,
        Meta(
            description="The identity that did it; null: the broker. Left out where it is another "
            "one and you see your own jobs only."
        ),
    ] = UNSET
    alternative: Annotated[
        int | UnsetType, Meta(description="Which of its alternatives was granted.")
    ] = UNSET
    milliseconds: Annotated[
        int | UnsetType, Meta(description="By how much the clock of Redis was stepped.")
    ] = UNSET
    reason: Annotated[
        str | UnsetType,
        Meta(description="Of a gap: `trimmed`, `state_lost` or `slow`."),
    ] = UNSET


class Sight(NamedTuple):
    """Which events a caller sees, and whose names in them."""

    owners: frozenset[str] | None
    """The owners whose jobs it sees; None: all, and what happens to the type."""
    name: str | None
    """The only identity whose name it may know, its own; None: it may know all."""

    def sees(self, event: Event) -> bool:
        """Tell whether it sees an event; gaps are for everybody."""
        if self.owners is None or event.word == LOST:
            return True
        return event.is_of_a_job and event.owner in self.owners

    def shows_by(self, event: Event) -> bool:
        """Tell whether it may know who did something."""
        return self.name is None or event.by in ("", self.name)


def frames(events: Iterable[Event], sight: Sight) -> bytes:
    """Return the bytes of those events that a caller sees."""
    seen = filter(sight.sees, events)
    return b"".join(frame_with(event.id, event, sight.shows_by(event)) for event in seen)


@lru_cache(_CACHED_TOGETHER)
def shared_frames(events: tuple[Event, ...], sight: Sight) -> bytes:
    """Return the same, made once for all streams that have these very events to write."""
    return frames(events, sight)


def frame_with(id_: str, event: Event, shows_by: bool) -> bytes:
    """Return the bytes of one event. `shows_by`: whether it says who did it."""
    rest = _without_id(event, shows_by)
    return b"id: %b\r\n%b" % (id_.encode(), rest) if id_ else rest


@lru_cache(_CACHED)
def _without_id(event: Event, shows_by: bool) -> bytes:
    data = to_json(view_of(event, shows_by)).decode()
    sent: bytes = ServerSentEvent(data, event=name_of(event)).encode()
    return sent


def view_of(event: Event, shows_by: bool) -> EventView:
    """Return the object of one event. `shows_by`: whether it says who did it."""
    fields: dict[str, Any] = {
        name: int(value) if name in _WHOLE_NUMBERS else value
        for name, value in event.details
        if name in EventView.__struct_fields__
    }
    if event.is_of_a_job:
        fields |= {
            "request_id": request_id_in(event.name),
            "id": event.job_id or UNSET,
            "old_status": event.old_status,
            "new_status": event.new_status,
        }
        if event.name.endswith(whole("")):
            del fields["id"]
        if event.owner is not None:
            fields["owner_id"] = event.owner
        if shows_by and event.by is not None:
            fields["by"] = event.by or None
    return EventView(name_of(event), event.type, rfc3339(event.at), **fields)


def name_of(event: Event) -> str:
    """Return the word by which streams call an event: `job.granted`, `type.clock_step`, `lost`."""
    if event.word == LOST:
        return LOST
    if not event.is_of_a_job:
        return f"type.{event.word}"
    return f"job.{Status.QUEUED if event.word == BESIDE else event.word}"
