"""The JSON objects of HTTP answers, one class each. The view of a job is shared with callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from msgspec import UNSET, Meta, UnsetType, field

from rq_broker.api.move_views import MovesView
from rq_broker.domain import errors
from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.identity import Role
from rq_broker.domain.jobs import Status
from rq_broker.domain.policy import Policy
from rq_broker.domain.representation import (
    Converted,
    Count,
    JobView,
    JsonObject,
    Number,
    Seconds,
    Time,
    rfc3339,
)

_Value = TypeVar("_Value")

_STATUSES = [status.value for status in Status]
Fingerprint = Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
Fingerprints = Annotated[
    dict[str, list[Fingerprint]],
    Meta(
        description="Owner or `*` → the first 8 hex digits of SHA-256 of each signing key "
        "(`whsec_…`, base64 padded), the newest first."
    ),
]


def _or_unset(value: _Value) -> _Value | UnsetType:
    return value or UNSET


def _sorted_or_unset(values: frozenset[str]) -> list[str] | UnsetType:
    return sorted(values) or UNSET


def _or_null(value: _Value) -> _Value | None:
    return value or None


class ErrorView(JsonObject, frozen=True):
    """A refusal."""

    error: Annotated[str, Meta(description="A sentence for people.")]
    code: Annotated[
        str,
        Meta(
            description="A word for programs, which keeps its meaning for ever.",
            extra_json_schema={"enum": sorted(word.lower() for word in errors.by_word())},
        ),
    ]
    same: Annotated[
        Literal[True] | UnsetType,
        Meta(description="The refused job is the one that was kept, which is in `data`."),
    ] = UNSET
    data: JobView | UnsetType = UNSET
    preview: Annotated[
        MovesView | UnsetType,
        Meta(description="Of a move refused since the line changed: what it would do now."),
    ] = UNSET
    left: Annotated[
        dict[str, Count] | UnsetType,
        Meta(description="`jobs`, `hosts` and `sources` of a type that was to be deleted."),
    ] = UNSET
    full: Annotated[
        Literal["jobs", "bytes", "owner_jobs", "owner_bytes"] | UnsetType,
        Meta(description="What of the queue is full."),
    ] = UNSET
    ok: Annotated[bool, Meta(extra_json_schema={"const": False})] = False


class EmptyView(JsonObject, frozen=True):
    """Nothing beyond the success itself."""


# Types and hosts


Counts = Annotated[
    dict[Status, Count],
    Meta(
        description="Status → number of jobs.",
        extra_json_schema={"required": _STATUSES, "propertyNames": {"enum": _STATUSES}},
    ),
]


class TypeView(JsonObject, frozen=True):
    """A type: its policy and its jobs."""

    name: str
    policy: Policy
    counts: Counts


class AcknowledgedView(JsonObject, frozen=True):
    """How many losses of a type's state were told until now."""

    acknowledged: Count


class DeviceView(JsonObject, frozen=True):
    """One device of a host."""

    size: Count
    used: Count
    held: Count
    free: Annotated[int, Meta(description="size − used − held.")]


