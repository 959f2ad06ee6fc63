"""The JSON objects of the answers of /healthz and /readyz."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from rq_broker.api.views import SourceView
from rq_broker.domain.representation import Count, JsonObject


class AliveView(JsonObject, frozen=True):
    """The process answers."""

    alive: Annotated[bool, Meta(extra_json_schema={"const": True})] = True


class ClockStepsView(JsonObject, frozen=True):
    """Steps of Redis's clock that were taken out of a type's clock."""

    count: Count
    seconds: Annotated[float, Meta(description="How far the last one went; below 0: back.")]
    at: Annotated[float, Meta(description="When it was noticed, Unix time.")]


class LossView(JsonObject, frozen=True):
    """A loss of a type's state: Redis went back to an earlier state, or lost it whole."""

    at: Annotated[float, Meta(description="When it was noticed, Unix time.")]
    last_id: Annotated[Count, Meta(description="The highest ID that is known to have been given.")]
    id_there: Annotated[Count, Meta(description="The highest ID that Redis still had.")]


class ReadyView(JsonObject, frozen=True):
    """Redis answers and takes writes."""

    redis: Annotated[str, Meta(description="`ok`, or that Redis may evict keys.")]
    notifiers: Annotated[str, Meta(description="`ok`, or the types that no notifier serves.")]
    callbacks: Annotated[
        str, Meta(description="`ok`, or the types of which most destinations fail.")
    ]
    sources: Annotated[
        dict[str, list[SourceView]],
        Meta(description="Type → the sources of its hosts; of very many, those in trouble first."),
    ]
    clock_steps: Annotated[
        dict[str, ClockStepsView], Meta(description="Type → steps of Redis's clock.")
    ]
    losses: Annotated[
        dict[str, list[LossView]], Meta(description="Type → losses of its state in Redis.")
    ]
    trouble: Annotated[list[str], Meta(description="All that is wrong, as sentences.")]
    notes: Annotated[
        list[str], Meta(description="What is not wrong, and should be known, as sentences.")
    ]
    types: Annotated[Count, Meta(description="How many types there are.")]
    types_read: Annotated[Count, Meta(description="How many of them this answer is about.")]
