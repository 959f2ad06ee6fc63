"""A job, its demand and its shape, and the state machine of its status.

     submit ─► queued ──grant──► granted ──callback 2xx──► running ──► done
                 ▲                  │ offer expired, 410,      │
                 │                  ▼ callbacks exhausted      ▼
                 └──── requeue ─── error ◄──────────────────── error

The grant of a job without callback is an offer, which its client takes by `running`. A job that
misses one is queued again, after three in a row in error. It runs on an offer only.

`MOVES` holds the arrows that a client may take; only the granter sets `granted`. A job holds
capacity while it is granted or running, and releases it when it leaves both. Setting the status
that a job already has succeeds and changes nothing, but `running` renews the running time.

A queued job with terms (`not_before`, `after`) may wait beside the line before it joins it. Redis
then has it as BESIDE, and everybody else as queued, without a position.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

import msgspec
import orjson
from msgspec import Raw, Struct
from msgspec.structs import replace

from rq_broker.domain.choices import Elastic
from rq_broker.domain.correlation import Correlation
from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.offers import OFFER
from rq_broker.domain.shape_texts import (
    DemandOf3,
    ShapeOf3,
    decode_shape,
    encode,
    read_instances,
    text_of_instances,
)
from rq_broker.domain.terms import AtOnce, Terms
from rq_broker.domain.traits import NO_TRAITS, Instance, Labelled, Traits, traits_of


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

BESIDE = "beside"
"""The status in Redis of a queued job that waits beside the line."""
STORED_STATUSES = (*Status, BESIDE)
"""The statuses of jobs in Redis."""
HOLDING = frozenset({Status.GRANTED, Status.RUNNING})
"""The statuses in which a job may hold capacity."""


def origins(to: Status) -> list[Status]:
    """List the statuses from which a client may move a job to `to`."""
    return [source for source, targets in MOVES.items() if to in targets]


class Demand(Struct, frozen=True):
    """What a job needs: all instances at once, on hosts of its aggregates and with its traits.

    A host that is *anywhere* is beside the others: what a demand says of the hosts of all its
    instances does not bind it. Only what an instance says of itself does.
    """

    instances: tuple[Instance, ...]
    aggregate: str | None = None
    spread: bool = False
    """Whether each instance must be on a host of its own."""
    any_aggregate: tuple[str, ...] = ()
    """Sorted; its hosts must be in one of these at least, where there are any."""
    traits: Traits = NO_TRAITS
    """What the hosts of all its instances must have and must not have."""
    elastic: Elastic | None = None
    """Which of its instances it takes more of, as many as fit; None: just these."""
    alternatives: tuple[Demand, ...] = ()
    """What will do instead, in order of preference; none of them has alternatives."""
    prefer_for: int = 0
    """ms from its submit on in which no alternative will do."""

    @property
    def options(self) -> tuple[Demand, ...]:
        """Everything that will do, in order of preference: itself, and its alternatives."""
        if not self.alternatives:
            return (self,)
        return (replace(self, alternatives=(), prefer_for=0), *self.alternatives)

    def granted(self, alternative: int, count: int) -> Demand:
        """Return what a grant of one of its options gives: `count` instances.

        Raises ValueError where it allows no such grant.
        """
        is_fixed = self.elastic is None and not self.alternatives
        if is_fixed and alternative == 0 and count == len(self.instances):
            return self
        options = self.options
        if not 0 <= alternative < len(options):
            raise ValueError(f"there is no alternative {alternative}")
        option = options[alternative]
        elastic, more = option.elastic, count - len(option.instances)
        if elastic is None or not 0 < more <= elastic.more:
            if more:
                raise ValueError(f"alternative {alternative} has no {count} instances")
            return replace(option, elastic=None)
        at = elastic.index
        instances = option.instances
        instances = (*instances[:at], *(instances[at],) * more, *instances[at:])
        return replace(option, instances=instances, elastic=None)

    @property
    def has_choice(self) -> bool:
        """Whether a grant decides how many instances it has, or which alternative."""
        return self.elastic is not None or bool(self.alternatives)

    def admits(self, host: Labelled) -> bool:
        """Return whether the demand as a whole lets its instances use a host."""
        if host.anywhere:
            return True
        return (
            (self.aggregate is None or self.aggregate in host.aggregates)
            and (not self.any_aggregate or not host.aggregates.isdisjoint(self.any_aggregate))
            and self.traits.admit(host.traits)
        )

    @property
    def names_aggregates(self) -> bool:
        """Whether it says in which aggregates its hosts must be."""
        return self.aggregate is not None or bool(self.any_aggregate)

    @property
    def names_traits(self) -> bool:
        """Whether it, or an instance, says what its hosts must or must not have."""
        return bool(self.traits) or any(map(traits_of, self.instances))

    @property
    def admits_any(self) -> bool:
        """Whether it lets its instances use every host."""
        return not (self.names_aggregates or self.names_traits)

    @property
    def is_plain(self) -> bool:
        """Whether version 2 of the contract with Redis can say it."""
        return not (self.any_aggregate or self.names_traits or self.has_choice)

    @property
    def kinds(self) -> int:
        """How many amounts it lists: for each different instance, one of each resource.

        Those of its alternatives count as well.

        The time to plan a job grows with it, however many of its instances are alike.
        """
        kinds = set(self.instances)
        own = sum(map(len, kinds)) + sum(traits_of(kind).count for kind in kinds)
        return own + sum(demand.kinds for demand in self.alternatives)

    @property
    def bytes(self) -> int:
        """About how much memory it takes, for caches; equal instances are one object each."""
        others = sum(demand.bytes for demand in self.alternatives)
        return 500 + 8 * len(self.instances) + 250 * self.kinds + others


def expected_class(seconds: float | None) -> int | None:
    """Round what a job says it will hold up to two significant digits, and to a whole second.

    With fewer classes more jobs share a shape, but the spans of jobs are taken to be longer: with
    19 classes, of the spans people name, waits on a log of one user are 1.2 of those under EASY
    with exact spans, and with these 1.0. What does not fit is tried once, whatever its jobs say.

    Returns: None if the job says nothing.
    """
    if seconds is None:
        return None
    milliseconds = round(seconds * 1000)  # as they are kept
    whole = max(-(-milliseconds // 1000), 1)
    step: int = 10 ** max(len(str(whole)) - 2, 0)
    return -(-whole // step) * step


class Shape(Struct, frozen=True):
    """What makes queued jobs interchangeable to the planner: those of equal shape are.

    The owner is part of the shape because limits bind owners. The destination (scheme://host:port
    of the callback, OFFER without one) is part of it because a job whose receiver cannot be called
    gets no capacity.
    """

    demand: Demand
    owner: str
    destination: str
    expected: int | None = None
    """Seconds its jobs say they will hold, see `expected_class`; None if they do not say."""
    at_once: AtOnce | None = None
    """Of the array of its jobs, where that limits how many of them hold."""

    @property
    def receiver(self) -> str:
        """The destination as the owner's jobs see it: `<destination> <owner>`.

        Without an owner it is the destination alone.
        """
        return f"{self.destination} {self.owner}" if self.owner else self.destination

    def canonical(self) -> str:
        """Render the shape as JSON. Equal shapes have equal texts, and no others do.

        What version 2 of the contract could say keeps its text, an array. Anything else is an
        object, which a notifier of version 2 cannot read: it leaves such jobs to newer ones. The
        text of jobs without callback has no destination, so notifiers before version 5 leave them.
        """
        if self.at_once or self.destination == OFFER or not self.demand.is_plain:
            return _text_of_version_3(self)
        value: list[object] = [
            [dict(instance) for instance in self.demand.instances],
            self.demand.aggregate,
            self.demand.spread,
            self.owner,
            self.destination,
        ]
        if self.expected is not None:
            value.append(self.expected)
        return orjson.dumps(value).decode()

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Return the shape that `canonical` rendered as this text. Raises ValueError."""
        if text.startswith("{"):
            return _parse_version_3(text)
        try:
            record = _decode_shape(text)
            by_json: dict[bytes, tuple[tuple[str, int], ...]] = {}
            for instance in record.instances:
                # Equal instances become one object: a thousand of them take the memory of one.
                json = bytes(instance)
                if json not in by_json:
                    by_json[json] = tuple(_decode_instance(json).items())
            pairs = tuple([by_json[bytes(instance)] for instance in record.instances])
        except msgspec.DecodeError as error:
            raise ValueError(f"no shape: {error}") from error
        demand = Demand(pairs, record.aggregate, record.spread)
        return cls(demand, record.owner, record.destination, record.expected)


