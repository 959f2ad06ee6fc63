"""The policy of a type: one row for each field, from which everything else follows.

A row declares name, type, unit, bounds, meaning and default. The body of `PUT /types/{type}`, the
form in Redis, the defaults that scripts use and the schemas are made from the rows. `make generate`
writes the types of the client and the table of the policy page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, inspect

from rq_broker.domain.capacity import Amounts, ResourceName
from rq_broker.domain.decoding import convert
from rq_broker.domain.merge_patch import merge_patch
from rq_broker.domain.sharing import Share, SharePatch
from rq_broker.domain.validation import Count, HoldSpan, OwnerOrAll, Span

_OF_QUEUES = Meta(extra_json_schema={"propertyNames": {"enum": ["jobs", "bytes"]}})
QueueLimit = Annotated[Mapping[Literal["jobs", "bytes"], Count], _OF_QUEUES]
"""The most of an owner; what it does not name has no limit."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a type is run. Spans are seconds; None means without end."""

    patience: Annotated[
        Span | None,
        Meta(
            description="how long later jobs may delay the first job that does not fit; then its "
            "start is reserved; 0: at once, null: never"
        ),
    ] = 300.0
    strict_order: Annotated[
        bool,
        Meta(
            description="no job overtakes an earlier one that waits for room (FCFS); "
            "`patience` is not used"
        ),
    ] = False
    expected_default: Annotated[
        HoldSpan | None,
        Meta(
            description="what a job that does not say how long it will hold is taken to say; "
            "null: nothing"
        ),
    ] = None
    expected_most: Annotated[
        HoldSpan | None,
        Meta(description="the longest `expected` that a job may say; null: without end"),
    ] = None
    offer: Annotated[
        HoldSpan | None,
        Meta(
            description="how long callbacks are tried, or an offer can be taken, before the "
            "capacity goes to another job; null: without end"
        ),
    ] = 300.0
    running: Annotated[
        HoldSpan | None,
        Meta(
            description="how long a running job may hold without renewing; null: without end. The "
            "default, 366 days, only ends what clients left behind"
        ),
    ] = 366 * 86400.0
    retention: Annotated[
        Span | None,
        Meta(description="how long done and error jobs are kept; null: without end"),
    ] = 7 * 86400.0
    paused: Annotated[bool, Meta(description="submits are accepted, grants stop")] = False
    most_kinds: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)],
        Meta(
            description="the most amounts that a job may list: for each different instance, one of "
            "each resource"
        ),
    ] = 128
    most_hosts: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)],
        Meta(
            description="the most hosts with which another may be published over HTTP; sources "
            "report as many as they have"
        ),
    ] = 10_000
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)],
        Meta(description="callbacks in flight to one destination at once, of all notifiers"),
    ] = 32
    share: Annotated[
        Literal["owner"] | Share | None,
        Meta(
            description="jobs without a priority of their own go in the order of what their owner "
            "used for its weight, the least first"
        ),
    ] = None
    names: Annotated[
        Literal["per_type", "per_owner"],
        Meta(
            description="whether a `request_id`, and a callback, is unique in the type, or for its "
            "owner only; changes while the type has no job"
        ),
    ] = "per_type"
    own_order: Annotated[
        bool, Meta(description="clients may put their own waiting jobs in another order")
    ] = True
    limits: Annotated[
        Mapping[OwnerOrAll, Amounts],
        Meta(description="the most that an owner, or `*` for every other, may hold of a resource"),
    ] = field(default_factory=dict)
    queue_limits: Annotated[
        Mapping[OwnerOrAll, QueueLimit],
        Meta(
            description="the most waiting jobs of an owner, or `*` for every other, and the most "
            "bytes that its jobs may take in Redis"
        ),
    ] = field(default_factory=lambda: {"*": {"jobs": 100_000, "bytes": 1 << 30}})
    most_waiting: Annotated[
        Count | None, Meta(description="the most waiting jobs of all owners; null: without end")
    ] = None
    most_bytes: Annotated[
        Count | None,
        Meta(description="the most bytes that all jobs may take in Redis; null: without end"),
    ] = None
    holds: Annotated[
        Literal["until_done", "until_seen"],
        Meta(description="when the capacity of a running job stops being held"),
    ] = "until_done"
    settle: Annotated[
        Span,
        Meta(description="under `until_seen`, how long a running job that named no servers holds"),
    ] = 60.0
    audit_log: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)],
        Meta(
            description="lines that the audit log keeps at least, the newest; a line takes some "
            "185 bytes of Redis's memory. 0: no more lines are written"
        ),
    ] = 10_000

    @property
    def sharing(self) -> Share | None:
        """How capacity is shared; the word `owner` stands for the defaults."""
        return Share("owner") if self.share == "owner" else self.share

    def expected(self, said: float | None) -> float | None:
        """Return how long a job says it will hold, or is taken to say if it says nothing."""
        return self.expected_default if said is None else said