class HostView(JsonObject, frozen=True):
    """A host."""

    name: str
    capacity: Annotated[
        Mapping[str, Count | Sequence[Count]],
        Meta(description="Resource → amount; of a resource in devices the size of each."),
    ]
    used: Annotated[
        Mapping[str, Count | Sequence[Count]],
        Meta(
            description="In use, as the source of the host reports it: of devices a list, or a "
            "number where it does not tell which."
        ),
    ]
    held: Annotated[Amounts, Meta(description="Held by grants.")]
    unpromised: Annotated[
        dict[str, int],
        Meta(
            description="capacity − used − held + in_transit. Negative if more is used, or held, "
            "than the host has: it shrank, or its source overcommits it."
        ),
    ] = field(name="free")
    in_transit: Annotated[
        dict[str, int],
        Meta(
            description="What is counted both as used and as held: servers that have booted and "
            "that their jobs have not named yet. If it stays, others use what was promised."
        ),
    ]
    aggregates: Annotated[list[str], Converted(sorted)]
    dropped: Annotated[
        bool, Meta(description="Out of service; listed until its last hold is released.")
    ]
    max_unit: Annotated[
        Amounts | UnsetType,
        Meta(description="The most that one instance may have of a resource, where it is limited."),
        Converted(_or_unset),
    ] = UNSET
    min_unit: Annotated[
        Amounts | UnsetType,
        Meta(description="The least that one instance may have, where that is more than 1."),
        Converted(_or_unset),
    ] = UNSET
    step_size: Annotated[
        Amounts | UnsetType,
        Meta(description="What an instance's amount is a multiple of, where that is not 1."),
        Converted(_or_unset),
    ] = UNSET
    traits: Annotated[
        list[str] | UnsetType,
        Meta(description="What it is like, for demands that require or forbid it; if anything."),
        Converted(_sorted_or_unset),
    ] = UNSET
    anywhere: Annotated[
        Literal[True] | UnsetType,
        Meta(description="It is no place but one capacity for the whole type, such as licences."),
        Converted(_or_unset),
    ] = UNSET
    source: Annotated[
        str | UnsetType,
        Meta(description="The source that reports the host. Absent if a client published it."),
        Converted(_or_unset),
    ] = UNSET
    devices: Annotated[
        dict[str, list[DeviceView]] | UnsetType,
        Meta(
            description="Resource → its devices by their numbers, from 0; if it has any. One "
            "that is gone and still held has size 0."
        ),
    ] = UNSET

    @classmethod
    def of(cls, value: object) -> Self:
        """Build the view of a host; one without devices has no key for them."""
        view = super().of(value)
        if not isinstance(value, Host) or not value.devices:
            return view
        return view.with_fields(
            capacity={**value.capacity, **value.devices},
            used={**value.used, **value.device_used},
            devices={
                resource: [DeviceView.of(device) for device in value.all_devices_of(resource)]
                for resource in value.devices
            },
        )


class SourceView(JsonObject, frozen=True):
    """The state of one source of a type's hosts."""

    name: str
    age: Annotated[
        float | None,
        Meta(description="Seconds since its last good snapshot began; null before the first."),
    ] = field(name="age_seconds")
    stale: Annotated[bool, Meta(description="No good snapshot for three of its intervals.")]
    hosts: Count
    clashes: Annotated[
        Count, Meta(description="Hosts that it reports but a client or another source published.")
    ]
    cause: Annotated[
        str | None,
        Meta(
            description="Why its last poll failed, in a word; `bad_hosts` if it succeeded but for "
            "some hosts, `unread` if but for what `text` names; null if nothing is wrong."
        ),
        Converted(_or_null),
    ]
    text: Annotated[str | None, Meta(description="The same in a sentence."), Converted(_or_null)]


# The audit log


class AuditLineView(JsonObject, frozen=True):
    """One change by somebody who is not the broker itself."""

    id: Annotated[str, Meta(description="Names the line; also a `cursor`.")]
    time: Annotated[Time, Meta(description="When the change was made.")]
    who: Annotated[str, Meta(description="Name of the identity that made it.")]
    address: Annotated[str, Meta(description="Where the request came from; empty: a terminal.")]
    verb: str
    subject: Annotated[
        str, Meta(description="The request_id of a job, the name of a host, a source, a type, …")
    ]
    before: Annotated[
        dict[str, Any] | None, Meta(description="What changed, as it was; null: nothing.")
    ]
    after: Annotated[
        dict[str, Any] | None, Meta(description="What changed, as it is since; null: nothing.")
    ]
    http_request_id: Annotated[str, Meta(description="`X-Request-ID` of the request.")]


# Callbacks


