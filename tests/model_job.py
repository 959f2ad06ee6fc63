"""A job as the model of the broker keeps it, and the times that the model knows.

It knows three times only, as the state machine uses no other spans: True is due now, False is due
in an hour, None is never due.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from rq_broker.domain.jobs import Demand, Shape, Status
from rq_broker.domain.planning import Head
from rq_broker.domain.terms import Terms

Due = bool | None
ENDS = {
    Status.GRANTED: "offer",
    Status.RUNNING: "running",
    Status.DONE: "retention",
    Status.ERROR: "retention",
}
FAR = 4_000_000_000_000
"""A `not_before` in the year 2096, ms; any other one is past."""
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
    holds: Counter[tuple[str, str]] = field(default_factory=Counter)
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


def timeless(head: Head) -> Head:
    """Return a head that says whether it prefers its first alternative, not until when."""
    return replace(head, prefers_until=float(head.prefers_until > 0))


def chosen(demand: Demand, alternative: int, more: int) -> tuple[int, int]:
    """Return which alternative to grant, and as how many instances; perhaps what is not allowed."""
    options = demand.options
    number = alternative if len(options) > 1 else 0
    count = len(options[number % len(options)].instances)
    return number, count + (more if demand.has_choice else 0)
