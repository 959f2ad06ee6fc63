"""The rows of the service itself: probes, metrics, documentation."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.health_views import AliveView, ReadyView
from rq_broker.api.operations.row import Operation
from rq_broker.domain import errors

OPERATIONS: Mapping[str, Operation] = {
    "alive": Operation(AliveView, order=60, access=roles.PUBLIC),
    "ready": Operation(ReadyView, (errors.Unavailable,), order=61, access=roles.SURVEY),
    "metrics": Operation(
        media=("text/plain",),
        note="For Prometheus; Redis need not answer.",
        order=62,
        access=roles.SURVEY,
    ),
    "openapi": Operation(order=83, access=roles.PUBLIC),
    "docs": Operation(media=("text/html", "text/markdown"), order=80, access=roles.PUBLIC),
    "docs_api": Operation(media=("text/html",), order=81, access=roles.PUBLIC),
    "docs_page": Operation(
        refusals=(errors.NotFound,),
        media=("text/html", "text/markdown"),
        note="With `Accept: text/markdown`, or `.md` after the name, the answer is the Markdown.",
        order=82,
        access=roles.PUBLIC,
    ),
}
