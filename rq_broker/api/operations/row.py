"""One row of the table of operations, and what a row is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rq_broker.api import roles
from rq_broker.api.operations.group import Example, Group
from rq_broker.domain import errors


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
    media: tuple[str, ...] = ("application/json",)
    is_required: bool = True


MERGE_PATCH = ("application/json", "application/merge-patch+json")
"""Media types of a JSON Merge Patch (RFC 7396)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table."""

    data: Any = None
    """Type of `data` in the answer's envelope, or a tuple of alternatives; None: no envelope."""
    refusals: tuple[type[errors.BrokerError], ...] = ()
    access: roles.Access = field(kw_only=True)
    """Role → on what it may call the operation; a role that is left out is refused."""
    identifies: bool = False
    """Whether a public operation finds out who asks, where there is a credential."""
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
    has_etag: bool = False
    """Whether an answer that holds one job has its ETag."""
    condition: str = ""
    """The header that the ETag of an earlier answer goes with: `If-Match`, `If-None-Match`."""
    note: str = ""
    media: tuple[str, ...] = ("application/json",)
    group: Group = Group.OPERATE
    """The chapter of the API's page."""
    order: int = 50
    """Where in its chapter: a smaller number goes first, equal ones as they are listed here."""
    examples: tuple[Example, ...] = (Example(),)


WARNING = {"Warning": {"type": "string"}}
"""The key `Warning` of an envelope."""
WHOSE = {
    "owner_id": Parameter(
        {"type": "string"},
        "Whose job it is: needed where names are per owner and you act for more than one.",
    )
}
"""The query of an operation on one job."""
