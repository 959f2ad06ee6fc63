"""The rows of sessions."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.operations.row import Operation
from rq_broker.api.session_views import SessionView
from rq_broker.domain import errors

OPERATIONS: Mapping[str, Operation] = {
    "session": Operation(
        SessionView,
        (errors.Unauthenticated, errors.NoRole, errors.Unavailable),
        order=45,
        access=roles.PUBLIC,
        identifies=True,
        note="Needs no identity: without one, `role` is null and `sign_in` says how to get one. "
        "`may` has the rows of the table of roles that hold for this identity.",
    ),
}
