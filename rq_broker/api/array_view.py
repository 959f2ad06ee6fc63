"""The JSON object of an array of jobs."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from rq_broker.domain.jobs import Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.reasons.view import ReasonView
from rq_broker.domain.representation import Converted, Count, JsonObject, Number, Time


def _shown(name: str | None) -> str | None:
    return None if name is None else request_id_in(name)


class ArrayView(JsonObject, frozen=True):
    """An array of jobs, and what has become of them."""

    request_id: Annotated[
        str, Meta(description="The name that stands for all its jobs, with `[*]` at the end.")
    ] = field(name="RequestID")
    type: str = field(name="Type")
    owner_id: str = field(name="OwnerID")
    created: Time = field(name="CreatedAt")
    count: Annotated[Number, Meta(description="Jobs that its submit asked for.")] = field(
        name="Count"
    )
    at_once: Annotated[
        Number | None, Meta(description="How many of them hold capacity at a time, at most.")
    ] = field(name="AtOnce")
    counts: Annotated[
        dict[Status, Count], Meta(description="Status → jobs of it that are there.")
    ] = field(name="Counts")
    waiting: Annotated[
        str | None,
        Meta(description="The `request_id` of the first job that waits, by number."),
        Converted(_shown),
    ] = field(name="Waiting")
    is_complete: Annotated[
        bool,
        Meta(description="false: its submit was cut short; repeat it, and the rest is stored."),
    ] = field(name="Complete")
    reason: Annotated[
        str | UnsetType | None, Meta(description="Why that job waits. Only where it is read.")
    ] = field(name="Reason", default=UNSET)
    why: Annotated[
        ReasonView | UnsetType | None, Meta(description="That, or the `Warning`, as values.")
    ] = field(name="Why", default=UNSET)
    warning: Annotated[
        str | UnsetType,
        Meta(description="Why no host of the type could ever hold a job of it: only at submit."),
    ] = field(name="Warning", default=UNSET)
