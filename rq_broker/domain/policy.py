"""The policy: how a type is run. One row a field, from which everything else follows.

A row gives name, type, unit, bounds, meaning and default. From it are made: the body of
`PUT /types/{type}`, the form in Redis, the defaults that scripts know, the schemas and, by
`make generate`, the client's types and the table of the policy page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.validation import Owner

_CENTURY_SECONDS = 100 * 366 * 86400
"""Bounds a span, so that milliseconds added to it stay far below 2^53."""

Span = Annotated[float, Meta(ge=0, le=_CENTURY_SECONDS, extra={"unit": "s"})]
"""Seconds, whole or not."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a type is run. Spans are seconds; None means without end."""

    patience: Annotated[
        Span | None,
        Meta(
            description="how long later jobs may overtake the first job that does not fit; "
            "0 = strict order, null = without end"
        ),
    ] = 300.0
    offer: Annotated[
        Span | None,
        Meta(
            description="how long callbacks are tried before the capacity goes to another job; "
            "null = without end"
        ),
    ] = 300.0
    running: Annotated[
        Span | None,
        Meta(description="how long a running job may hold without renewing; null = without end"),
    ] = None
    retention: Annotated[
        Span | None,
        Meta(description="how long done and error jobs are kept; null = without end"),
    ] = 7 * 86400.0
    paused: Annotated[bool, Meta(description="submits are accepted, grants stop")] = False
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)],
        Meta(description="callbacks in flight to one destination at once, of all notifiers"),
    ] = 32
    share: Annotated[
        Literal["owner"] | None,
        Meta(
            description='"owner": at equal priority the owner with the smallest dominant share '
            "goes first"
        ),
    ] = None
    limits: Annotated[
        Mapping[Owner, Amounts],
        Meta(description="the most that an owner, or `*` for every other, may hold of a resource"),
    ] = field(default_factory=dict)
    holds: Annotated[
        Literal["until_done", "until_seen"],
        Meta(description="when the capacity of a running job stops being held"),
    ] = "until_done"
    settle: Annotated[
        Span,
        Meta(description="under `until_seen`, how long a running job that named no servers holds"),
    ] = 60.0


class _Change(Struct):
    noun: ClassVar[str] = "the policy field"


def _change_fields() -> list[tuple[str, Any, Any]]:
    """Make each row optional; null empties a mapping."""
    return [
        (name, (hint | None if _is_mapping(name) else hint) | UnsetType, UNSET)
        for name, hint in get_type_hints(Policy, include_extras=True).items()
    ]


def _is_mapping(name: str) -> bool:
    return isinstance(getattr(Policy(), name), Mapping)


PolicyChange = msgspec.defstruct(
    "PolicyChange",
    _change_fields(),
    bases=(_Change,),
    forbid_unknown_fields=True,
    frozen=True,
)
"""The body that changes a policy: the rows, each of which may be left out."""


def changed_fields(change: Struct) -> dict[str, object]:
    """List the fields that a PolicyChange names, with their values."""
    given = {name: getattr(change, name) for name in change.__struct_fields__}
    return {
        name: {} if value is None and _is_mapping(name) else value
        for name, value in given.items()
        if value is not UNSET
    }
