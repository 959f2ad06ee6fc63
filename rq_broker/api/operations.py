"""What the OpenAPI document says of each endpoint that its code cannot say.

The key is the endpoint's name. A route that has no row here stops the app from starting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rq_broker.api import bodies, roles
from rq_broker.api.array_view import ArrayView
from rq_broker.api.health_views import AliveView, ReadyView
from rq_broker.api.host_totals import Totals
from rq_broker.api.pagination import PAGE_LIMIT
from rq_broker.api.submit import Submit
from rq_broker.api.views import (
    AcknowledgedView,
    AttemptView,
    AuditLineView,
    Counts,
    DestinationsView,
    EmptyView,
    Fingerprints,
    HostView,
    IssuedView,
    ReceivedView,
    RequeuedView,
    SourceView,
    TokenView,
    TypeView,
)
from rq_broker.api.waiting_views import (
    ExplanationView,
    ForecastView,
    JobHoldView,
    MovesView,
)
from rq_broker.domain import errors
from rq_broker.domain.capacity import NewHost
from rq_broker.domain.jobs import Status
from rq_broker.domain.policy import PolicyChange
from rq_broker.domain.representation import JobView
from rq_broker.domain.tokens import NewTokenBody, Rotation

SERVER_REFUSALS = (
    errors.Malformed,
    errors.RequestTimeout,
    errors.UriTooLong,
    errors.HeadersTooLarge,
    errors.TooManyConnections,
    errors.HostNotAllowed,
    errors.WebSocketUnsupported,
)
"""What the server answers on any path, before a route sees the request."""
BROWSER_REFUSALS = (errors.ForeignOrigin, errors.UnsupportedMediaType)
"""What a browser may get for a call that changes state, before a route sees it."""
_TYPE = (errors.Invalid, errors.Unavailable)
_JOB = (*_TYPE, errors.JobNotFound)
_HOST = (*_TYPE, errors.HostNotFound)
_BODY = (errors.Unreadable, errors.TooLarge)
_DUPLICATE = (
    errors.DuplicateRequestId,
    errors.DuplicateCallback,
    errors.IdempotencyKeyReused,
)
_TERMS = (errors.UnknownDependency, errors.DependencyFailed, errors.OlderNotifiers)
_MOVE = (errors.ImpossibleMove, errors.StaleFence, errors.NotWaiting, errors.NoRoom)
_ADMIT = (
    errors.ExpectedTooLong,
    errors.TooManyKinds,
    errors.QueueFull,
    errors.TooManyTypes,
)
_EXPECT = (errors.ExpectedTooLong, errors.Conflict)
_SERVERS = (errors.InvalidServer, errors.DuplicateServer)

_WARNING = {"Warning": {"type": "string"}}
_TYPE_NOTE = (
    "`Warning` names limits on resources that no host has, and spans that are too short to be met; "
    "it says if the type has no host and no job, as one whose name is misspelt."
)
_SUBMISSION = {
    "request_id": "d",
    "owner_id": "y",
    "data": {"instances": [{"VCPU": 1, "Memory": 1, "Disk": 1}], "project": "project id"},
    "callback": "http://127.0.0.1:9000/granted/d",
}
_HOST_BODY = {"capacity": {"VCPU": 64, "Memory": 65536}, "used": {}, "aggregates": ["host1"]}
_WHAT_IF = {"data": {"instances": [{"VCPU": 4}]}, "position": 1}
_DESTINATION = {"destination": "http://127.0.0.1:9000"}
_TOKEN = {"role": "client", "owners": ["lab-7"], "types": ["vm"], "expires": 7776000}
_KEYS = {"owner": "y", "keys": [f"whsec_{'A' * 32}"]}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter."""

    schema: Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: its type, or a tuple of alternatives, and an example."""

    type: Any
    example: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table."""

    data: Any = None
    """Type of `data` in the answer's envelope, or a tuple of alternatives; None: no envelope."""
    refusals: tuple[type[errors.BrokerError], ...] = ()
    access: roles.Access = field(kw_only=True)
    """Role → on what it may call the operation; a role that is left out is refused."""
    makes_type: bool = False
    """Whether it makes the type that it names, if there is none. Only an admin may make one, unless
    the installation leaves it to everybody."""
    statuses: tuple[int, ...] = (200,)
    """Statuses of success."""
    body: Body | None = None
    query: Mapping[str, Parameter] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Keys beside `data` in the envelope, and their schemas; each may be absent."""
    takes_key: bool = False
    """Whether the header Idempotency-Key makes the call safe to repeat."""
    note: str = ""
    media: tuple[str, ...] = ("application/json",)


_LIST_QUERY = {
    "owner_id": Parameter({"type": "string"}, "Only jobs of this owner. Empty: of every owner."),
    "status": Parameter(
        {"enum": ["", *(status.value for status in Status)]},
        "Only jobs in this status. Empty: in every status.",
    ),
    "request_id": Parameter(
        {"type": "string", "pattern": r"^(.+\[\*\])?$"},
        "Only jobs of this array, by their numbers; such as `sweep[*]`. Empty: all jobs.",
    ),
    "limit": Parameter(
        {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT},
        "Most jobs of a page. Without `limit` and `cursor` the whole list is sent.",
    ),
    "cursor": Parameter(
        {"type": "string"}, "`next` of the page before. Empty: the first page or the whole list."
    ),
    "eta": Parameter({"enum": ["0", "1"]}, "`1`: a page, with the `ETA` of each queued job."),
}

_WHOSE = {
    "owner_id": Parameter(
        {"type": "string"},
        "Whose job it is: needed where names are per owner and you act for more than one.",
    )
}
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
    _TYPE,
    query=_LOG_QUERY,
    keys={"next": {"type": ["string", "null"]}},
    media=("application/json", "application/x-ndjson"),
    access=roles.READ_LOG,
    note="A client sees what it did itself. A page may be shorter than `limit`; only `next: null` "
    "marks the last one. `before` and `after` have what changed only, long values cut.",
)

OPERATIONS: Mapping[str, Operation] = {
    "submit": Operation(
        (JobView, ArrayView),
        (*_TYPE, *_BODY, *_ADMIT, errors.CallbackForbidden, *_DUPLICATE, *_TERMS, errors.Conflict),
        statuses=(201,),
        body=Body(Submit, _SUBMISSION),
        keys=_WARNING,
        takes_key=True,
        note="The broker POSTs to the callback as soon as it holds the capacity. A relative "
        "callback needs a callback base. Unknown fields are ignored; `data` keeps every digit. "
        "Whoever acts for one owner only may leave `owner_id` out, and may name no other. "
        "A 409 has `same` and the job if it was submitted just so. With `count` the answer is of "
        "the array.",
        makes_type=True,
        access=roles.CHANGE_JOBS,
    ),
    "page": Operation(
        list[JobView],
        _TYPE,
        query=_LIST_QUERY,
        keys={"next": {"type": ["string", "null"]}},
        note="Without `limit` and `cursor` the answer is the whole list, streamed. With one of "
        "them it is a page, perhaps shorter than `limit`; only `next: null` marks the last page. "
        "With `eta=1` one forecast of the whole line gives every queued job of the page its `ETA`.",
        access=roles.READ_JOBS,
    ),
    "read": Operation(
        (JobView, ArrayView),
        _JOB,
        query=_WHOSE,
        note="`name[*]` reads an array as a whole.",
        access=roles.READ_JOBS,
    ),
    "update": Operation(
        EmptyView,
        (*_JOB, *_BODY, *_MOVE, *_EXPECT, *_SERVERS),
        body=Body(bodies.UpdateBody, {"status": "done"}),
        note="`before`, `after` and `position` move a queued job in one atomic step. "
        "With `fence`, an update of the status is refused if the job has a newer grant. "
        "`expected` changes how long a queued, granted or running job says it will hold; its place "
        "in the queue stays. Unknown fields are ignored. `name[*]` reorders an array.",
        query=_WHOSE,
        access=roles.CHANGE_JOBS,
    ),
    "withdraw": Operation(
        EmptyView,
        (*_JOB, errors.AlreadyWithdrawn),
        keys={"same": {"const": True}},
        takes_key=True,
        note="`same` says that an earlier call with this Idempotency-Key withdrew the job. "
        "`name[*]` withdraws an array.",
        query=_WHOSE,
        access=roles.CHANGE_JOBS,
    ),
    "attempts": Operation(
        list[AttemptView],
        _JOB,
        note="Of all grants of the job; about the newest 100.",
        query=_WHOSE,
        access=roles.READ_JOBS,
    ),
    "explain": Operation(
        (ExplanationView, JobHoldView),
        (*_JOB, errors.NotWaiting, errors.TooManyQuestions),
        note="`explains` names the job that the reason is of: the first of its shape that waits. "
        "`eta` comes from a simulation and is null, with the `reason`, if there is no forecast. "
        "Of a granted or running job it tells what has become of its grant. `name[*]` explains the "
        "first waiting job of an array.",
        query=_WHOSE,
        access=roles.ASK,
    ),
    "what_if": Operation(
        (ForecastView, MovesView),
        (
            *(*_TYPE, *_BODY, errors.TooManyKinds, errors.CallbackForbidden, errors.NotWaiting),
            errors.TooManyQuestions,
        ),
        body=Body((bodies.NewJobForecast, bodies.MoveForecast), _WHAT_IF),
        note="With `data`: the explanation and the forecast of a job that was not submitted. With "
        "`request_id`: whose ETA changes if that job moves, and by how many seconds. Nothing is "
        "written.",
        query=_WHOSE,
        access=roles.ASK,
    ),
    "types": Operation(dict[str, Counts], (errors.Unavailable,), access=roles.READ_TYPE),
    "policy": Operation(TypeView, _TYPE, keys=_WARNING, note=_TYPE_NOTE, access=roles.READ_TYPE),
    "set_policy": Operation(
        TypeView,
        (*_TYPE, *_BODY, errors.TooManyTypes),
        body=Body(PolicyChange, {"patience": 60}),
        keys=_WARNING,
        note=f"A new span applies to the jobs that are there already. {_TYPE_NOTE}",
        makes_type=True,
        access=roles.OPERATE,
    ),
    "drop_type": Operation(
        EmptyView,
        (*_TYPE, errors.TypeInUse),
        note="A 409 has what is `left`. A type that is used again begins with the default policy.",
        access=roles.OPERATE,
    ),
    "acknowledge_losses": Operation(
        AcknowledgedView,
        _TYPE,
        note="Of all losses that /readyz shows of the type; later ones are told again.",
        access=roles.OPERATE,
    ),
    "hosts": Operation((list[HostView], Totals), _TYPE, access=roles.LIST_HOSTS),
    "host": Operation(HostView, _HOST, access=roles.READ_HOST),
    "set_host": Operation(
        HostView,
        (
            *(*_HOST, *_BODY, errors.Conflict, errors.OlderNotifiers),
            *(errors.TooManyHosts, errors.TooManyTypes),
        ),
        statuses=(200, 201),
        body=Body(NewHost, _HOST_BODY),
        note="409 if a source reports the host.",
        makes_type=True,
        access=roles.PUBLISH,
    ),
    "drop_host": Operation(
        EmptyView,
        _HOST,
        note="If a source reports the host, its next snapshot puts it back.",
        access=roles.PUBLISH,
    ),
    "sources": Operation(list[SourceView], _TYPE, access=roles.READ),
    "forget_source": Operation(
        EmptyView,
        (*_TYPE, errors.SourceNotFound, errors.Conflict),
        note="Its hosts go out of service. 409 while a notifier polls it.",
        access=roles.OPERATE,
    ),
    "destinations": Operation(
        DestinationsView,
        _TYPE,
        note="At most 1,000: open breakers first, then the latest used.",
        access=roles.READ_DESTINATIONS,
    ),
    "reset": Operation(
        EmptyView,
        (*_TYPE, *_BODY, errors.DestinationNotFound),
        body=Body(bodies.OneDestination, _DESTINATION),
        access=roles.OPERATE,
    ),
    "requeue": Operation(
        RequeuedView,
        (*_TYPE, *_BODY),
        body=Body(bodies.OneDestination, _DESTINATION),
        note="Requeues the jobs in status `error` whose newest grant was to be announced there.",
        access=roles.OPERATE,
    ),
    "keys": Operation(Fingerprints, (*_TYPE, errors.SigningKeysEncrypted), access=roles.KEYS),
    "set_keys": Operation(
        Fingerprints,
        (*_TYPE, *_BODY, errors.TooManyTypes, errors.SigningKeysEncrypted),
        body=Body(bodies.OwnerKeys, _KEYS),
        note="Callbacks are signed by Standard Webhooks, once with each key. To rotate, set the "
        "new key and the old one, and later the new one alone. `[]` removes the owner's keys.",
        makes_type=True,
        access=roles.KEYS,
    ),
    "tokens": Operation(list[TokenView], (errors.Unavailable,), access=roles.ADMINISTER),
    "create_token": Operation(
        IssuedView,
        (*_TYPE, *_BODY, errors.Conflict),
        statuses=(201,),
        body=Body(NewTokenBody, _TOKEN),
        note="The answer shows the token, which is kept nowhere. 409 if another one that is not "
        "revoked and has not expired has the name.",
        access=roles.ADMINISTER,
    ),
    "rotate_token": Operation(
        IssuedView,
        (*_TYPE, *_BODY, errors.TokenNotFound),
        body=Body(Rotation, {"overlap": 3600}),
        note="The answer shows the new token. The old one is refused at once, or after `overlap`.",
        access=roles.ADMINISTER,
    ),
    "revoke_token": Operation(
        EmptyView,
        (*_TYPE, errors.TokenNotFound),
        note="Every API process refuses it within a second, and those that it replaced too.",
        access=roles.ADMINISTER,
    ),
    "audit_log": _LOG,
    "installation_log": replace(_LOG, access=roles.READ_WHOLE_LOG),
    "alive": Operation(AliveView, access=roles.PUBLIC),
    "ready": Operation(ReadyView, (errors.Unavailable,), access=roles.SURVEY),
    "metrics": Operation(
        media=("text/plain",), note="For Prometheus; Redis need not answer.", access=roles.SURVEY
    ),
    "received": Operation(list[ReceivedView], access=roles.OPERATE),
    "receive": Operation(EmptyView, (errors.TooLarge, errors.NotFound), access=roles.PUBLIC),
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
