"""A job, its demand and its shape, and the state machine of its status.

     submit ─► queued ──grant──► granted ──callback 2xx──► running ──► done
                 ▲                  │ offer expired, 410,      │
                 │                  ▼ callbacks exhausted      ▼
                 └──── requeue ─── error ◄──────────────────── error

`MOVES` holds the arrows that a client may take; only the granter sets `granted`. A job holds
capacity while it is granted or running, and releases it when it leaves both. Setting the status
that a job already has succeeds and changes nothing, but `running` renews the running time.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

import orjson
from msgspec import Struct


class Status(StrEnum):
    """The status of a job."""

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
"""Status → the statuses to which a client may move a job from it."""

HOLDING = frozenset({Status.GRANTED, Status.RUNNING})
"""The statuses in which a job may hold capacity."""


def origins(to: Status) -> list[Status]:
    """List the statuses from which a client may move a job to `to`."""
    return [source for source, targets in MOVES.items() if to in targets]


class Demand(Struct, frozen=True):
    """What a job needs: all instances at once, on hosts of one aggregate if it names one."""

    instances: tuple[tuple[tuple[str, int], ...], ...]
    """For each instance its (resource, amount) pairs: amounts > 0, sorted by resource."""
    aggregate: str | None = None
    spread: bool = False
    """Whether each instance must be on a host of its own."""


class Shape(Struct, frozen=True):
    """Demand, owner and destination: queued jobs of equal shape are interchangeable to the planner.

    The owner is part of the shape because limits bind owners. The destination (scheme://host:port
    of the callback) is part of it because a job whose receiver cannot be called gets no capacity.
    """

    demand: Demand
    owner: str
    destination: str

    def canonical(self) -> str:
        """Render the shape as JSON. Equal shapes have equal texts, and no others do."""
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
        """Return the shape that `canonical` rendered as this text."""
        instances, aggregate, spread, owner, destination = orjson.loads(text)
        pairs = tuple(tuple(instance.items()) for instance in instances)
        return cls(Demand(pairs, aggregate, spread), owner, destination)


class Submission(Struct, frozen=True):
    """A valid submit, ready for Broker.submit."""

    request_id: str
    owner_id: str
    data: str
    """The client's data as canonical JSON: sorted keys, no spaces, every digit kept."""
    callback: str
    shape: Shape
    priority: int | None = None


class Job(Struct, frozen=True):
    """One request and its state. Times are µs since 1970."""

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
    deleted: ClassVar[None] = None
    """Always None: a job is removed, not marked. The original service had this key."""
    shape: str = ""
    position: int | None = None
    hosts: tuple[str, ...] = ()
    fence: int | None = None
    attempts: int = 0
    error: str | None = None
    destination: str = ""
    """scheme://host:port of the callback, while granted and after its callbacks failed."""
    capacity_number: str = ""
    """Set only by submit: the number of the type's last change of capacity. Grants do not count."""
