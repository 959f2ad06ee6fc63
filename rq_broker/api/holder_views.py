"""The JSON objects that say who holds a host, and for whom it is kept."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.names import request_id_in
from rq_broker.domain.representation import Converted, JsonObject


class HostHolderView(JsonObject, frozen=True):
    """A job that holds something of a host."""

    request_id: Annotated[str, Converted(request_id_in)]
    owner_id: str
    granted: Annotated[float, Meta(description="Since when it holds, Unix time.")]
    ends: Annotated[float, Meta(description="When that is expected to end, Unix time.")]
    predicted_from: Annotated[
        str, Meta(description="By what it said (expected), or by earlier jobs like it.")
    ]
    overdue: Annotated[
        bool, Meta(description="That is more than three times what it said it would hold.")
    ]
    amounts: Annotated[Amounts, Meta(description="Resource → what it holds of this host.")]


class ReservedView(JsonObject, frozen=True):
    """A waiting job for which capacity is kept."""

    request_id: Annotated[str, Converted(request_id_in)]
    owner_id: str
    start: Annotated[float, Meta(description="When it is to start, Unix time.")]
    hosts: Annotated[
        dict[str, Amounts],
        Meta(description="Host → resource → what is kept there."),
        Converted(dict),
    ]
