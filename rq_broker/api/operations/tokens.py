"""The rows of tokens."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import roles
from rq_broker.api.operations import refusals
from rq_broker.api.operations.row import Body, Operation
from rq_broker.api.views import EmptyView, IssuedView, TokenView
from rq_broker.domain import errors
from rq_broker.domain.tokens import NewTokenBody, Rotation

_TOKEN = {
    "name": "lab-7",
    "role": "client",
    "owners": ["lab-7"],
    "types": ["vm"],
    "expires": 7776000,
}

OPERATIONS: Mapping[str, Operation] = {
    "tokens": Operation(list[TokenView], (errors.Unavailable,), order=41, access=roles.ADMINISTER),
    "create_token": Operation(
        IssuedView,
        (*refusals.TYPE, *refusals.BODY, errors.Conflict),
        statuses=(201,),
        body=Body(NewTokenBody, _TOKEN),
        note="The answer shows the token, which is kept nowhere. 409 if another one that is not "
        "revoked and has not expired has the name.",
        order=40,
        access=roles.ADMINISTER,
    ),
    "rotate_token": Operation(
        IssuedView,
        (*refusals.TYPE, *refusals.BODY, errors.TokenNotFound),
        body=Body(Rotation, {"overlap": 3600}, is_required=False),
        note="The answer shows the new token. The old one is refused at once, or after `overlap`.",
        order=42,
        access=roles.ADMINISTER,
    ),
    "revoke_token": Operation(
        EmptyView,
        (*refusals.TYPE, errors.TokenNotFound),
        note="Every API process refuses it within a second, and those that it replaced too.",
        order=43,
        access=roles.ADMINISTER,
    ),
}