class _ShapeRecord(Struct, array_like=True):
    """The JSON of a shape, its instances undecoded."""

    instances: list[Raw]
    aggregate: str | None
    spread: bool
    owner: str
    destination: str
    expected: int | None = None


_decode_shape = msgspec.json.Decoder(_ShapeRecord).decode
_decode_instance = msgspec.json.Decoder(dict[str, int]).decode


def _text_of_version_3(shape: Shape) -> str:
    demand = shape.demand
    record = ShapeOf3(
        text_of_instances(demand.instances),
        shape.owner,
        shape.destination,
        demand.aggregate,
        demand.any_aggregate,
        demand.traits.require,
        demand.traits.forbid,
        demand.spread,
        shape.expected,
        demand.elastic,
        tuple(map(_record_of, demand.alternatives)),
        demand.prefer_for,
        shape.at_once,
    )
    return encode(record)


def _record_of(demand: Demand) -> DemandOf3:
    return DemandOf3(
        text_of_instances(demand.instances),
        demand.aggregate,
        demand.any_aggregate,
        demand.traits.require,
        demand.traits.forbid,
        demand.spread,
        demand.elastic,
    )


def _parse_version_3(text: str) -> Shape:
    try:
        record = decode_shape(text)
        alternatives = tuple(map(_demand_of, record.alternatives))
        first = _demand_of(record)
    except msgspec.DecodeError as error:
        raise ValueError(f"no shape that this version can read: {error}") from error
    demand = replace(first, alternatives=alternatives, prefer_for=record.prefer_for)
    return Shape(demand, record.owner, record.destination, record.expected, record.at_once)


