"""Who else will come while a job waits: others like those that hold capacity now.

Whoever can be passed waits longer the more jobs come that pass it, so a forecast without them
would be too early. Steady state is assumed: as many come as end, and want what those now holding
have, on hosts of the same aggregate. They go to the back of the line.
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

MOST = 5000
"""Arrivals of one simulated future at most."""
TEMPLATES = 256
"""Holds looked at to learn what is wanted, evenly chosen among all there are."""


@dataclass(frozen=True, slots=True)
class Running:
    """A job that holds capacity now."""

    holds: Mapping[str, Amounts]
    """Host → what it holds there."""
    age: float
    """Seconds it has held it."""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A job that comes after so many seconds, and will hold what it is granted for `span`."""

    at: float
    digest: str
    shape: Shape
    head: Head
    span: float


class Crowd:
    """Draws who comes, the same for the same random numbers whatever the planner does."""

    def __init__(
        self, snapshot: Snapshot, running: Sequence[Running], times: Sequence[float]
    ) -> None:
        self._times = times
        self._rate = len(running) / (sum(times) / len(times) or 1.0)
        widths = Counter(name for host in snapshot.hosts.values() for name in host.aggregates)
        owned = bool(snapshot.policy.share or snapshot.policy.limits)
        self._shapes = [
            Shape(_alike(job, snapshot.hosts, widths), job.owner if owned else "", "")
            for job in running[:: -(-len(running) // TEMPLATES) or 1]
        ]
        distinct = dict.fromkeys(self._shapes)
        self._digests = {shape: f"+{number}" for number, shape in enumerate(distinct)}
        last = max((head.priority for e in snapshot.waiting for head in e.heads), default=0)
        self._priority = min(last + 1, MAX_WHOLE)

    def arrivals(self, rng: Random) -> Iterator[Arrival]:
        """Draw the arrivals of one future, in order of time."""
        now = 0.0
        for number in range(1, MOST + 1) if self._shapes else ():
            now += rng.expovariate(self._rate)
            shape, span = rng.choice(self._shapes), rng.choice(self._times)
            head = Head(MAX_WHOLE + number, f"+{number}", self._priority)
            yield Arrival(now, self._digests[shape], shape, head, span)


def _alike(job: Running, hosts: Mapping[str, Host], widths: Mapping[str, int]) -> Demand:
    """Read off a hold what was asked for: an instance a host, in the widest aggregate of all."""
    instances = tuple(tuple(sorted(amounts.items())) for _, amounts in sorted(job.holds.items()))
    shared = [hosts[name].aggregates for name in job.holds if name in hosts]
    common = frozenset[str]().union(*shared[:1]).intersection(*shared)
    widest = min(common, key=lambda name: (-widths[name], name), default=None)
    return Demand(instances, widest)
