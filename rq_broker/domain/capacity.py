"""What there is to grant: hosts, their amounts, and the state of the sources that report them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct

from rq_broker.domain.decoding import check, convert
from rq_broker.domain.validation import NAME, Count, Label, Name, Text

Amounts = Mapping[Annotated[str, Text(64, "/", noun="the resource name").meta()], Count]
"""Resource name → whole number ≥ 0."""


@dataclass(frozen=True, slots=True)
class Host:
    """One place with capacity. `used` is what its source sees; `held` what we have promised."""

    name: Name
    capacity: Amounts
    used: Amounts = field(default_factory=dict)
    held: Amounts = field(default_factory=dict)
    aggregates: frozenset[Label] = frozenset()
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


_Ignored = Annotated[Any, Meta(description="Ignored: the broker computes it.")]


class NewHost(Struct, forbid_unknown_fields=True):
    """A host as HTTP or a file gives it, its name aside."""

    capacity: Amounts
    used: Annotated[Amounts | None, Meta(description="In use as its source sees it.")] = None
    aggregates: list[Label] | None = None
    max_unit: Annotated[
        Amounts | None,
        Meta(description="The most one instance may have; whatever is free, where not listed."),
    ] = None
    name: _Ignored = None
    held: _Ignored = None
    free: _Ignored = None
    dropped: _Ignored = None
    source: _Ignored = None


def new_host(name: str, fields: Any, place: str = "the body") -> Host:
    """Read a host; raises Invalid."""
    new = convert(fields, NewHost, place)
    aggregates = frozenset(new.aggregates or ())
    return checked(
        Host(name, new.capacity, new.used or {}, aggregates=aggregates, max_unit=new.max_unit or {})
    )


def checked(host: Host) -> Host:
    """Return the host if the broker can name and count it; raises Invalid.

    The one rule for a host, whether HTTP, a file, a service or somebody's source reports it.
    """
    NAME.check(host.name, "the host's name")
    check(host, "the host")
    return host


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
