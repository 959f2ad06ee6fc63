"""What the broker speaks of: frozen values, and the state machine they move through.

     submit ─► queued ──grant──► granted ──callback 2xx──► running ──► done
                 ▲                  │ offer expired, 410,      │
                 │                  ▼ callbacks exhausted      ▼
                 └──── requeue ─── error ◄──────────────────── error

`MOVES` holds the arrows a client may take; `granted` is the granter's alone. granted and running
hold capacity; leaving both releases it. The same status again succeeds and changes nothing, except
that `running` renews the running time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

MAX_WHOLE = 2**53 - 1
"""Largest whole number a sorted-set score says exactly."""


class Status(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    GRANTED = "granted"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"


MOVES: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.DONE, Status.ERROR}),
    Status.GRANTED: frozenset({Status.RUNNING, Status.QUEUED, Status.DONE, Status.ERROR}),
    Status.RUNNING: frozenset({Status.DONE, Status.ERROR, Status.QUEUED}),
    Status.DONE: frozenset({Status.QUEUED}),
    Status.ERROR: frozenset({Status.QUEUED}),
}

HOLDING = frozenset({Status.GRANTED, Status.RUNNING})
"""The statuses in which a job may hold capacity."""


def origins(to: Status) -> list[Status]:
    """List the statuses from which a client may move a job to `to`."""
    return [source for source, targets in MOVES.items() if to in targets]


Amounts = Mapping[str, int]
"""Resource name → whole number ≥ 0."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a job needs: all its instances at once, on hosts of one aggregate if it names one."""

    instances: tuple[tuple[tuple[str, int], ...], ...]
    """One entry an instance: its (resource, amount > 0) pairs, sorted by resource."""
    aggregate: str | None = None
    spread: bool = False
    """True: no two instances on one host."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes waiting jobs interchangeable to the planner: demand, owner and destination.

    The owner is part of it so that a cap on one owner never blocks another's jobs; the destination
    (scheme://host:port of the callback) so that a dead receiver blocks only its own.
    """

    demand: Demand
    owner: str
    destination: str

    def canonical(self) -> str:
        """Render the JSON that names the shape; equal shapes render equally."""
        value = [
            [dict(instance) for instance in self.demand.instances],
            self.demand.aggregate,
            self.demand.spread,
            self.owner,
            self.destination,
        ]
        return orjson.dumps(value).decode()

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read back what `canonical` rendered."""
        instances, aggregate, spread, owner, destination = orjson.loads(text)
        pairs = tuple(tuple(instance.items()) for instance in instances)
        return cls(Demand(pairs, aggregate, spread), owner, destination)


@dataclass(frozen=True, slots=True)
class Submission:
    """A valid request to wait, as the edge hands it to the broker."""

    request_id: str
    owner_id: str
    data: str
    """The client's data, canonical JSON text: sorted keys, no spaces, every digit kept."""
    callback: str
    shape: Shape
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One request and what became of it. Times are µs since 1970."""

    id: int
    type: str
    request_id: str
    owner_id: str
    data: str
    callback: str
    priority: int
    status: Status
    created: int
    updated: int
    shape: str = ""
    position: int | None = None
    hosts: tuple[str, ...] = ()
    fence: int | None = None
    attempts: int = 0
    error: str | None = None
    destination: str = ""
    """scheme://host:port its callback goes to, while granted, or could not be delivered to."""
    capacity_number: str = ""
    """On submit only: which change of the type's hosts was the last. Grants do not count."""

    def wire(self) -> dict[str, Any]:
        """Build the job's JSON object: the seed's eleven keys with their types, then ours."""
        return {
            "ID": self.id,
            "CreatedAt": rfc3339(self.created),
            "UpdatedAt": rfc3339(self.updated),
            "DeletedAt": None,
            "RequestID": self.request_id,
            "Type": self.type,
            "OwnerID": self.owner_id,
            "Data": self.data,
            "Callback": self.callback,
            "Priority": self.priority,
            "Status": self.status,
            "Position": self.position,
            "Hosts": self.hosts,
            "Fence": self.fence,
            "Attempts": self.attempts,
            "Error": self.error,
        }


