"""The rows of streams of events."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.event_views import EventView
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import WHOSE, Operation, Parameter
from rq_broker.domain import errors

_RESUME = {
    "last_event_id": Parameter(
        {"type": "string", "pattern": r"^([0-9]{1,15}(-[0-9]{1,15})?)?$"},
        "The `id` of the last event that you have; what came since is sent first. The header "
        "Last-Event-ID, which browsers send, says the same and goes before.",
    )
}
_OF_TYPE = 'print(next(broker.events("vm", after="0")))'
_OF_JOB = 'print(next(broker.events("vm", "train-42")))'
_NOTE = (
    "Server-sent events: `id`, `event` (such as `job.granted`) and `data`, one Event as JSON; a "
    "comment every 15 seconds. `lost`: events before it may be missing, as the stream was trimmed "
    "or Redis lost it, or you read too slowly; then the stream ends, and goes on where you resume."
)

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