class AttemptView(JsonObject, frozen=True):
    """One attempt to deliver a callback."""

    ended: Annotated[Time, Meta(description="When it ended.")] = field(name="time")
    fence: Annotated[Count, Meta(description="Number of the grant that it announced.")]
    attempt: Annotated[Number, Meta(description="Number of the attempt for this grant.")]
    cause: Annotated[
        str,
        Meta(
            description="`http_200`, `http_503`, … or a word such as `timeout`. To clients its "
            "class: `delivered`, `status`, `timeout`, `tls`, `refused`."
        ),
    ]
    milliseconds: Annotated[Count | None, Meta(description="null: not told to clients.")]


class DestinationView(JsonObject, frozen=True):
    """A destination as one owner's jobs see it, and the state of its circuit breaker."""

    name: Annotated[str, Meta(description="scheme://host:port")] = field(name="destination")
    owner: Annotated[str, Meta(description="Whose jobs; empty for those without an owner.")]
    state: Annotated[
        Literal["closed", "half-open", "open"],
        Meta(
            description="State of the breaker. While it is open, no job of this destination and "
            "owner gets an offer; while it is half-open, one does."
        ),
    ]
    failures: Annotated[Count, Meta(description="Consecutive failures.")]
    opens_for: Annotated[
        Seconds, Meta(description="Seconds until the breaker becomes half-open.")
    ] = field(name="open_seconds")
    asked_for: Annotated[
        Seconds, Meta(description="Seconds for which it asked, by Retry-After, not to be called.")
    ] = field(name="asked_seconds")
    in_flight: Annotated[Count, Meta(description="Callbacks being sent.")]
    parked: Annotated[Count, Meta(description="Callbacks that wait for a slot there.")]


class DestinationsView(JsonObject, frozen=True):
    """The destinations of a type."""

    outage: Annotated[
        bool, Meta(description="Most destinations fail: the fault is on the side of the broker.")
    ]
    destinations: list[DestinationView]


class RequeuedView(JsonObject, frozen=True):
    """How many jobs went back into the queue."""

    requeued: Count


class ReceiverTestView(JsonObject, frozen=True):
    """A test message to a receiver, and what became of it; kept for a minute."""

    test: str
    destination: Annotated[str, Meta(description="scheme://host:port")]
    owner: Annotated[str, Meta(description="Whose keys it is signed with; empty: of every owner.")]
    is_sent: Annotated[bool, Meta(description="Whether a notifier has taken it.")] = field(
        name="sent"
    )
    cause: Annotated[
        str | None, Meta(description="What became of it, as of an attempt; null: nothing yet.")
    ]
    milliseconds: Annotated[Count | None, Meta(description="How long that took.")]


# The inbox


class ReceivedView(JsonObject, frozen=True):
    """A callback in the inbox."""

    path: str
    received: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
    headers: dict[str, str]
    body: Any


# Tokens


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(round(seconds * 1_000_000))


def _sorted_or_null(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


_Names = Annotated[list[str] | None, Converted(_sorted_or_null)]
_Moment = Annotated[str | None, Meta(extra_json_schema={"format": "date-time"}), Converted(_time)]


class TokenView(JsonObject, frozen=True):
    """What a token proves, and until when; the token itself is not kept."""

    id: Annotated[str, Meta(description="The first 32 hex digits of its SHA-256.")]
    name: str
    role: Role
    owners: Annotated[_Names, Meta(description="Whose jobs are its own; null: no limit.")]
    types: Annotated[_Names, Meta(description="The types that it may use; null: every type.")]
    callback_hosts: Annotated[
        _Names, Meta(description="The hosts that its callbacks may name; null: no limit.")
    ]
    created: _Moment
    expires: _Moment
    ended: Annotated[
        _Moment,
        Meta(description="From when it is refused, as it was revoked or replaced."),
    ]


class IssuedView(TokenView, frozen=True):
    """A token that was made just now."""

    secret: Annotated[str, Meta(description="The token, which no answer shows again.")] = field(
        name="token"
    )
