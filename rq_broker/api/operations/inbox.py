"""The rows of the development inbox."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.operations.row import Operation
from rq_broker.api.views import EmptyView, ReceivedView
from rq_broker.domain import errors

OPERATIONS: Mapping[str, Operation] = {
    "received": Operation(list[ReceivedView], order=71, access=roles.OPERATE),
    "receive": Operation(
        EmptyView, (errors.TooLarge, errors.NotFound), order=70, access=roles.PUBLIC
    ),
}
