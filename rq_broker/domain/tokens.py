"""Tokens: what one proves, and what may be asked of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta, Struct

from rq_broker.domain.decoding import convert
from rq_broker.domain.errors import Invalid
from rq_broker.domain.identity import LONGEST_LIFE, Identity, Role
from rq_broker.domain.validation import Name, Owner, Span, Text, TypeName

MOST_NAMED = 100
"""Owners, types or hosts of one token: bounds what each request with it costs to read."""
Lifetime = Annotated[
    float,
    Meta(gt=0, le=LONGEST_LIFE, description="Seconds until it expires."),
]


class NewToken(Struct, forbid_unknown_fields=True):
    """A token to make."""

    role: Role
    name: Annotated[Name, Meta(description="Left out: the role and a random word.")] | None = None
    owners: (
        Annotated[
            list[Owner],
            Meta(
                min_length=1,
                max_length=MOST_NAMED,
                description="Of a client, one at least; of a viewer, those whose jobs it sees.",
                extra={"items": "owners"},
            ),
        ]
        | None
    ) = None
    types: (
        Annotated[
            list[TypeName],
            Meta(
                min_length=1,
                max_length=MOST_NAMED,
                description="The types that it may use. Left out: every type.",
                extra={"items": "types"},
            ),
        ]
        | None
    ) = None
    callback_hosts: (
        Annotated[
            list[Annotated[str, Text(255, " ").meta()]],
            Meta(
                min_length=1,
                max_length=MOST_NAMED,
                description="The hosts that its callbacks may name. Left out: all that the API "
                "accepts.",
                extra={"items": "hosts"},
            ),
        ]
        | None
    ) = None
    expires: Annotated[Lifetime | None, Meta(description="Left out: it does not expire.")] = None


_UNLIMITED: Mapping[Role, tuple[str, ...]] = {
    Role.SOURCE: ("owners",),
    Role.OPERATOR: ("owners",),
    Role.ADMIN: ("owners", "types", "callback_hosts"),
}
"""Role → the limits that it cannot have. What a source and an operator work on belongs to no owner;
and an admin may make any other token, so that no limit would hold."""
_NULL: Mapping[str, Any] = {"type": "null"}


def _if_role(role: Role, then: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a rule for tokens of one role."""
    return {"if": {"properties": {"role": {"const": role.value}}}, "then": then}


NewTokenBody = Annotated[
    NewToken,
    Meta(
        extra_json_schema={
            "allOf": [
                _if_role(
                    Role.CLIENT,
                    {"required": ["owners"], "properties": {"owners": {"not": _NULL}}},
                ),
                *(
                    _if_role(role, {"properties": dict.fromkeys(names, _NULL)})
                    for role, names in _UNLIMITED.items()
                ),
            ]
        }
    ),
]
"""A new token with the rules about roles and limits, as the API document shows it."""


class Rotation(Struct, forbid_unknown_fields=True):
    """How a token is replaced by another."""

    expires: Annotated[
        Lifetime | None, Meta(description="Left out: as long as the old one lived.")
    ] = None
    overlap: Annotated[
        Span, Meta(description="Seconds for which the old one is still accepted.")
    ] = 0.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: what it proves, and until when. The token itself is not kept."""

    id: str
    """The first 32 hex digits of its SHA-256."""
    digest: str
    """Its SHA-256, hex."""
    identity: Identity
    created: float
    """Seconds since 1970, as both below."""
    expires: float | None = None
    ended: float | None = None
    """From when it is refused, because it was revoked or replaced."""

    def state(self, now: float) -> str:
        """Return `valid`, `revoked` or `expired`, at a time in seconds since 1970."""
        if self.ended is not None and self.ended <= now:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "valid"

    @property
    def end(self) -> float | None:
        """From when it is refused, for whatever reason; None: it does not end."""
        return min((end for end in (self.expires, self.ended) if end is not None), default=None)

    @property
    def role(self) -> Role:
        """The role of its identity."""
        return self.identity.role

    @property
    def owners(self) -> frozenset[str] | None:
        """Whose jobs are its own; None: no limit."""
        return self.identity.owners

    @property
    def types(self) -> frozenset[str] | None:
        """The types that it may use; None: every type."""
        return self.identity.types

    @property
    def callback_hosts(self) -> frozenset[str] | None:
        """The hosts that its callbacks may name; None: no limit."""
        return self.identity.callback_hosts

    @property
    def name(self) -> str:
        """Its name, which the name of its identity repeats."""
        return self.identity.name.removeprefix(PREFIX)


_NO_WORDS: Mapping[str, str] = {}
PREFIX = "token:"
"""With what the name of an identity begins that a token proves."""


def new_token(body: object, words: Mapping[str, str] = _NO_WORDS) -> NewToken:
    """Return the token to make.

    Args:
        body: Its fields.
        words: Field → what a sentence calls it, where that is not its name.

    Raises:
        Invalid: It has no such form, or its role and its limits do not go together.
    """
    new = convert(body, NewToken)
    if new.role is Role.CLIENT and new.owners is None:
        owners = words.get("owners", "owners")
        raise Invalid(f"a client needs {owners}: the jobs of these are its own")
    for name in _UNLIMITED.get(new.role, ()):
        if getattr(new, name) is not None:
            raise Invalid(f"the role {new.role} is not limited: leave {words.get(name, name)} out")
    return new


def rotation(body: object) -> Rotation:
    """Return how to rotate. Raises Invalid."""
    return convert(body, Rotation)
