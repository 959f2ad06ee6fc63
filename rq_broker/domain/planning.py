"""What the planner is given and what it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.figures import Judged
from rq_broker.domain.holding_times import FIRST_PREDICTION, HoldingTimes, Prediction, Source
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.policy import Policy


class Head(Struct, frozen=True):
    """One of the first waiting jobs of a shape. A pass makes thousands: see Grant."""

    id: int
    request_id: str
    priority: int
    own_priority: bool = False
    """Whether its client or an operator gave it its priority; filled while the policy shares."""
    prefers_until: float = 0.0
    """Until when none of its alternatives will do, seconds since 1970."""


@dataclass(frozen=True, slots=True)
class WaitingShape:
    """A shape that has queued jobs: its first ones in order, and how many there are in all."""

    digest: str
    shape: Shape
    heads: tuple[Head, ...]
    count: int


class OwnedJob(NamedTuple):
    """A job that an explanation names, and whose it is."""

    request_id: str
    owner: str


class Grant(Struct, frozen=True):
    """A grant the planner decided on: this job, its instances on these hosts, one name each.

    A Struct is made in 0.1 µs, a frozen dataclass in 1 µs.
    """

    head: Head
    shape: Shape
    hosts: tuple[str, ...]
    prediction: Prediction = FIRST_PREDICTION
    size: int = 0
    """Its size class, kept to learn from how long it will have held."""
    alternative: int = 0
    """Which of the shape's alternatives it is; 0: the first, and the only one of most."""
    devices: tuple[DeviceChoice, ...] = ()
    """The devices of each instance; empty if its hosts have none of what it needs in devices."""

    @property
    def demand(self) -> Demand:
        """What is granted: the instances that the hosts are for."""
        return self.shape.demand.granted(self.alternative, len(self.hosts))


@dataclass(frozen=True, slots=True)
class Hold:
    """What one job holds now."""

    request_id: str
    owner: str
    granted: float
    """Seconds since 1970."""
    ends: float
    """When it is expected to end, seconds since 1970."""
    amounts: Mapping[str, Amounts]
    """Host → what it holds there."""
    demand: str = ""
    """Digest of its demand."""
    source: Source = Source.DEFAULT
    """What the expected end rests on."""
    array: str = ""
    """The array of the job, where that limits how many of its jobs hold."""


@dataclass(frozen=True, slots=True)
class Promise:
    """The first start time found for a job at the head of the line; later passes may move it."""

    job_id: int
    request_id: str
    start: float
    """When the job was to start, seconds since 1970."""
    made: float
    """When that was found, seconds since 1970."""
    hosts: frozenset[str] = frozenset()
    """Hosts that are kept for the job until it starts, once its promise was missed by far."""

    def is_for(self, head: Head) -> bool:
        """Return whether it is this job's; a job submitted later by its name has no part in it."""
        return self.job_id == head.id and self.request_id == head.request_id


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All the planner may know of one type, as it was at `now` (seconds since 1970)."""

    hosts: Mapping[str, Host]
    waiting: tuple[WaitingShape, ...]
    """Shapes in the order of their first job; perhaps only a window of them."""
    policy: Policy
    now: float
    usage: Mapping[str, Amounts] = field(default_factory=dict)
    """Owner → what its jobs hold now."""
    past_usage: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Owner → resource → what it held on average until now, see `sharing`; empty unless shared."""
    passed: Mapping[str, float] = field(default_factory=dict)
    """request_id → when the job was first passed by a later one, seconds since 1970."""
    promises: tuple[Promise, ...] = ()
    """What earlier passes promised to jobs that still wait."""
    holds: tuple[Hold, ...] = ()
    """What jobs hold now, the earliest expected end first."""
    history: HoldingTimes = field(default_factory=HoldingTimes)
    """How long ended jobs held their capacity."""
    running: Mapping[str, tuple[Demand, int]] = field(default_factory=dict)
    """Key of a demand → the demand, and how many jobs hold capacity for it; filled where some host
    has devices: jobs to come are taken to be like these, and like those that wait."""
    closed: frozenset[str] = frozenset()
    """Receivers that cannot be called now: their jobs keep their place and get no grant."""
    asked: Mapping[str, float] = field(default_factory=dict)
    """Those of them that asked for time → until when, seconds since 1970."""
    tried: Mapping[str, float] = field(default_factory=dict)
    """Those of them whose breaker is open → when the next callback is tried, seconds since 1970."""
    failing: frozenset[str] = frozenset()
    """Destinations that jobs of no owner are granted to, in an outage on the broker's side."""
    holding: Mapping[str, int] = field(default_factory=dict)
    """Array with `at_once` → how many of its jobs hold capacity."""
    judged: Judged = field(default_factory=Judged)
    """How many p90 of forecasts came true."""
    judged_p50: Judged = field(default_factory=Judged)
    """The same of p50."""
    behind: frozenset[str] = frozenset()
    """Receivers where callbacks of earlier grants have to go out first; treated alike."""

    def is_closed(self, shape: Shape) -> bool:
        """Whether jobs of this shape get no grant because of their receiver."""
        return shape.receiver in self.closed or shape.destination in self.failing


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a what-if asks about: a job not submitted (`shape`), or a waiting one put elsewhere.

    The place is a priority, a position, for a waiting job a neighbour, or none of them: the back.
    """

    shape: Shape | None = None
    request_id: str | None = None
    priority: int | None = None
    position: int | str | None = None
    """1 is the first position; or `front` or `back`."""
    before: str | None = None
    """The waiting job before which it goes."""
    after: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """The mode and the value of Broker.reorder."""
        if isinstance(self.position, int):
            return "place", str(self.position)
        for mode in ("priority", "before", "after"):
            if (value := getattr(self, mode)) is not None:
                return mode, str(value)
        return "position", str(self.position or "back")
