"""How an event is written in a stream of server-sent events."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

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


@lru_cache(_CACHED)
def frame(event: Event, shows_by: bool) -> bytes:
    """Return the bytes of one event. `shows_by`: whether it says who did it."""
    return frame_with(event.id, event, shows_by)


def frame_with(id_: str, event: Event, shows_by: bool) -> bytes:
    """Return the same with another ID."""
    word, data = name_of(event), _data(event, shows_by)
    sent: bytes = ServerSentEvent(data, event=word, id=id_ or None).encode()
    return sent


@lru_cache(_CACHED)
def _data(event: Event, shows_by: bool) -> str:
    return to_json(view_of(event, shows_by)).decode()


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
