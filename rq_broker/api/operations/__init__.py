"""What the OpenAPI document says of each endpoint that its code cannot say.

Each file has the rows of one family of routes. The key is the endpoint's name. A route that has no
row here stops the app from starting.
"""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api.operations import (
    audit_log,
    bulk,
    destinations,
    events,
    hosts,
    inbox,
    jobs,
    questions,
    reports,
    service,
    sessions,
    signing_keys,
    tokens,
    types,
)
from rq_broker.api.operations.refusals import CHANGE_REFUSALS, SERVER_REFUSALS
from rq_broker.api.operations.row import Operation

__all__ = ["CHANGE_REFUSALS", "FAMILIES", "OPERATIONS", "SERVER_REFUSALS", "Operation"]

FAMILIES: tuple[Mapping[str, Operation], ...] = (
    jobs.OPERATIONS,
    bulk.OPERATIONS,
    events.OPERATIONS,
    questions.OPERATIONS,
    reports.OPERATIONS,
    types.OPERATIONS,
    hosts.OPERATIONS,
    destinations.OPERATIONS,
    signing_keys.OPERATIONS,
    tokens.OPERATIONS,
    sessions.OPERATIONS,
    audit_log.OPERATIONS,
    service.OPERATIONS,
    inbox.OPERATIONS,
)
OPERATIONS: Mapping[str, Operation] = {
    name: row for family in FAMILIES for name, row in family.items()
}
