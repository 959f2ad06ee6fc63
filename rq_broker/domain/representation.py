"""How values are written in JSON, in HTTP answers and in callbacks alike.

A view declares one JSON object. Each of its fields is one row that says everything about one key:
the attribute it is read from, its name in JSON, its type, its bounds and its meaning. Answers, the
bodies of callbacks and the OpenAPI schemas all follow from these rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from rq_broker.domain.jobs import Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.reasons.view import ReasonView, SentenceAndValues
from rq_broker.domain.terms import Terms
from rq_broker.domain.validation import Priority, Span

_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODER = msgspec.json.Encoder()

_AnyView = TypeVar("_AnyView", bound="JsonObject")
_AnyValue = TypeVar("_AnyValue")


def to_json(value: Any) -> bytes:
    """Encode a value as JSON. Bytes from Redis that are not UTF-8 become U+FFFD."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(_without_surrogates(msgspec.to_builtins(value)))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_without_surrogates(key): _without_surrogates(val) for key, val in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(element) for element in value]
    return value


def rfc3339(microseconds: int) -> str:
    """Render µs since 1970 as RFC 3339 in UTC, with six digits after the second."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_whole_second(seconds)}.{fraction:06d}Z"


def told_time(microseconds: int) -> str:
    """Render µs since 1970 for a sentence: as RFC 3339, without a fraction that is zero."""
    return rfc3339(microseconds).replace(".000000Z", "Z")


@lru_cache(1024)
def _whole_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


# Views


@dataclass(frozen=True, slots=True)
class Converted:
    """Annotates a field that holds what `by` makes of the attribute."""

    by: Callable[[Any], Any]


class JsonObject(Struct, frozen=True, forbid_unknown_fields=True):
    """One JSON object. Fields are named as the attributes of the value that they are read from."""

    @classmethod
    def of(cls, value: object) -> Self:
        """Build the view of a value.

        An optional field that is not `Converted` is left unset: `with_fields` sets it.
        """
        view: Self = _builder(cls)(value)
        return view

    def with_fields(self, **fields: Any) -> Self:
        """Return the view with optional fields set, which `of` does not read from the value."""
        return msgspec.structs.replace(self, **fields)


@lru_cache
def _builder(view: type[_AnyView]) -> Callable[[object], _AnyView]:
    """Compile the expression that builds a view from a value's attributes.

    Compiled it takes as long as a dict of the same keys; a loop over the fields takes twice that.
    """
    types = get_type_hints(view, include_extras=True)
    names: dict[str, Any] = {"view": view}
    arguments = []
    for row in msgspec.structs.fields(view):
        expression = f"value.{row.name}"
        converted = [note for note in get_args(types[row.name]) if isinstance(note, Converted)]
        if converted:
            names[f"convert_{row.name}"] = converted[0].by
            expression = f"convert_{row.name}({expression})"
        if row.required:
            arguments.append(expression)
        elif converted:
            arguments.append(f"{row.name}={expression}")
    build: Callable[[object], _AnyView] = eval(f"lambda value: view({', '.join(arguments)})", names)
    return build


def _any_or_unset(values: tuple[_AnyValue, ...]) -> tuple[_AnyValue, ...] | UnsetType:
    return values or UNSET


Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"}), Converted(rfc3339)]
Count = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(ge=0)]


class EtaView(JsonObject, frozen=True):
    """Seconds until the grant, or null with the reason."""

    p50: Annotated[Seconds | None, Meta(description="Half of the simulations start by then.")]
    p90: Annotated[Seconds | None, Meta(description="Nine in ten simulations start by then.")]
    reason: Annotated[str | None, Meta(description="Why there is no p50, or no p90.")]
    why: Annotated[ReasonView | None, Meta(description="The same as values.")]

    @classmethod
    def of(cls, value: Any) -> Self:
        """Build the view of a forecast."""
        reason, why = SentenceAndValues.of(value.why)
        return cls(value.p50, value.p90, reason, why)


class JobView(JsonObject, frozen=True):
    """A job. The first eleven keys are the original service's, with its types."""

    id: Number = field(name="ID")
    created: Time = field(name="CreatedAt")
    updated: Time = field(name="UpdatedAt")
    deleted: None = field(name="DeletedAt")
    request_id: Annotated[str, Converted(request_id_in)] = field(name="RequestID")
    type: str = field(name="Type")
    owner_id: str = field(name="OwnerID")
    data: Annotated[
        str, Meta(description="The client's data as JSON text: sorted keys, every digit kept.")
    ] = field(name="Data")
    callback: Annotated[
        str, Meta(description="The callback URL as it was submitted; empty for none.")
    ] = field(name="Callback")
    priority: Annotated[Priority, Meta(description="Smaller goes first.")] = field(name="Priority")
    status: Status = field(name="Status")
    position: Annotated[
        Number | None, Meta(description="Place in the queue, 1 is next. Queued jobs only.")
    ] = field(name="Position")
    hosts: Annotated[
        tuple[str, ...], Meta(description="The hosts of the grant, one name for each instance.")
    ] = field(name="Hosts")
    fence: Annotated[Number | None, Meta(description="Number of the newest grant.")] = field(
        name="Fence"
    )
    attempts: Annotated[Count, Meta(description="Callbacks tried for the newest grant.")] = field(
        name="Attempts"
    )
    error: Annotated[
        str | None,
        Meta(
            description="Why the status is `error`, or why the last callback failed; "
            "`offer_missed` of a queued job that missed its last offer."
        ),
    ] = field(name="Error")
    expected: Annotated[
        Span | None,
        Meta(
            description="Seconds it says it will hold from its grant on; null if it does not say."
        ),
    ] = field(name="Expected")
    devices: Annotated[
        tuple[Mapping[str, tuple[Count, ...]], ...] | UnsetType,
        Meta(
            description="For each instance: resource → the numbers of its devices, an equal part "
            "of each. Only of a job that has devices."
        ),
        Converted(_any_or_unset),
    ] = field(name="Devices", default=UNSET)
    reason: Annotated[
        str | UnsetType | None,
        Meta(
            description="Why a queued job waits. Only where one job is read, and in a list with "
            "`reason=1`."
        ),
    ] = field(name="Reason", default=UNSET)
    why: Annotated[
        ReasonView | UnsetType | None,
        Meta(description="The `Reason`, or the `Warning` of a submit, as values."),
    ] = field(name="Why", default=UNSET)
    warning: Annotated[
        str | UnsetType,
        Meta(
            description="Why no host of the type could ever hold the job: only at submit. What is "
            "wrong with its grant: only where one job is read."
        ),
    ] = field(name="Warning", default=UNSET)
    cause: Annotated[
        str | UnsetType,
        Meta(
            description="Why the status is `error`, in a word: `gave_up`, `dependency_failed`, "
            "`offer_missed`, or that of its last callback. Only of a job with terms of its own, or "
            "without callback."
        ),
    ] = field(name="Cause", default=UNSET)
    not_before: Annotated[str | UnsetType, Meta(extra_json_schema={"format": "date-time"})] = field(
        name="NotBefore", default=UNSET
    )
    give_up_after: Annotated[
        Span | UnsetType, Meta(description="Seconds in the line after which it gives up.")
    ] = field(name="GiveUpAfter", default=UNSET)
    hold_at_most: Annotated[
        Span | UnsetType, Meta(description="Seconds that it may run without renewing.")
    ] = field(name="HoldAtMost", default=UNSET)
    after: Annotated[
        tuple[str, ...] | UnsetType, Meta(description="The jobs that it waits for, as submitted.")
    ] = field(name="After", default=UNSET)
    after_any: Annotated[
        bool | UnsetType, Meta(description="Whether any end of those jobs will do.")
    ] = field(name="AfterAny", default=UNSET)
    offer_ends: Annotated[
        str | UnsetType,
        Meta(
            description="Until when its client can take the offer, by the status `running`. Only "
            "of a granted job without callback.",
            extra_json_schema={"format": "date-time"},
        ),
    ] = field(name="OfferEnds", default=UNSET)
    redacted: Annotated[
        tuple[str, ...] | UnsetType,
        Meta(description="Keys whose values are left out, as they are not for you to read."),
    ] = field(name="Redacted", default=UNSET)
    alternative: Annotated[
        Count | UnsetType,
        Meta(
            description="Which of its alternatives it was granted, 0 is the first. Only of a job "
            "that has alternatives, while it holds capacity."
        ),
    ] = field(name="Alternative", default=UNSET)
    eta: Annotated[
        EtaView | UnsetType | None,
        Meta(description="When a queued job is expected to start. Only in a list with `eta=1`."),
    ] = field(name="ETA", default=UNSET)

    @classmethod
    def of(cls, value: object) -> Self:
        """Build the view of a job; one without terms or alternatives has no key for them."""
        view = super().of(value)
        alternative: int | None = getattr(value, "alternative", None)
        if alternative is not None:
            view = view.with_fields(alternative=alternative)
        terms: Terms | None = getattr(value, "terms", None)
        cause = getattr(value, "cause", "") or UNSET
        if not view.callback:
            ends: int | None = getattr(value, "offer_ends", None)
            offer_ends = UNSET if ends is None else rfc3339(ends)
            view = view.with_fields(cause=cause, offer_ends=offer_ends)
        if terms is None:
            return view
        return view.with_fields(
            cause=cause,
            not_before=UNSET if terms.not_before is None else rfc3339(terms.not_before * 1000),
            give_up_after=_or_unset(terms.give_up_after),
            hold_at_most=_or_unset(terms.hold_at_most),
            after=terms.after or UNSET,
            after_any=terms.after_any or UNSET,
        )


def _or_unset(seconds: float | None) -> float | UnsetType:
    return UNSET if seconds is None else seconds
