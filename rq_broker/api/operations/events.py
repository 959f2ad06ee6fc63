"""The rows of streams of events."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.event_ids import PATTERN
from rq_broker.api.event_views import EventView
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import WHOSE, Operation, Parameter
from rq_broker.domain import errors
from rq_broker.store.event_types import MOST_TYPES

_RESUME = {
    "last_event_id": Parameter(
        {"type": "string", "pattern": r"^([0-9]{1,15}(-[0-9]{1,15})?)?$"},
        "The `id` of the last event that you have; what came since is sent first. The header "
        "Last-Event-ID, which browsers send, says the same and goes before. `0`: from the first "
        "event that is kept, without a `lost`.",
    )
}
_OF_TYPE = 'print(next(broker.events("vm", after="0")))'
_OF_JOB = 'print(next(broker.events("vm", "train-42")))'
_NOTE = (
    "Server-sent events: `id`, `event` (such as `job.granted`) and `data`, one Event as JSON; a "
    "comment every 15 seconds. `lost`: events before it may be missing, as the stream was trimmed "
    "or Redis lost it, or you read too slowly; then the stream ends, and goes on where you resume."
)

_MANY = """print(next(broker.events(["vm", "gpu"], after="0")))"""

OPERATIONS: Mapping[str, Operation] = {
    "type_events": Operation(
        EventView,
        (*refusals.TYPE, errors.TooManyWaits),
        query=_RESUME
        | {"owner_id": Parameter({"type": "string"}, "Only events of jobs of this owner.")},
        media=("text/event-stream",),
        group=Group.LOOK,
        examples=(Example(query={"last_event_id": "0"}, python=_OF_TYPE),),
        note=f"{_NOTE} Whoever is limited to owners sees the events of their jobs.",
        access=roles.READ_JOBS,
    ),
    "all_events": Operation(
        EventView,
        (errors.Invalid, errors.TooManyWaits, errors.Unavailable),
        query={
            "type": Parameter(
                {"type": "array", "items": {"type": "string"}, "maxItems": MOST_TYPES},
                "A type; may be given several times. Without: all that you may use, and those to "
                "come.",
            ),
            "last_event_id": Parameter(
                {"type": "string", "pattern": PATTERN},
                "The `id` of the last event that you have, as the header Last-Event-ID; `0`: from "
                "the first events that are kept.",
            ),
            "owner_id": Parameter({"type": "string"}, "Only events of jobs of this owner."),
        },
        media=("text/event-stream",),
        group=Group.LOOK,
        order=45,
        examples=(Example(query={"last_event_id": "0"}, python=_MANY),),
        note=f"{_NOTE} One connection for up to {MOST_TYPES} types: the `id` of an event says "
        "where the stream is in each, and `type` in its data of which it is. Those of one type are "
        "in order. `lost` is of one type.",
        access=roles.READ_JOBS,
    ),
    "history": Operation(
        list[EventView],
        (*refusals.JOB, errors.TooManyWaits),
        query=WHOSE,
        group=Group.LIFE,
        order=36,
        keys={
            "complete": {
                "type": "boolean",
                "description": "false: some of its earlier events are no longer kept.",
            }
        },
        note="The same events as `/events`, as one list, of all its grants. A type keeps its "
        "newest 10,000 events or so. The history of an array's job has the submit and the moves "
        "of the array, too.",
        access=roles.READ_JOBS,
    ),
    "job_events": Operation(
        EventView,
        (*refusals.JOB, errors.TooManyWaits),
        statuses=(200, 204),
        query=WHOSE | _RESUME,
        media=("text/event-stream",),
        group=Group.LIFE,
        order=35,
        examples=(Example(python=_OF_JOB),),
        note=f"{_NOTE} The first event says what the job is now, unless you resume. The stream "
        "ends after `job.done`, `job.error` or `job.deleted`; whoever resumes it then gets a 204.",
        access=roles.READ_JOBS,
    ),
}
