"""What there is to grant: hosts, their amounts, and the state of the sources that report them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_WHOLE = 2**53 - 1
"""Largest whole number a sorted-set score says exactly."""


Amounts = Mapping[str, int]
"""Resource name → whole number ≥ 0."""


@dataclass(frozen=True, slots=True)
class Host:
    """One place with capacity. `used` is what its source sees; `held` what we have promised."""

    name: str
    capacity: Amounts
    used: Amounts = field(default_factory=dict)
    held: Amounts = field(default_factory=dict)
    aggregates: frozenset[str] = frozenset()
    dropped: bool = False
    """Out of service, kept until its last hold is released."""
    max_unit: Amounts = field(default_factory=dict)
    """The most one instance may have of a resource; whatever is free, where not listed."""
    source: str = ""
    """The source that reports it; empty for a host that was published."""

    @property
    def free(self) -> dict[str, int]:
        """Capacity − used − held per resource; below 0 where a host shrank under its holds."""
        return {
            resource: amount - self.used.get(resource, 0) - self.held.get(resource, 0)
            for resource, amount in self.capacity.items()
        }


@dataclass(frozen=True, slots=True)
class SourceState:
    """How one source of a type's capacity is."""

    name: str
    age: float | None
    """Seconds since its last good snapshot was begun; None before the first."""
    stale: bool
    """No good snapshot for three of its intervals."""
    hosts: int
    clashes: int = 0
    """Hosts it reports that were published otherwise, which go before."""
    cause: str = ""
    """Why its last try failed, in a word and in a sentence; empty when it did not."""
    text: str = ""
