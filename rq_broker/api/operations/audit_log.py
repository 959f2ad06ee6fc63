"""The rows of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rq_broker.api import roles
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import Operation, Parameter
from rq_broker.api.views import AuditLineView

_LOG_QUERY = {
    "who": Parameter({"type": "string"}, "Only what this identity did."),
    "verb": Parameter({"type": "string"}, "Only changes of this kind, such as `withdraw`."),
    "request_id": Parameter({"type": "string"}, "Only changes of the job of this name."),
    "http_request_id": Parameter({"type": "string"}, "Only what this `X-Request-ID` did."),
    "order": Parameter({"enum": ["newest", "oldest"]}, "Which line is the first: the newest."),
    "limit": Parameter(
        {"type": "integer", "minimum": 1, "maximum": 1000},
        "Most lines of a page, 100 if left out; as JSON lines the whole log.",
    ),
    "cursor": Parameter(
        {"type": "string"}, "`next` of the page before, or the `id` of a line: what follows it."
    ),
    "format": Parameter(
        {"enum": ["json", "lines"]},
        "`lines`: one JSON object a line, as with `Accept: application/x-ndjson`.",
    ),
}

_LOG = Operation(
    list[AuditLineView],
    refusals.TYPE,
    query=_LOG_QUERY,
    keys={"next": {"type": ["string", "null"]}},
    media=("application/json", "application/x-ndjson"),
    group=Group.LOOK,
    order=60,
    examples=(Example(query={"limit": "5"}),),
    access=roles.READ_LOG,
    note="A client sees what it did itself. A page may be shorter than `limit`; only `next: null` "
    "marks the last one. `before` and `after` have what changed only, long values cut.",
)

OPERATIONS: Mapping[str, Operation] = {
    "audit_log": _LOG,
    "installation_log": replace(_LOG, access=roles.READ_WHOLE_LOG),
}
