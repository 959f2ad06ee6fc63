"""The jobs of a simulated future: kinds of them, those that wait, and those that hold capacity."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import NamedTuple

from rq_broker.domain.holding_times import HoldingTimes, Prediction
from rq_broker.domain.terms import AtOnce
from rq_broker.planner.forecasting.kept_hosts import KeptHosts
from rq_broker.planner.forecasting.like_jobs import LikeJobs
from rq_broker.planner.forecasting.room import Need, Placement, Vector

NEVER = float("inf")
"""Seconds until what does not happen."""
DRAWS = 2
"""Holding times drawn for the jobs for which one job of the line, or one arrival, stands."""


@dataclass(eq=False, slots=True)
class Kind:
    """Jobs that are alike to a simulation."""

    number: int
    needs: tuple[Need, ...]
    """Its instances, the largest first."""
    groups: frozenset[int]
    """Groups of hosts that it may use."""
    demand: int
    """Number of its demand: where one kind of a demand does not fit, no other does."""
    digest: str
    """Digest of its demand, by which holding times are remembered."""
    owner: str
    total: Vector
    """What one job needs in all."""
    is_wide: bool
    """Whether that is half of what its hosts have, see `reservations`."""
    limit: Vector | None
    """The most its owner may hold, -1 where that is not limited; None without any limit."""
    prediction: Prediction
    """How long its jobs are expected to hold."""
    histories: tuple[LikeJobs, ...]
    """Of the most alike jobs first; none is empty."""
    own_priority: bool
    """Whether its jobs keep their places where others are ordered by shares."""
    at_once: AtOnce | None
    """How many jobs of its array may hold, if that is limited."""
    can_start: bool
    """False: no host could ever hold it, or its callbacks cannot be delivered."""
    others: tuple[Kind, ...] = ()
    """Its alternatives, in order of preference."""
    prefer_for: float = 0.0
    """Seconds from its submit on in which none of these will do."""
    is_elastic: bool = False
    """Whether its jobs take more instances where there is room."""


@dataclass(eq=False, slots=True)
class Batch:
    """Waiting jobs of one kind at one place in the line."""

    order: float
    kind: Kind
    count: int
    target: int
    """Number of the job whose start is recorded; -1 where none is."""
    holding_times: tuple[float, ...]
    """Drawn for them, to be used in turn."""
    passed: float | None = None
    """When a later job first started before it, seconds from now."""
    start: float = NEVER
    """When the reservation last found begins."""
    prefers_until: float = 0.0
    """Until when no alternative of its kind will do, seconds from now."""
    kept: KeptHosts | None = None
    """The hosts kept for its job, if its promise was missed by far."""

    def kinds(self, now: float) -> tuple[Kind, ...]:
        """Return the alternatives that count at a time, in order of preference."""
        return (self.kind, *self.kind.others) if now >= self.prefers_until else (self.kind,)


class Arrival(NamedTuple):
    """A job that arrives in a simulated future, or several at once."""

    seconds: float
    kind: Kind
    holding_times: tuple[float, ...]
    """Drawn for them, to be used in turn."""
    jobs: int


@dataclass(eq=False, slots=True)
class RunningHold:
    """Capacity that one job holds, or several that end at once."""

    placement: Placement
    owner: str
    digest: str
    """Of its demand; empty where several demands are held."""
    total: Vector
    began: float
    """Seconds from now; below 0 for what is held already."""
    jobs: int
    array: str = ""
    """Of the jobs, where it limits how many of them hold."""
    is_live: bool = True
    """False once it has ended."""

    def is_on(self, hosts: Container[int]) -> bool:
        """Return whether it has capacity of any of these hosts."""
        return any(host in hosts for host, _ in self.placement)


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a type's policy and history a simulation keeps."""

    patience: float | None
    strict_order: bool
    history: HoldingTimes
    """How long ended jobs held."""
    least_step: float
    """Seconds of the smallest step; 0: each end is an event of its own."""
