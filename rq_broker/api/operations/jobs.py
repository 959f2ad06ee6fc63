"""The rows of jobs."""

from __future__ import annotations

from collections.abc import Mapping

from rq_broker.api import bodies, roles
from rq_broker.api.array_view import ArrayView
from rq_broker.api.move_views import MovedView
from rq_broker.api.operations import refusals
from rq_broker.api.operations.group import Example, Group
from rq_broker.api.operations.row import WARNING, WHOSE, Body, Operation, Parameter
from rq_broker.api.others import OTHERS
from rq_broker.api.pagination import PAGE_LIMIT
from rq_broker.api.submit import Submit
from rq_broker.api.views import AttemptView, EmptyView
from rq_broker.domain import errors
from rq_broker.domain.events import MOST_WAIT_SECONDS
from rq_broker.domain.jobs import Status
from rq_broker.domain.representation import JobView
from rq_broker.domain.validation import MAX_WHOLE

_STATUS = "|".join(Status)
_SUBMISSION = {
    "request_id": "train-42",
    "owner_id": "lab-7",
    "data": {"instances": [{"VCPU": 4, "Memory": 8192}], "project": "vision"},
}
_CALLED_BACK = {
    **_SUBMISSION,
    "request_id": "train-43",
    "callback": "http://127.0.0.1:9000/granted/train-43",
}
_WIDE = {
    "request_id": "render-7",
    "owner_id": "lab-7",
    "callback": "http://127.0.0.1:9000/granted/render-7",
    "data": {"instances": [{"VCPU": 64, "Memory": 32768, "count": 4}]},
    "expected": 7200,
}

_LIST = 'for job in broker.jobs("vm", status="queued", eta=True):\n    print(job)'
_TAKE = 'broker.transition("vm", "train-42", "running")'
_DONE = 'broker.transition("vm", "train-42", "done")'
_FIRST = 'broker.reorder("vm", "render-7", position="front")'

_LIST_QUERY = {
    "owner_id": Parameter({"type": "string"}, "Only jobs of this owner. Empty: of every owner."),
    "status": Parameter(
        {"enum": ["", *(status.value for status in Status)]},
        "Only jobs in this status. Empty: in every status.",
    ),
    "request_id": Parameter(
        {"type": "string"},
        "Only this job. Of an array as a whole, such as `sweep[*]`: its jobs, by their numbers.",
    ),
    "limit": Parameter(
        {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT},
        "Most jobs of a page. Without `limit` and `cursor` the whole list is sent.",
    ),
    "cursor": Parameter(
        {"type": "string"}, "`next` of the page before. Empty: the first page or the whole list."
    ),
    "callback": Parameter({"type": "string"}, "Only the job with this callback, as it was given."),
    "contains": Parameter(
        {"type": "string"},
        "A page of jobs whose `request_id` has this text, in any case. It compares 500,000 names "
        "at most, and may be empty before the end.",
    ),
    "needs": Parameter(
        {"type": "string", "pattern": r"^([^,]+:[0-9]{1,16}(,[^,]+:[0-9]{1,16})*)?$"},
        "A page of jobs that ask for so much in all instances together, or more; such as "
        "`VCPU:16,Memory:65536`. It reads 10,000 jobs at most, and may be empty before the end.",
    ),
    "from": Parameter(
        {"type": "integer", "minimum": 1, "maximum": MAX_WHOLE},
        "A page that begins at this place in the line, or among all jobs of the `status`. For all "
        "owners.",
    ),
    "eta": Parameter({"enum": ["0", "1"]}, "`1`: a page, with the `ETA` of each queued job."),
    "reason": Parameter({"enum": ["0", "1"]}, "`1`: a page, with the `Reason` of each queued job."),
}

_WAIT_QUERY = {
    "wait": Parameter(
        {"type": "integer", "minimum": 0, "maximum": MOST_WAIT_SECONDS},
        "For how many seconds to wait at most until the job leaves `queued`.",
    ),
    "until": Parameter(
        {"type": "string", "pattern": rf"^({_STATUS})(,({_STATUS}))*$"},
        "With `wait`: the statuses to wait for, instead of all but `queued`. Commas between them.",
    ),
}

