"""Capacity: hosts, amounts of resources, and the sources that report hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct

from rq_broker.domain.decoding import check, convert
from rq_broker.domain.validation import NAME, Count, Label, Name, Text

MOST_RESOURCES = 10_000
"""Resources of one host at most; real ones have tens. One script writes them all, and Redis serves
nobody else meanwhile: about 10 ms for this number."""
RESOURCE_NAME = Text(64, "/", noun="the resource name")
ResourceName = Annotated[str, RESOURCE_NAME.meta()]
Amounts = Mapping[ResourceName, Count]
"""Resource name → whole number ≥ 0."""
HostAmounts = Annotated[Amounts, Meta(max_length=MOST_RESOURCES)]


@dataclass(frozen=True, slots=True)
class Host:
    """One place with capacity. Its annotations are the rule that `checked` applies."""

    name: Name
    capacity: HostAmounts
    used: HostAmounts = field(default_factory=dict)
    """In use as its source sees it."""
    held: Amounts = field(default_factory=dict)
    """Held by grants of the broker."""
    aggregates: frozenset[Label] = frozenset()
    dropped: bool = False
    """Whether it is out of service: it is kept until its last hold is released."""
    max_unit: HostAmounts = field(default_factory=dict)
    """The most one instance may have of a resource; all that is free, where not listed."""
    min_unit: Amounts = field(default_factory=dict)
    """The least one instance may have of a resource it asks for; 1 where not listed."""
    step_size: Amounts = field(default_factory=dict)
    """What an instance's amount of a resource must be a multiple of; 1 where not listed."""
    source: str = ""
    """The source that reports it; '' for a host that was published over HTTP."""
    traits: frozenset[Label] = frozenset()
    """What it is like beside its amounts, for demands that require or forbid it."""
    anywhere: bool = False
    """Whether it is no place but one capacity for the whole type, such as licences: needed beside
    hosts of any aggregate and traits, by any number of instances of a spread job."""

    @property
    def free(self) -> dict[str, int]:
        """Capacity − used − held per resource; negative if the host shrank below its holds."""
        return {
            resource: amount - self.used.get(resource, 0) - self.held.get(resource, 0)
            for resource, amount in self.capacity.items()
        }

    @property
    def in_transit(self) -> dict[str, int]:
        """What of a resource is counted both as used and as held, as far as the sums show it.

        From its boot until its client names it, a job's server is in `used` while its capacity is
        still in `held`. What both count beyond the capacity is counted twice, or is promised and
        taken by others: which of the two, only the names of the servers can tell.
        """
        overlap = {
            resource: min(-free, self.used.get(resource, 0), self.held.get(resource, 0))
            for resource, free in self.free.items()
        }
        return {resource: amount for resource, amount in overlap.items() if amount > 0}

    @property
    def unpromised(self) -> dict[str, int]:
        """Free, without counting twice what is in transit: what the host can still be granted."""
        in_transit = self.in_transit
        return {
            resource: free + in_transit.get(resource, 0) for resource, free in self.free.items()
        }


_Ignored = Annotated[Any, Meta(description="Ignored: the broker computes it.")]


class NewHost(Struct, forbid_unknown_fields=True):
    """The fields of a host as HTTP or a file gives them; the name comes apart."""

    capacity: HostAmounts
    used: Annotated[HostAmounts | None, Meta(description="In use as its source sees it.")] = None
    aggregates: list[Label] | None = None
    max_unit: Annotated[
        HostAmounts | None,
        Meta(description="The most one instance may have; all that is free, where not listed."),
    ] = None
    min_unit: Annotated[
        Amounts | None, Meta(description="The least one instance may have; 1 where not listed.")
    ] = None
    step_size: Annotated[
        Amounts | None,
        Meta(description="What an instance's amount is a multiple of; 1 where not listed."),
    ] = None
    traits: Annotated[
        list[Label] | None,
        Meta(description="What it is like, for demands that require or forbid it."),
    ] = None
    anywhere: Annotated[
        bool | None,
        Meta(
            description="It is no place but one capacity for the whole type, such as licences: "
            "`host_aggregate`, `any_aggregate`, `require`, `forbid` and `spread` of `data` do "
            "not bind it."
        ),
    ] = None
    name: _Ignored = None
    held: _Ignored = None
    free: _Ignored = None
    in_transit: _Ignored = None
    dropped: _Ignored = None
    source: _Ignored = None


def new_host(name: str, fields: Any, place: str = "the body") -> Host:
    """Return the host that parsed JSON or TOML describes. Raises Invalid."""
    new = convert(fields, NewHost, place)
    aggregates = frozenset(new.aggregates or ())
    return checked(
        Host(
            name,
            new.capacity,
            new.used or {},
            aggregates=aggregates,
            max_unit=new.max_unit or {},
            min_unit=new.min_unit or {},
            step_size=new.step_size or {},
            traits=frozenset(new.traits or ()),
            anywhere=bool(new.anywhere),
        )
    )


def checked(host: Host) -> Host:
    """Return the host if the broker can name and count it.

    Every way in applies this rule: HTTP, the poller of sources, and Broker.set_host.

    Raises:
        Invalid: Some field is not valid; the sentence names it.
    """
    NAME.check(host.name, "the host's name")
    check(host, "the host")
    return host


STALE_INTERVALS = 3
"""Poll intervals without a good snapshot after which a source is stale: one failed poll is not
enough, and operators learn of a source that stays away within minutes."""
BAD_HOSTS = "bad_hosts"
"""The cause of a source whose last snapshot was applied without some of its hosts."""
UNREAD = "unread"
"""The cause of a source that could not read a part of what it reports, such as names."""


@dataclass(frozen=True, slots=True)
class SourceState:
    """The state of a source that reports hosts of a type."""

    name: str
    age: float | None
    """Seconds since the start of its last good snapshot; None before the first."""
    stale: bool
    """Whether it had no good snapshot for three of its intervals."""
    hosts: int
    clashes: int = 0
    """Hosts it reports that are ignored, because others publish hosts of these names."""
    cause: str = ""
    """Why its last attempt failed, in a word, or BAD_HOSTS or UNREAD; '' if nothing was wrong."""
    text: str = ""
    """The failure as a sentence."""
