"""Maps the roles of another system to the broker's."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rq_broker.domain.errors import Invalid
from rq_broker.domain.identity import Role

_BOUND = (Role.CLIENT, Role.VIEWER)
"""Roles that have owners; the others act on what belongs to none, or for all."""


class RoleMap:
    """Which role a caller has for the roles that another system gives it.

    Args:
        pairs: `THEIRS=OURS`. The first whose left side a caller has decides, so the order says
            which goes before which.
        option: The option that they come from, for sentences.

    Raises:
        Invalid: A pair has another form, or names no role of the broker.
    """

    def __init__(self, pairs: Iterable[str], option: str) -> None:
        self._roles: dict[str, Role] = {}
        for pair in pairs:
            theirs, separator, ours = pair.rpartition("=")
            if not (theirs and separator):
                raise Invalid(f"{option} {pair} must have the form THEIRS=OURS")
            if ours not in list(Role):
                raise Invalid(f"{option} {pair}: {ours} is none of {', '.join(Role)}")
            self._roles.setdefault(theirs, Role(ours))

    def role_of(self, theirs: Collection[str]) -> Role | None:
        """Return the role for those of another system; None if none of them is mapped."""
        return next((ours for name, ours in self._roles.items() if name in theirs), None)

    def __str__(self) -> str:
        """The roles of the other system that are mapped, for sentences."""
        return ", ".join(self._roles)


def is_bound(role: Role) -> bool:
    """Tell whether a role acts for the owners of its credential only."""
    return role in _BOUND


def owners_of(role: Role, owners: Iterable[str]) -> frozenset[str] | None:
    """Return the owners of an identity: those of its credential; None for an unbound role."""
    return frozenset(owners) if is_bound(role) else None
