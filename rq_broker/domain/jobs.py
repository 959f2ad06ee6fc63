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
from enum import StrEnum
from typing import ClassVar

import orjson
from msgspec import Struct


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


class Demand(Struct, frozen=True):
    """What a job needs: all its instances at once, on hosts of one aggregate if it names one."""

    instances: tuple[tuple[tuple[str, int], ...], ...]
    """One entry an instance: its (resource, amount > 0) pairs, sorted by resource."""
    aggregate: str | None = None
    spread: bool = False
    """True: no two instances on one host."""


class Shape(Struct, frozen=True):
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


class Submission(Struct, frozen=True):
    """A valid request to wait, as the edge hands it to the broker."""

    request_id: str
    owner_id: str
    data: str
    """The client's data, canonical JSON text: sorted keys, no spaces, every digit kept."""
    callback: str
    shape: Shape
    priority: int | None = None


class Job(Struct, frozen=True):
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
    deleted: ClassVar[None] = None
    """Always None: a job is removed, not marked. The original service had this key."""
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
