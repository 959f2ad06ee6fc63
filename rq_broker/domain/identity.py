"""Who asks: the identity that a credential proves, and the actor that a change is recorded for."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from rq_broker.domain.errors import Invalid

LONGEST_LIFE = 10 * 366 * 86400
"""Seconds that a token lives at most."""
_MOST_NAMED = 10
"""Owners that a refusal lists."""


class Role(StrEnum):
    """What an identity may do; the table beside the routes says it call by call."""

    CLIENT = "client"
    """Submits and steers the jobs of its owners."""
    VIEWER = "viewer"
    """Reads everything, with callbacks and data redacted; changes nothing."""
    SOURCE = "source"
    """Publishes the hosts of its types."""
    OPERATOR = "operator"
    """Does everything to jobs, types and hosts that exist, on behalf of any owner."""
    ADMIN = "admin"
    """Does everything; the only role that hands out tokens."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, as a token, Keystone or a JWT proves it.

    Attributes:
        name: Where it comes from and its name there: `token:ci`, `keystone:USER@PROJECT`.
        role: What it may do.
        owners: The owners whose jobs are its own; None: every owner.
        types: The types that it may use; None: every type.
        callback_hosts: The hosts that its callbacks may name; None: those that the egress allows.
    """

    name: str
    role: Role
    owners: frozenset[str] | None = None
    types: frozenset[str] | None = None
    callback_hosts: frozenset[str] | None = None

    def owns(self, owner: str) -> bool:
        """Tell whether the jobs of an owner are its own."""
        return self.owners is None or owner in self.owners

    def sole_owner(self) -> str | None:
        """Return the owner of a request that names none; None where there is no access control.

        Raises Invalid, with those that it may name, unless it has exactly one.
        """
        if self is ANYONE:
            return None
        owners = sorted(self.owners or ())
        if len(owners) == 1:
            return owners[0]
        more = f" and {len(owners) - _MOST_NAMED} more" if len(owners) > _MOST_NAMED else ""
        named = f"the owners {', '.join(owners[:_MOST_NAMED])}{more}"
        whose = "any owner" if self.owners is None else named
        raise Invalid(f"owner_id is required: {self.name} acts for {whose}, so name one")

    def uses(self, type_: str) -> bool:
        """Tell whether it may use a type."""
        return self.types is None or type_ in self.types


ANYONE = Identity("anyone", Role.ADMIN)
"""Who asks where no access control is configured."""

NOBODY = Identity("nobody", Role.VIEWER, frozenset(), frozenset())
"""Who asks without a credential for what needs none."""


class Actor(NamedTuple):
    """Who makes a change, from where and in which request, as the audit log keeps it."""

    name: str
    """Name of the identity."""
    address: str = ""
    """Address of the client; empty where it has none, as on a command line."""
    request_id: str = ""
    """`X-Request-ID` of the HTTP request; empty without one."""


ACTOR: ContextVar[Actor | None] = ContextVar("ACTOR", default=None)
"""Who the running task acts for; None: the broker itself, whose changes are no audit lines."""
