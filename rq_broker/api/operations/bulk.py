"""The rows of calls on many jobs."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import bulk_bodies, roles
from rq_broker.api.bulk_views import ActedView, SubmittedManyView
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Group
from rq_broker.api.operations.row import WARNING, WHOSE, Body, Operation
from rq_broker.domain import errors

_ONE = {
    "owner_id": "lab-7",
    "data": {"instances": [{"VCPU": 1}]},
}
_JOBS = {
    "jobs": [
        {"request_id": name, "callback": f"http://127.0.0.1:9000/granted/{name}", **_ONE}
        for name in ("eval-1", "eval-2")
    ]
}
_ACTION = {
    "action": "withdraw",
    "filter": {"status": "error", "older_than": 86400},
    "dry_run": True,
}

OPERATIONS: Mapping[str, Operation] = {
    "submit_many": Operation(
        SubmittedManyView,
        (*refusals.TYPE, *refusals.BODY),
        body=Body(bulk_bodies.SubmitMany, _JOBS),
        keys=WARNING,
        takes_key=True,
        note=f"1 to {bulk_bodies.MOST_JOBS:,} jobs in a body of at most 4 MiB. Each has the status "
        "and the code that it would have alone. With an Idempotency-Key the key of each job is "
        "that key, a space and its `request_id`: the call may be repeated, whole or in parts.",
        group=Group.STEER,
        order=10,
        makes_type=True,
        access=roles.CHANGE_JOBS,
    ),
    "act": Operation(
        ActedView,
        (*refusals.TYPE, *refusals.BODY, errors.NoRoom),
        body=Body(bulk_bodies.ActionBody, _ACTION),
        query=WHOSE,
        keys={"next": {"type": ["string", "null"]}},
        note="Each job is changed as its own call would change it, and each refusal counted by its "
        f"code. One call changes at most {bulk_bodies.MOST_JOBS:,} jobs and looks at 10,000: "
        "repeat it with `next` as `cursor` until that is null. After a 503 repeat it as it was.",
        group=Group.STEER,
        order=11,
        access=roles.CHANGE_JOBS,
    ),
}
