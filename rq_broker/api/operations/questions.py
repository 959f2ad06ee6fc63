"""The rows of questions about waiting."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import bodies, roles
from rq_broker.api.added_hosts import HostsForecast, MoreHostsView
from rq_broker.api.move_views import MovesView
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import WHOSE, Body, Operation
from rq_broker.api.waiting_views import ExplanationView, ForecastView, JobHoldView
from rq_broker.domain import errors

_WHAT_IF = {"data": {"instances": [{"VCPU": 4}]}, "position": 1}

OPERATIONS: Mapping[str, Operation] = {
    "explain": Operation(
        (ExplanationView, JobHoldView),
        (*refusals.JOB, errors.NotWaiting, errors.TooManyQuestions),
        note="`explains` names the job that the reason is of: the first of its shape that waits. "
        "`eta` comes from a simulation and is null, with the `reason`, if there is no forecast. "
        "Of a granted or running job it tells what has become of its grant. `name[*]` explains the "
        "first waiting job of an array.",
        group=Group.LOOK,
        order=20,
        examples=(Example(path={"request_id": "render-7"}),),
        query=WHOSE,
        access=roles.ASK,
    ),
    "what_if": Operation(
        (ForecastView, MovesView, MoreHostsView),
        (
            *(
                *refusals.TYPE,
                *refusals.BODY,
                errors.TooManyKinds,
                errors.CallbackForbidden,
                errors.NotWaiting,
                errors.JobNotFound,
                errors.HostNotFound,
            ),
            errors.TooManyQuestions,
        ),
        body=Body((bodies.NewJobForecast, bodies.MoveForecast, HostsForecast), _WHAT_IF),
        note="With `data`: the explanation and the forecast of a job that was not submitted. With "
        "`request_id`: whose ETA changes if that job moves, by how many seconds, and the version "
        "of the `line` to move it by. With "
        "`add_hosts`: which jobs would start at once on more hosts. Nothing is written.",
        group=Group.LOOK,
        order=30,
        examples=(
            Example("If I submitted this now"),
            Example("If this one went first", body={"request_id": "render-7", "position": 1}),
            Example(
                "If there were two more hosts",
                body={"add_hosts": [{"count": 2, "capacity": {"VCPU": 64, "Memory": 262144}}]},
            ),
        ),
        query=WHOSE,
        access=roles.ASK,
    ),
}
