"""The JSON objects that say why a job waits, for how long, and what a change would do."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from rq_broker.admission.explain import ExplainedJob, ImaginedJob
from rq_broker.admission.move_preview import MovePreview
from rq_broker.api.instances import WantedInstance, given_as
from rq_broker.api.move_views import OtherJob, moves_view
from rq_broker.domain.capacity import Amounts
from rq_broker.domain.job_holds import JobHold
from rq_broker.domain.jobs import Demand, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.planning import Hold
from rq_broker.domain.reasons.codes import ReasonCode
from rq_broker.domain.reasons.reason import Reason
from rq_broker.domain.reasons.values import HeldByNobody
from rq_broker.domain.reasons.view import ReasonView, SentenceAndValues
from rq_broker.domain.representation import Converted, Count, EtaView, JsonObject, Number


class ShortfallView(JsonObject, frozen=True):
    """What a host lacks for all instances of a job together."""

    host: str
    resource: str
    needed: Count
    free: int


def _or_none(name: str) -> str | None:
    """Return a name; None for one that may not be known."""
    return name or None


def _request_id(name: str) -> str | None:
    return request_id_in(name) or None


class HolderView(JsonObject, frozen=True):
    """A job that holds what another lacks."""

    request_id: Annotated[OtherJob, Converted(_request_id)]
    owner_id: Annotated[OtherJob, Converted(_or_none)]
    seconds: Annotated[float, Meta(description="How long it has held it.")]
    overdue: Annotated[
        bool, Meta(description="That is more than three times what it said it would hold.")
    ]
    ends: Annotated[
        float | None, Meta(description="When that is expected to end, Unix time; null: not known.")
    ]
    host: str
    resource: str
    amount: Count


class UsedView(JsonObject, frozen=True):
    """What is used of something a job lacks, but by no job of its type."""

    host: str
    resource: str
    amount: Count


MAX_AWAITED = 50
"""Jobs that a reservation names: bounds the answer."""


def _instances(demand: Demand | None) -> list[WantedInstance] | None:
    return None if demand is None else [given_as(instance) for instance in demand.instances]


class LargestView(JsonObject, frozen=True):
    """The largest version of a job that would be granted now, in two directions."""

    instances: Annotated[Count, Meta(description="How many of its instances, unchanged.")]
    percent: Annotated[Count, Meta(description="All instances, scaled to this percentage.")]
    demand: Annotated[
        list[WantedInstance] | None,
        Meta(description="The scaled instances; null if not even 1 % fits."),
        Converted(_instances),
    ] = field(name="scaled")


class AwaitedView(JsonObject, frozen=True):
    """A job for whose end a reservation waits."""

    request_id: Annotated[OtherJob, Converted(_or_none)]
    ends: Annotated[float, Meta(description="When that is expected, Unix time.")]
    source: Annotated[
        str, Meta(description="By what it said (expected), or by earlier jobs like it.")
    ] = field(name="predicted_from")


def _awaited(holds: tuple[Hold, ...]) -> list[AwaitedView]:
    return [AwaitedView.of(hold) for hold in holds[:MAX_AWAITED]]


class ReservationView(JsonObject, frozen=True):
    """When a job is to start, if running jobs end as expected."""

    start: Annotated[float, Meta(description="Unix time.")]
    awaited: Annotated[list[AwaitedView], Converted(_awaited)] = field(name="waits_for")


class EtaAccuracyView(JsonObject, frozen=True):
    """How earlier forecasts of this type held."""

    within_p90: Annotated[Count, Meta(description="Jobs that were granted within their p90.")]
    beyond_p90: Annotated[Count, Meta(description="Jobs that were granted later.")]


_WAITING_ROWS: list[tuple[str, Any]] = [
    ("reason", Annotated[ReasonView | None, Meta(description="null: it would be granted now.")]),
    (
        "explains",
        Annotated[
            str | None, Meta(description="The job that the reason is of: the first of its shape.")
        ],
    ),
    (
        "hosts",
        Annotated[
            tuple[str, ...],
            Meta(description="Where it would be granted now, or the hosts that come closest."),
        ],
    ),
    ("shortfalls", list[ShortfallView]),
    ("holders", list[HolderView]),
    (
        "used_by_others",
        Annotated[
            list[UsedView],
            Meta(description="What the sources report as used there, and no job of the type has."),
        ],
    ),
    ("protected", Annotated[bool, Meta(description="Its hosts are reserved against later jobs.")]),
    ("reservation", ReservationView | None),
    (
        "passed_since",
        Annotated[
            float | None, Meta(description="When a later job first started before it, Unix time.")
        ],
    ),
    (
        "passed_by",
        Annotated[
            list[str], Meta(description="Later jobs that started before it, or would start now.")
        ],
    ),
    (
        "passed_by_others",
        Annotated[
            Count, Meta(description="How many more there are of other owners, not named to you.")
        ],
    ),
    ("largest", LargestView | None),
]
_ALTERNATIVE_ROW: tuple[str, Any, Any] = (
    "alternative",
    Annotated[
        Count | UnsetType,
        Meta(description="Which alternative `hosts` are of. Only of a job that has alternatives."),
    ],
    UNSET,
)
"""What an explanation and a forecast have in common, in the middle of their keys."""

ExplanationView = msgspec.defstruct(
    "ExplanationView",
    [
        ("position", Number | None),
        ("jobs_of_its_shape_before", Count),
        *_WAITING_ROWS,
        ("eta", EtaView),
        ("eta_accuracy", EtaAccuracyView),
        _ALTERNATIVE_ROW,
    ],
    bases=(JsonObject,),
    namespace={"__doc__": "Why a job waits, and for how long."},
    frozen=True,
)

ForecastView = msgspec.defstruct(
    "ForecastView",
    [
        *_WAITING_ROWS,
        (
            "impossible",
            Annotated[str | None, Meta(description="Why no host could ever hold it.")],
        ),
        ("why", Annotated[ReasonView | None, Meta(description="That as values.")]),
        ("eta", EtaView),
        _ALTERNATIVE_ROW,
    ],
    bases=(JsonObject,),
    namespace={"__doc__": "The explanation and the forecast of a job that was not submitted."},
    frozen=True,
)


class JobHoldView(JsonObject, frozen=True):
    """What has become of the grant of a granted or running job."""

    status: Status
    hosts: Annotated[tuple[str, ...], Meta(description="The host of each instance.")]
    held: Annotated[dict[str, Amounts], Meta(description="Host → what is held there for it.")]
    seen: Annotated[
        dict[str, Amounts],
        Meta(description="Host → what of its grant the source counts as used instead."),
    ]
    unheld: Annotated[
        dict[str, Amounts],
        Meta(
            description="Host → what of its grant is neither: its servers use it no more, and "
            "others filled the host. It is held again once there is room."
        ),
    ]
    servers: Annotated[tuple[str, ...], Meta(description="The servers that it runs as.")]
    unseen: Annotated[
        tuple[str, ...],
        Meta(description="Those that no snapshot has shown since the job named them."),
    ] = field(name="unseen_servers")
    reason: Annotated[
        ReasonView | None, Meta(description="What is wrong with it; null if nothing is.")
    ]


def _trouble(hold: JobHold) -> Reason | None:
    """Say what is wrong with a hold, the worst first."""
    if hold.lost_for is not None:
        lost = tuple(
            HeldByNobody(host, resource, amount)
            for host, amounts in hold.unheld.items()
            for resource, amount in amounts.items()
        )
        return Reason(code=ReasonCode.HOLD_LOST, unheld=lost, seconds=hold.lost_for)
    if hold.missed_by:
        return Reason(
            code=ReasonCode.SERVER_UNSEEN,
            source=hold.missed_by,
            servers=hold.unseen,
            seconds=hold.named_for,
        )
    if hold.is_overdue:
        seconds, expected = hold.running_for or 0.0, hold.expected or 0.0
        return Reason(code=ReasonCode.STILL_RUNNING, seconds=seconds, expected=expected)
    if hold.callback is not None:
        failed = hold.callback
        return Reason(
            code=ReasonCode.CALLBACK_FAILING,
            destination=failed.destination,
            attempts=failed.attempts,
            cause=failed.cause,
            until=failed.next_try or 0.0,
            unserved=failed.unserved,
            now=failed.now,
        )
    return None


def explanation_view(job: ExplainedJob | JobHold) -> Struct:
    """Build the answer to `explain`."""
    if isinstance(job, JobHold):
        return JobHoldView(
            job.status,
            job.hosts,
            dict(job.held),
            dict(job.seen),
            dict(job.unheld),
            job.servers,
            job.unseen,
            ReasonView.of_any(_trouble(job)),
        )
    return ExplanationView(
        **_waiting_fields(job),
        position=job.position,
        jobs_of_its_shape_before=job.index_in_shape,
        eta=EtaView.of(job.forecast),
        eta_accuracy=EtaAccuracyView.of(job),
    )


def what_if_view(answer: ImaginedJob | MovePreview) -> Struct:
    """Build the answer to `what_if`."""
    if isinstance(answer, MovePreview):
        return moves_view(answer)
    impossible, why = SentenceAndValues.of(answer.impossible)
    return ForecastView(
        **_waiting_fields(answer),
        impossible=impossible,
        why=why,
        eta=EtaView.of(answer.forecast),
    )


def _waiting_fields(answer: ExplainedJob | ImaginedJob) -> dict[str, Any]:
    explanation = answer.explanation
    reason, largest = explanation.reason, explanation.largest
    passers = [job.request_id for job in explanation.passed_by if job.request_id]
    return {
        "reason": ReasonView.of_any(reason),
        "explains": explanation.request_id and request_id_in(explanation.request_id),
        "hosts": explanation.hosts,
        "shortfalls": [ShortfallView.of(shortfall) for shortfall in explanation.shortfalls],
        "holders": [HolderView.of(holder) for holder in answer.holders],
        "used_by_others": [UsedView.of(used) for used in answer.others],
        "protected": explanation.start is not None,
        "reservation": None if explanation.start is None else ReservationView.of(explanation),
        "passed_since": explanation.passed_since,
        "passed_by": passers,
        "passed_by_others": len(explanation.passed_by) - len(passers),
        "largest": largest and LargestView.of(largest),
        "alternative": UNSET if explanation.alternative is None else explanation.alternative,
    }
