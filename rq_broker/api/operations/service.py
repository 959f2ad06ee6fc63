"""The rows of the service itself: probes, metrics, documentation."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.health_views import AliveView, ReadyView
from rq_broker.api.operations.row import Operation
from rq_broker.domain import errors

OPERATIONS: Mapping[str, Operation] = {
    "alive": Operation(AliveView, access=roles.PUBLIC),
    "ready": Operation(ReadyView, (errors.Unavailable,), access=roles.SURVEY),
    "metrics": Operation(
        media=("text/plain",), note="For Prometheus; Redis need not answer.", access=roles.SURVEY
    ),
    "openapi": Operation(access=roles.EVERYBODY),
    "docs": Operation(media=("text/html", "text/markdown"), access=roles.EVERYBODY),
    "docs_api": Operation(media=("text/html",), access=roles.EVERYBODY),
    "docs_page": Operation(
        refusals=(errors.NotFound,),
        media=("text/html", "text/markdown"),
        note="With `Accept: text/markdown`, or `.md` after the name, the answer is the Markdown.",
        access=roles.EVERYBODY,
    ),
}
