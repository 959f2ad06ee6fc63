"""The jobs that arrive while a job waits, as a forecast imagines them.

A job that can be passed waits longer the more later jobs pass it, so a forecast without new jobs
would be too early. A steady state is assumed: as many jobs arrive as end, and they need what the
jobs that hold capacity now have, on hosts of the same aggregate. They join the end of the queue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Head, Snapshot
from rq_broker.domain.validation import MAX_WHOLE

MAX_ARRIVALS = 5000
"""Arrivals in one future: bounds its memory. Beyond them a far future is too optimistic."""
SAMPLED_HOLDS = 256
"""Holds, evenly chosen, whose demands new jobs copy: each distinct one is a shape to plan for, so
more make every simulated pass slower; fewer miss rare demands."""


@dataclass(frozen=True, slots=True)
class Hold:
    """What one job holds now."""

    amounts: Mapping[str, Amounts]
    """Host → what it holds there."""
    age: float
    """Seconds since it was granted."""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that arrives in a simulated future."""

    seconds: float
    """When it arrives, from the beginning of the future."""
    digest: str
    shape: Shape
    head: Head
    holding_time: float
    """Seconds it holds what it is granted."""


class ArrivalModel:
    """Draws the arrivals of a future; equal random numbers give equal arrivals."""

    def __init__(
        self, snapshot: Snapshot, holds: Sequence[Hold], holding_times: Sequence[float]
    ) -> None:
        self._holding_times = holding_times
        mean_time = sum(holding_times) / len(holding_times)
        self._per_second = len(holds) / (mean_time or 1.0)
        owners_matter = bool(snapshot.policy.share or snapshot.policy.limits)
        sizes = Counter(name for host in snapshot.hosts.values() for name in host.aggregates)
        step = -(-len(holds) // SAMPLED_HOLDS) or 1
        self._shapes = [
            Shape(_demand_of(hold, snapshot.hosts, sizes), hold.owner if owners_matter else "", "")
            for hold in holds[::step]
        ]
        distinct = dict.fromkeys(self._shapes)
        self._digests = {shape: f"+{number}" for number, shape in enumerate(distinct)}
        self._priority = priority_behind_all(snapshot)

    def draw(self, rng: Random) -> Iterator[Arrival]:
        """Draw the arrivals of one future, in order of time."""
        if not self._shapes:
            return
        seconds = 0.0
        for number in range(1, MAX_ARRIVALS + 1):
            seconds += rng.expovariate(self._per_second)
            shape, holding_time = rng.choice(self._shapes), rng.choice(self._holding_times)
            head = Head(MAX_WHOLE + number, f"+{number}", self._priority)
            yield Arrival(seconds, self._digests[shape], shape, head, holding_time)


def priority_behind_all(snapshot: Snapshot) -> int:
    """Return a priority behind that of every job the snapshot shows."""
    priorities = (head.priority for waiting in snapshot.waiting for head in waiting.heads)
    return min(max(priorities, default=0) + 1, MAX_WHOLE)


def _demand_of(hold: Hold, hosts: Mapping[str, Host], sizes: Mapping[str, int]) -> Demand:
    """Guess the demand behind a hold: one instance a host, in the largest aggregate of its hosts.

    `sizes`: aggregate → how many hosts it has.
    """
    instances = tuple(tuple(sorted(amounts.items())) for _, amounts in sorted(hold.amounts.items()))
    aggregates = [hosts[name].aggregates for name in hold.amounts if name in hosts]
    common = frozenset[str]().union(*aggregates[:1]).intersection(*aggregates)
    largest = min(common, key=lambda name: (-sizes[name], name), default=None)
    return Demand(instances, largest)