def rfc3339(microseconds: int) -> str:
    """Render µs since 1970 as RFC 3339 in UTC."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_whole_second(seconds)}.{fraction:06d}Z"


@lru_cache(1024)
def _whole_second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


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

    def wire(self) -> dict[str, Any]:
        """Build the host's JSON object; max_unit and source only where there is one."""
        more = {"max_unit": self.max_unit, "source": self.source}
        return {
            "name": self.name,
            "capacity": self.capacity,
            "used": self.used,
            "held": self.held,
            "free": self.free,
            "aggregates": sorted(self.aggregates),
            "dropped": self.dropped,
            **{name: value for name, value in more.items() if value},
        }


@dataclass(frozen=True, slots=True)
class Policy:
    """How a type is run. Spans are seconds; None means without end."""

    patience: float | None = 300.0
    offer: float | None = 300.0
    running: float | None = None
    retention: float | None = 7 * 86400.0
    paused: bool = False
    concurrency: int = 32
    """Callbacks on their way to one destination at once, from all notifiers together."""
    share: str | None = None
    """None, or "owner": at equal priority the owner with the smallest dominant share goes first."""
    limits: Mapping[str, Amounts] = field(default_factory=dict)
    """Owner, or "*" for every owner not named → the most its jobs may hold of each resource."""
    holds: str = "until_done"
    """Or "until_seen": a running job's hold ends as far as a source's `used` shows its servers."""
    settle: float = 60.0
    """Under until_seen, seconds until a running job without known servers counts as seen."""


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

    def wire(self) -> dict[str, Any]:
        """Build the source's JSON object."""
        return {
            "name": self.name,
            "age_seconds": self.age,
            "stale": self.stale,
            "hosts": self.hosts,
            "clashes": self.clashes,
            "cause": self.cause or None,
            "text": self.text or None,
        }


@dataclass(frozen=True, slots=True)
class Head:
    """One of the first waiting jobs of a shape."""

    id: int
    request_id: str
    priority: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A shape that has queued jobs: its first ones in order, and how many there are in all."""

    digest: str
    shape: Shape
    heads: tuple[Head, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The planner's proposal: this job, its instances on these hosts (one name an instance)."""

    head: Head
    shape: Shape
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Protection:
    """Hosts kept for a job that was passed by others longer than the policy's patience."""

    member: str
    """Names the job, see keys.member."""
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All the planner may know: a picture of one type, taken at `now` (seconds since 1970)."""

    hosts: Mapping[str, Host]
    waiting: tuple[Waiting, ...]
    """Shapes in the order of their first job; perhaps only a window of them."""
    policy: Policy
    now: float
    usage: Mapping[str, Amounts] = field(default_factory=dict)
    """Owner → what its jobs hold now."""
    passed: Mapping[str, float] = field(default_factory=dict)
    """Member → when it was first passed by a later job, seconds since 1970."""
    protection: Protection | None = None
    """What the last pass protected: kept while it still serves, so that it never flaps."""
    closed: frozenset[str] = frozenset()
    """Destinations that cannot be called now: their jobs keep their place and get no offer."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a what-if asks about: a job not submitted (`shape`), or one put elsewhere."""

    shape: Shape | None = None
    request_id: str | None = None
    priority: int | None = None
    position: int | str | None = None
    """1 = next; or front or back."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed callback: the job as it is, and which attempt this is (from 1)."""

    job: Job
    attempt: int
    keys: tuple[str, ...] = ()
    """What to sign it with, the newest first."""
    doubtful: bool = False
    """Whether its destination is not known to answer promptly."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to call back. `ended` is µs since 1970; `cause` a class word, ok if heard."""

    ended: int
    fence: int
    attempt: int
    cause: str
    milliseconds: int

    def wire(self) -> dict[str, Any]:
        """Build the attempt's JSON object."""
        return {
            "time": rfc3339(self.ended),
            "fence": self.fence,
            "attempt": self.attempt,
            "cause": self.cause,
            "milliseconds": self.milliseconds,
        }


@dataclass(frozen=True, slots=True)
class Destination:
    """What is known of a receiver. `state` is closed (well), open, or half-open (being probed)."""

    name: str
    state: str
    failures: int
    """Health failures in a row."""
    opens_for: float
    """Seconds it stays open yet."""
    in_flight: int
    parked: int
    """Callbacks that wait for it, out of the way of others."""

    def wire(self) -> dict[str, Any]:
        """Build the destination's JSON object."""
        return {
            "destination": self.name,
            "state": self.state,
            "failures": self.failures,
            "open_seconds": self.opens_for,
            "in_flight": self.in_flight,
            "parked": self.parked,
        }
