"""The JSON objects that tell of every type in one row."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from rq_broker.api.host_totals import TotalsView
from rq_broker.api.views import Counts, SourceView
from rq_broker.domain.capacity import Amounts
from rq_broker.domain.representation import Count, JsonObject


class TypeTroubleView(JsonObject, frozen=True):
    """What is wrong with a type; nothing where every value is empty, 0 or false."""

    sources: Annotated[list[SourceView], Meta(description="Those that are stale or fail.")]
    breakers: Annotated[Count, Meta(description="Receivers whose breaker is not closed.")]
    outage: Annotated[bool, Meta(description="Most of its destinations fail.")]
    losses: Annotated[
        Count, Meta(description="Losses of its state in Redis, until they are acknowledged.")
    ]
    no_host: Annotated[
        bool, Meta(description="Jobs wait in its line, and it has no host; false while paused.")
    ]
    unserved: Annotated[
        str | None, Meta(description="That no notifier serves it, in a sentence; null if one does.")
    ]


class TypeSummaryView(JsonObject, frozen=True):
    """One type in a row."""

    name: str
    counts: Counts
    paused: Annotated[bool, Meta(description="Submits are accepted, grants stop.")]
    oldest_wait_seconds: Annotated[
        float, Meta(ge=0, description="How long the job waits that waits for longest; 0: none.")
    ]
    grants: Annotated[
        Count,
        Meta(description="Grants since the type began; two answers tell those in between."),
    ]
    offers_missed: Annotated[Count, Meta(description="Offers that ended before they were taken.")]
    totals: Annotated[
        TotalsView | None,
        Meta(description="The sums of its hosts; null beyond the first 100 types by name."),
    ]
    kept: Annotated[
        Amounts,
        Meta(
            description="What of `free` is kept, as the latest pass planned, for jobs that others "
            "passed for too long; other jobs may use it if they end before those start."
        ),
    ]
    trouble: Annotated[
        TypeTroubleView | UnsetType, Meta(description="Left out to who is limited to owners.")
    ] = UNSET
