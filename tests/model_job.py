"""A job as the model of the broker keeps it, and the times that the model knows.

It knows three times only, as the state machine uses no other spans: True is due now, False is due
in an hour, None is never due.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from msgspec import structs

from rq_broker.domain.capacity import Host
from rq_broker.domain.choices import Elastic
from rq_broker.domain.jobs import Demand, Shape, Status
from rq_broker.domain.planning import Head
from rq_broker.domain.terms import Terms
from rq_broker.domain.traits import Instance, traits_of

Due = bool | None
Place = tuple[str, str]
"""A host and a resource."""
SOURCE, SOURCE_HOST = "lab", "s"
"""The source of the state machine, and its only host."""
ENDS = {
    Status.GRANTED: "offer",
    Status.RUNNING: "running",
    Status.DONE: "retention",
    Status.ERROR: "retention",
}
FAR = 4_000_000_000_000
"""A `not_before` in the year 2096, ms; any other one is past."""
MISSES = 3
"""Offers missed in a row that end a job in error, and close the offers of its owner."""
ANY = "whatever"
"""Stands for an error text whose words the model does not predict."""


def due(span: float | None) -> Due:
    """Return whether a span of 0 s, or of an hour, that starts now is over now."""
    return None if span is None else span == 0


NO_TERMS = Terms()


@dataclass
class MJob:
    """A job as the model keeps it."""

    id: int
    request_id: str
    owner: str
    callback: str
    data: str
    priority: int
    shape: Shape
    own_priority: bool = False
    status: Status = Status.QUEUED
    fence: int | None = None
    hosts: tuple[str, ...] = ()
    holds: Counter[Place] = field(default_factory=Counter)
    claims: int = 0
    released: int = 0
    error: str | None = None
    settled: tuple[int, int] = (0, 0)
    delivery: Due = None
    deadline: Due = None
    offer: Due = None
    passed: bool = False
    expected: float | None = None
    alternative: int | None = None
    terms: Terms = NO_TERMS
    beside: bool = False
    """Whether it waits beside the line."""
    left: set[int] = field(default_factory=set)
    """IDs of the jobs for which it waits there."""
    missed: int = 0
    """Offers that it missed in a row."""
    was_offer: bool = False
    """Whether it is granted, or failed, without a callback."""
    has_servers: bool = False
    """Whether it runs as a server of its own name."""
    seen: Counter[Place] = field(default_factory=Counter)
    """What of its grant is not held, as its servers use it."""
    unheld: Counter[Place] = field(default_factory=Counter)
    """What of its grant is neither held nor used."""
    unheld_since: int | None = None
    """Number of the snapshot since which it has such a part."""
    is_lost: bool = False
    """Whether a later snapshot found it so again."""

    @property
    def is_offer(self) -> bool:
        """Whether its grant is an offer that its client has not taken."""
        return self.status is Status.GRANTED and not self.callback

    @property
    def head(self) -> Head:
        until = float(self.shape.demand.prefer_for > 0)
        return Head(self.id, self.request_id, self.priority, self.own_priority, until)

    @property
    def has_no_time(self) -> bool:
        """Whether no sweep has to do anything for the job at some time."""
        no_terms = self.terms == NO_TERMS and not self.shape.demand.prefer_for
        return no_terms and self.deadline is None

    @property
    def attempts(self) -> int:
        return self.claims - self.released


@dataclass
class MArray:
    """An array as the model keeps it."""

    name: str
    owner: str
    count: int
    first_id: int


def timeless(head: Head) -> Head:
    """Return a head that says whether it prefers its first alternative, not until when."""
    return structs.replace(head, prefers_until=float(head.prefers_until > 0))


def chosen(demand: Demand, alternative: int, more: int) -> tuple[int, int]:
    """Return which alternative to grant, and as how many instances; perhaps what is not allowed."""
    options = demand.options
    number = alternative if len(options) > 1 else 0
    count = len(options[number % len(options)].instances)
    return number, count + (more if demand.has_choice else 0)


def granted_by(demand: Demand, alternative: int, count: int) -> Demand | None:
    """Return what a grant of so many instances gives; None where the demand allows none such."""
    options = (demand, *demand.alternatives)
    if not 0 <= alternative < len(options):
        return None
    option = options[alternative]
    at, extra = option.elastic or Elastic(0, 0), count - len(option.instances)
    if not 0 <= extra <= at.more:
        return None
    instances = list(option.instances)
    instances[at.index : at.index] = [instances[at.index]] * extra
    return structs.replace(
        option, instances=tuple(instances), elastic=None, alternatives=(), prefer_for=0
    )


def may_be_on(wanted: Demand, own: Instance, host: Host | None, planned: Host | None) -> bool:
    """Return whether an instance may be on a host, and whether that is as it was planned."""
    if host is None:
        return False
    if planned is None:
        return wanted.admits_any
    if planned.anywhere and not host.anywhere:
        return False
    if wanted.names_aggregates and planned.aggregates != host.aggregates:
        return False
    if wanted.names_traits and planned.traits != host.traits:
        return False
    return wanted.admits(planned) and traits_of(own).admit(planned.traits)