OPERATIONS: Mapping[str, Operation] = {
    "submit": Operation(
        (JobView, ArrayView),
        (
            *refusals.TYPE,
            *refusals.BODY,
            *refusals.ADMIT,
            errors.CallbackForbidden,
            *refusals.DUPLICATE,
            *refusals.TERMS,
            errors.Conflict,
        ),
        statuses=(201,),
        body=Body(Submit, _SUBMISSION),
        keys=WARNING,
        takes_key=True,
        has_etag=True,
        note="The broker POSTs to the callback as soon as it holds the capacity; without one the "
        "client takes the offer by the status `running`. A relative "
        "callback needs a callback base. Unknown fields are ignored; `data` keeps every digit. "
        "Whoever acts for one owner only may leave `owner_id` out, and may name no other. "
        "A 409 has `same` and the job if it was submitted just so. With `count` the answer is of "
        "the array.",
        group=Group.LIFE,
        order=10,
        examples=(
            Example("Take the offer yourself: no server needed"),
            Example("Be called back when the capacity is held", body=_CALLED_BACK),
            Example("Say for how long, and wait in line", body=_WIDE),
        ),
        makes_type=True,
        access=roles.CHANGE_JOBS,
    ),
    "page": Operation(
        list[JobView],
        refusals.TYPE,
        query=_LIST_QUERY,
        keys={
            "next": {"type": ["string", "null"]},
            "count": {"type": "integer", "minimum": 0},
            "line": {"type": "string"},
            "others": OTHERS,
        },
        note="Without `limit` and `cursor` the answer is the whole list, streamed. With one of "
        "them it is a page, perhaps shorter than `limit`; only `next: null` marks the last page. "
        "With `eta=1` one forecast of the whole line gives every queued job of the page its `ETA`. "
        "With `from` the `count` says how many places there are; who sees the jobs of some owners "
        "only gets in `others` the places and the sizes of the other jobs of the page, and no "
        "`next`. With `status=queued` the answer has `line`, the version of the line, for "
        "`If-Match` of a move.",
        group=Group.LOOK,
        order=10,
        examples=(Example(query={"status": "queued", "eta": "1"}, python=_LIST),),
        access=roles.READ_JOBS,
    ),
    "read": Operation(
        (JobView, ArrayView),
        (*refusals.JOB, errors.TooManyWaits),
        query=WHOSE | _WAIT_QUERY,
        has_etag=True,
        condition="If-None-Match",
        note="`name[*]` reads an array as a whole; that has no ETag. With `wait` the answer "
        "comes at once if the job is not queued, else when it leaves the queue or time is over.",
        group=Group.LIFE,
        order=20,
        examples=(
            Example(
                "Wait until it leaves the queue",
                query={"wait": "30"},
                python='print(broker.wait("vm", "train-42", timeout=30))',
            ),
        ),
        access=roles.READ_JOBS,
    ),
    "update": Operation(
        (EmptyView, MovedView),
        (
            *(*refusals.JOB, *refusals.BODY, *refusals.MOVE, *refusals.EXPECT, *refusals.SERVERS),
            errors.ChangedMeanwhile,
            errors.QueueFull,
        ),
        condition="If-Match",
        body=Body(bodies.UpdateBody, {"status": "done"}),
        note="`before`, `after` and `position` move a queued job in one atomic step; the answer "
        "tells from where to where. `If-Match` takes the `line` of a list or a what-if too: then "
        "the move delays no job that you did not see it delay, or is a 412 with the new `preview`. "
        "With `fence`, an update of the status is refused if the job has a newer grant. "
        "`expected` changes how long a queued, granted or running job says it will hold; its place "
        "in the queue stays. Unknown fields are ignored. `name[*]` reorders an array.",
        group=Group.LIFE,
        order=30,
        examples=(
            Example("Take what was granted", body={"status": "running"}, python=_TAKE),
            Example("Give it back", body={"status": "done"}, python=_DONE),
            Example(
                "Put it first in line",
                {"request_id": "render-7"},
                body={"position": "front"},
                python=_FIRST,
            ),
            Example("Put it third", {"request_id": "render-7"}, body={"position": 3}),
        ),
        query=WHOSE,
        access=roles.CHANGE_JOBS,
    ),
    "withdraw": Operation(
        EmptyView,
        (*refusals.JOB, errors.AlreadyWithdrawn, errors.ChangedMeanwhile),
        condition="If-Match",
        keys={"same": {"const": True}},
        takes_key=True,
        note="`same` says that an earlier call with this Idempotency-Key withdrew the job. "
        "`name[*]` withdraws an array.",
        group=Group.STEER,
        order=60,
        examples=(Example(path={"request_id": "render-7"}),),
        query=WHOSE,
        access=roles.CHANGE_JOBS,
    ),
    "attempts": Operation(
        list[AttemptView],
        refusals.JOB,
        note="Of all grants of the job; about the newest 100.",
        group=Group.LOOK,
        order=40,
        examples=(Example(path={"request_id": "train-43"}),),
        query=WHOSE,
        access=roles.READ_JOBS,
    ),
}
