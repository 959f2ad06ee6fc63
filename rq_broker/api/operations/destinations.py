"""The rows of callback destinations."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import bodies, roles
from rq_broker.api.operations import refusals
from rq_broker.api.operations.row import Body, Operation
from rq_broker.api.views import DestinationsView, EmptyView, ReceiverTestView, RequeuedView
from rq_broker.domain import errors

_DESTINATION = {"destination": "http://127.0.0.1:9000"}

OPERATIONS: Mapping[str, Operation] = {
    "destinations": Operation(
        DestinationsView,
        refusals.TYPE,
        note="At most 1,000: open breakers first, then the latest used.",
        order=20,
        access=roles.READ_DESTINATIONS,
    ),
    "reset": Operation(
        EmptyView,
        (*refusals.TYPE, *refusals.BODY, errors.DestinationNotFound),
        body=Body(bodies.OneDestination, _DESTINATION),
        order=21,
        access=roles.OPERATE,
    ),
    "requeue": Operation(
        RequeuedView,
        (*refusals.TYPE, *refusals.BODY),
        body=Body(bodies.OneDestination, _DESTINATION),
        note="Requeues the jobs in status `error` whose newest grant was to be announced there.",
        order=22,
        access=roles.OPERATE,
    ),
    "send_test": Operation(
        ReceiverTestView,
        (*refusals.TYPE, *refusals.BODY, errors.CallbackForbidden, errors.TooManyReceiverTests),
        body=Body(bodies.ReceiverTestBody, {"callback": "http://127.0.0.1:9000/granted/train-43"}),
        note="A `receiver.test` message, about no job, goes out once, from a notifier and signed "
        "as callbacks are; also while the breaker is open, which it does not change. You name it: "
        "a repetition within a minute sends nothing and answers as a read of it.",
        order=23,
        access=roles.OPERATE,
    ),
    "receiver_test": Operation(
        ReceiverTestView,
        (*refusals.TYPE, errors.ReceiverTestNotFound),
        note="Kept for a minute. `sent` false: no notifier has taken it yet.",
        order=24,
        access=roles.OPERATE,
    ),
}