def _demand_of(record: ShapeOf3 | DemandOf3) -> Demand:
    return Demand(
        read_instances(record.instances),
        record.aggregate,
        record.spread,
        record.any_aggregate,
        Traits(record.require, record.forbid),
        record.elastic,
    )


class Submission(Struct, frozen=True):
    """A valid submit, ready for Broker.submit."""

    request_id: str
    owner_id: str
    data: str
    """The client's data as canonical JSON: sorted keys, no spaces, every digit kept."""
    callback: str
    """Empty for none; then the destination of its shape is OFFER."""
    shape: Shape
    priority: int | None = None
    expected: float | None = None
    """Seconds it says it will hold."""
    terms: Terms | None = None
    correlation: Correlation | None = None
    """What its request says of itself, for logs and traces; a repetition may say another."""


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
    devices: tuple[DeviceChoice, ...] = ()
    """The devices of each instance; empty if none of its hosts has what it needs in devices."""
    fence: int | None = None
    attempts: int = 0
    error: str | None = None
    expected: float | None = None
    """Seconds it says it will hold from its grant on."""
    destination: str = ""
    """scheme://host:port of the callback, or OFFER; while granted, and in error after that."""
    offer_ends: int | None = None
    """Until when its offer can be taken, µs since 1970; None without one, or without an end."""
    incarnation: str = ""
    """While it holds capacity: the life of the type's state in which it was granted."""
    cause: str = ""
    """Why it failed, in a word such as http_410 or offer_missed; while in error."""
    trouble: str = ""
    """What is wrong with its grant: `hold_lost`, `server_unseen`; '' for nothing."""
    capacity_number: str = ""
    """Set only by submit: the number of the type's last change of capacity. Grants do not count."""
    terms: Terms | None = None
    is_beside: bool = False
    """Whether it waits beside the line, and so has no position though it is queued."""
    left: int = 0
    """While it waits beside the line: how many of the jobs of `after` have not ended."""
    alternative: int | None = None
    """While it holds capacity: which of its alternatives it was granted; None if it has none."""
    correlation: Correlation | None = None
    """What the request that submitted it said of itself; None for nothing."""
    version: str = ""
    """Names what is stored of it, see store/versions; set where one job is read or submitted."""
    replayed: bool = False
    """Set only by submit: whether an earlier submit with the same idempotency key stored it."""