class Row(NamedTuple):
    """One field of the policy, read from its annotation."""

    name: str
    kind: inspect.Type
    """The type, without metadata and null; a union where it has several forms."""
    nullable: bool
    meaning: str
    default: Any

    @property
    def is_mapping(self) -> bool:
        """Whether the field is a mapping, which null empties."""
        return isinstance(self.kind, inspect.DictType)


def rows_of(policy: type[Policy]) -> tuple[Row, ...]:
    """Return the rows of a policy, in the order of its fields."""
    declared = inspect.type_info(policy)
    assert isinstance(declared, inspect.DataclassType)
    defaults = policy()
    return tuple(_row(field, getattr(defaults, field.name)) for field in declared.fields)


def _row(field: inspect.Field, default: Any) -> Row:
    kind, meaning = field.type, ""
    if isinstance(kind, inspect.Metadata):
        meaning, kind = (kind.extra_json_schema or {}).get("description", ""), kind.type
    nullable = False
    if isinstance(kind, inspect.UnionType):
        members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        nullable = len(members) < len(kind.types)
        kind = members[0] if len(members) == 1 else inspect.UnionType(tuple(members))
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return Row(field.name, kind, nullable, meaning, default)


ROWS = rows_of(Policy)


class _Change(Struct):
    noun: ClassVar[str] = "the policy field"


def change_of(policy: type[Policy]) -> type[Struct]:
    """Return the struct of a body that changes a policy: it has every row, and may omit any."""
    hints = get_type_hints(policy, include_extras=True)
    fields: list[tuple[str, Any, Any]] = []
    for row in rows_of(policy):
        type_ = hints[row.name] | None if row.is_mapping else hints[row.name]
        fields.append((row.name, type_ | UnsetType, UNSET))
    return msgspec.defstruct(
        "PolicyChange", fields, bases=(_Change,), forbid_unknown_fields=True, frozen=True
    )


PolicyChange = change_of(Policy)


def changed_fields(change: Struct) -> dict[str, object]:
    """Return the fields that a PolicyChange sets, by name. A mapping that is null becomes empty."""
    values = {name: getattr(change, name) for name in change.__struct_fields__}
    mappings = {row.name for row in ROWS if row.is_mapping}
    return {
        name: {} if value is None and name in mappings else value
        for name, value in values.items()
        if value is not UNSET
    }


_PATCHED: Mapping[str, Any] = {
    "limits": Mapping[OwnerOrAll, Mapping[ResourceName, Count | None] | None] | None,
    "queue_limits": Mapping[
        OwnerOrAll, Annotated[Mapping[Literal["jobs", "bytes"], Count | None], _OF_QUEUES] | None
    ]
    | None,
    "share": Literal["owner"] | SharePatch | None,
}
"""Fields that hold objects, as a patch names a part of them: null removes that part."""


def patch_of(change: type[Struct]) -> type[Struct]:
    """Return the struct of a body that patches a policy: a change whose objects may be partial."""
    hints = get_type_hints(change, include_extras=True)
    fields: list[tuple[str, Any, Any]] = [
        (name, _PATCHED[name] | UnsetType if name in _PATCHED else hints[name], UNSET)
        for name in change.__struct_fields__
    ]
    return msgspec.defstruct(
        "PolicyPatch", fields, bases=(_Change,), forbid_unknown_fields=True, frozen=True
    )


PolicyPatch = patch_of(PolicyChange)


def patched_fields(policy: Policy, patch: Mapping[str, Any]) -> dict[str, object]:
    """Return the fields of a policy that a JSON Merge Patch changes, with their new values.

    A field that is null becomes null, as in a PolicyChange: null is a value that fields have. What
    is null within a field is removed from it.

    Raises:
        Invalid: The policy would not be valid.
    """
    named = {name: value for name, value in patch.items() if isinstance(value, Mapping)}
    stored = msgspec.to_builtins({name: getattr(policy, name) for name in named})
    if "share" in stored:
        stored["share"] = msgspec.to_builtins(policy.sharing)
    return changed_fields(convert({**patch, **merge_patch(stored, named)}, PolicyChange))
