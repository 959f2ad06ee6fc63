"""How long jobs held their capacity, and how long the next ones will hold theirs.

Predictions come from what the same owner did before (Tsafrir, Etsion, Feitelson 2007). When running
capacity comes back is guessed high, so that a reservation rarely slips; whether a job ends before
one is guessed lower, so that little is left idle. One guess for both uses made waits longer.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from math import floor, log2
from typing import NamedTuple

import msgspec
from msgspec import Struct

from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.traits import Instance

RECENT = 20
"""Holding times remembered of each owner and demand: with fewer one short run misleads, with more
a changed habit is noticed late."""
SPAN_RECENT = 10
"""The newest of them from which a span is predicted."""
SPAN_QUANTILE, STRICT_QUANTILE, TYPE_QUANTILE = 0.75, 0.9, 0.9
WIDE_RECENT = 5
"""The newest holding times of which the longest is the span before a wide job: what ends late there
keeps half of the hosts waiting. With 10 more is idle, and the widest jobs start no sooner."""
ALIKE = 2.0
"""Holding times are alike if the longest is at most this many times their median: then it is the
strict span. With 3 a log of one user waits longer, with 1.5 the widest jobs of others do."""
STRICT_SLACK = 1.4
"""By this the quantile of a strict span is divided. Reservations that became strict have slipped
again and again, as they do where history tells little: without the slack a log of one user leaves
6 % of its capacity idle before start times that nobody keeps. With 2 the widest jobs wait longer.
Where holding times are alike, history tells enough.
"""
TYPE_RECENT = 1000
"""Holding times remembered of the whole type."""
NEWEST = 256
"""Ended jobs remembered whole, of the type."""
LEAST_SAMPLES = 2
"""Holding times of one demand, or of one size, that a prediction needs: one alone says little."""
FIRST_GUESS = 3600.0
"""Seconds a hold is taken to last while nothing of the type has ended yet."""
LIE_PART, LEAST_LIES = 0.25, 3
"""An owner is not believed once this part of its recent jobs outlived what it had said of them, and
at least LEAST_LIES jobs did. With fewer, one slow job would cost an honest owner its word."""
LIE_SLACK = 1.1
"""A job outlives what was said if it holds for more than this many times as long."""


_KEY_BYTES = 16 << 20
"""Memory of the demands whose keys are remembered. The key of a job of a thousand instances takes
some milliseconds to compute, and each pass needs it."""
_demand_keys = BoundedCache[Demand, str](_KEY_BYTES)


def demand_key(demand: Demand) -> str:
    """Digest a demand: jobs of equal demand have equal keys, of all owners."""
    key = _demand_keys.get(demand)
    if key is None:
        key = sha256(_text_of(demand)).hexdigest()[:12]
        _demand_keys.put(demand, key, demand.bytes)
    return key


class _PlainDemand(Struct):
    """What version 2 of the contract could say of a demand: keys of earlier versions stay."""

    instances: tuple[Instance, ...]
    aggregate: str | None
    spread: bool


def _text_of(demand: Demand) -> bytes:
    if demand.is_plain:
        plain = _PlainDemand(demand.instances, demand.aggregate, demand.spread)
        return msgspec.json.encode(plain)
    return Shape(demand, "", "").canonical().encode()


def size_in_hosts(rows: Iterable[Iterable[tuple[str, int]]], largest: Mapping[str, int]) -> float:
    """Return a size in largest hosts: each row counts by the resource of which it has the most.

    Args:
        rows: The instances of a demand, or what is held on each host: pairs of resource and amount.
        largest: Resource → the most that one host has; others do not count.
    """
    return sum(
        max((amount / largest[name] for name, amount in row if largest.get(name)), default=0.0)
        for row in rows
    )


def size_class(hosts: float) -> int:
    """Return the class of a size in largest hosts: its base-2 logarithm, rounded down.

    Jobs of one class are alike enough for one to tell how long another will hold.
    """
    return floor(log2(hosts)) if hosts else 0


class Source(StrEnum):
    """What a prediction rests on."""

    EXPECTED = "expected"
    DEMAND = "demand"
    SIZE = "size"
    OWNER = "owner"
    TYPE = "type"
    DEFAULT = "default"


class Observation(NamedTuple):
    """How long one job held its capacity."""

    owner: str
    demand: str
    """Digest of what it needed."""
    size: int
    """Its size class, see `size_class`."""
    seconds: float
    expected: float | None = None
    """What its client had said, seconds."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """How long a job will hold its capacity, seconds."""

    hold: float
    """For when its capacity comes back."""
    span: float
    """For whether it ends before a reservation begins."""
    wide_span: float
    """The same for a reservation of half of the hosts or more."""
    strict_span: float
    """The same for a reservation that was made long ago."""
    source: Source
    """What `hold` rests on."""

    @classmethod
    def same(cls, seconds: float, source: Source) -> Prediction:
        """Predict equally long for every use."""
        return cls(seconds, seconds, seconds, seconds, source)


FIRST_PREDICTION = Prediction.same(FIRST_GUESS, Source.DEFAULT)


LikenessKey = tuple[str, ...] | tuple[str, int]
"""By what a holding time is remembered: (owner, demand), (owner, size) or (owner,)."""


class HoldingTimes:
    """The holding times of one type, learnt from its ended jobs.

    A thread may predict while another one adds: what is remembered is replaced, never changed.
    """

    def __init__(self, observations: Iterable[Observation] = ()) -> None:
        """Learn from observations, oldest first."""
        self._recent: dict[LikenessKey, tuple[float, ...]] = {}
        """Key → the newest seconds held, oldest first."""
        self._said: dict[str, tuple[bool, ...]] = {}
        """Owner → whether its newest jobs that said how long they hold outlived that."""
        self._type_recent: deque[float] = deque()
        self._type_sorted: list[float] = []
        self.newest: deque[Observation] = deque(maxlen=NEWEST)
        """The jobs that ended last."""
        self._sum = 0.0
        self._count = 0
        self._predictions: dict[tuple[str, str, int], Prediction] = {}
        """Computed predictions, until the owner's next observation."""
        for observation in observations:
            self.add(observation)

    def add(self, observation: Observation) -> None:
        """Learn from one more ended job."""
        owner, demand, size, seconds, expected = observation
        for key in likeness_keys(owner, demand, size):
            self._recent[key] = (*self._recent.get(key, ())[1 - RECENT :], seconds)
        if expected is not None:
            outlived = seconds > expected * LIE_SLACK
            self._said[owner] = (*self._said.get(owner, ())[1 - RECENT :], outlived)
        of_type = self._type_sorted.copy()
        if len(self._type_recent) == TYPE_RECENT:
            oldest = self._type_recent.popleft()
            del of_type[bisect_right(of_type, oldest) - 1]
        self._type_recent.append(seconds)
        insort(of_type, seconds)
        self._type_sorted = of_type
        self.newest.append(observation)
        self._sum += seconds
        self._count += 1
        self._predictions.clear()

    def recent(self, key: LikenessKey) -> tuple[float, ...]:
        """Return the newest holding times remembered by a key, oldest first."""
        return self._recent.get(key, ())

    @property
    def of_type(self) -> tuple[float, ...]:
        """The newest holding times of the type, sorted."""
        return tuple(self._type_sorted)

    def __len__(self) -> int:
        return self._count

    @property
    def mean(self) -> float:
        """The mean holding time, seconds."""
        return self._sum / self._count if self._count else FIRST_GUESS

    def believes(self, owner: str) -> bool:
        """Return whether what an owner says of its jobs is used: not if they often outlive it."""
        said = self._said.get(owner, ())
        return sum(said) < max(LEAST_LIES, LIE_PART * len(said))

    def predict(
        self, owner: str, demand: str, size: int, expected: float | None = None
    ) -> Prediction:
        """Predict how long a job will hold its capacity.

        Args:
            owner: Its owner.
            demand: Digest of its demand.
            size: Its size class.
            expected: What its client says, seconds; it counts while the owner is believed.
        """
        if expected is not None and self.believes(owner):
            return Prediction.same(expected, Source.EXPECTED)
        key = (owner, demand, size)
        prediction = self._predictions.get(key)
        if prediction is None:
            prediction = self._predictions[key] = self._from_history(owner, demand, size)
        return prediction

    def _from_history(self, owner: str, demand: str, size: int) -> Prediction:
        candidates = (
            (Source.DEMAND, self._recent.get((owner, demand), ()), LEAST_SAMPLES),
            (Source.SIZE, self._recent.get((owner, size), ()), LEAST_SAMPLES),
            (Source.OWNER, self._recent.get((owner,), ()), 1),
        )
        usable = [(source, times) for source, times, least in candidates if len(times) >= least]
        if not usable:
            if not self._count:
                return FIRST_PREDICTION
            guess = _quantile(self._type_sorted, TYPE_QUANTILE)
            return Prediction(guess, guess, guess, guess / STRICT_SLACK, Source.TYPE)
        source, times = usable[0]
        of_size = next(times for source, times in usable if source is not Source.DEMAND)
        return Prediction(
            hold=max(times),
            span=_quantile(sorted(of_size[-SPAN_RECENT:]), SPAN_QUANTILE),
            wide_span=max(of_size[-WIDE_RECENT:]),
            strict_span=_strict_span(sorted(times)),
            source=source,
        )

    def corrected(self, predicted: float, age: float, owner: str, demand: str) -> float:
        """Return a longer prediction for a hold that outlived the one made at its grant.

        Step by step: the next longer holding time of the same owner and demand, else the median of
        the type's longer ones, else double. Equal histories give equal results.
        """
        history = sorted(self._recent.get((owner, demand), ()))
        while predicted <= age:
            predicted = self._next_longer(predicted, history)
        return predicted

    def _next_longer(self, seconds: float, history: Sequence[float]) -> float:
        longer = bisect_right(history, seconds)
        if longer < len(history):
            return history[longer]
        of_type = self._type_sorted
        first = bisect_right(of_type, seconds)
        if first < len(of_type):
            return of_type[(first + len(of_type)) // 2]
        return max(2 * seconds, 1.0)


def likeness_keys(owner: str, demand: str, size: int) -> tuple[LikenessKey, ...]:
    """Return by what a holding time is remembered, the most alike jobs first."""
    return ((owner, demand), (owner, size), (owner,))


def _strict_span(times: Sequence[float]) -> float:
    """Return the longest of sorted times if they are alike, else a quantile with slack."""
    if times[-1] <= ALIKE * _quantile(times, 0.5):
        return times[-1]
    return _quantile(times, STRICT_QUANTILE) / STRICT_SLACK


def _quantile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of the sorted values do not exceed."""
    return values[min(int(len(values) * part), len(values) - 1)]
