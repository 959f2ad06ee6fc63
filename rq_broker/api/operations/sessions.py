"""The rows of sessions."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.operations.row import Operation
from rq_broker.api.session_views import SessionView
from rq_broker.api.views import EmptyView
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
    "create_session": Operation(
        SessionView,
        (errors.RateLimited,),
        order=46,
        access=roles.SIGN_IN,
        note="The answer sets a cookie, which proves from then on what the credential of this "
        "request proves. Scripts cannot read it, and it counts for the pages of this API only.",
    ),
    "end_session": Operation(
        EmptyView,
        (errors.Unavailable,),
        order=47,
        access=roles.SIGN_IN,
        note="Every API process refuses the cookie within a second.",
    ),
}
