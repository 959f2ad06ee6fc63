"""One simulated future of a type: the planner run forward while holds end and jobs arrive."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.planning import Grant, Head, Snapshot, WaitingShape
from rq_broker.domain.planning import Hold as PlannedHold
from rq_broker.planner.forecasting.arrivals import Arrival, Hold
from rq_broker.planner.owner_usage import add_amounts
from rq_broker.planner.packing.best_fit import total
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.plans import plan

SHOWN_JOBS = 64
"""Jobs of one shape that a simulated pass sees: more rarely start at once, and each costs time."""
STEP = 0.05
"""Holds that end within this part of the time simulated so far end together: a far future costs few
passes, at the price of an error of at most 5 %."""


class _HoldEnd(NamedTuple):
    """When a hold ends, as the heap sorts it: earliest first."""

    seconds: float
    number: int
    """Tells holds that end at once apart."""
    amounts: Mapping[str, Amounts]
    """Host → what is released there."""
    owner: str


@dataclass(slots=True)
class _SimulatedShape:
    """A shape's jobs in order of their turn; the first `started` of them have started."""

    waiting: WaitingShape
    heads: list[Head]
    started: int = 0

    def remaining(self) -> WaitingShape:
        """Return the shape as a pass sees it now."""
        shown = tuple(self.heads[self.started : self.started + SHOWN_JOBS])
        return replace(self.waiting, heads=shown, count=len(self.heads) - self.started)


class SimulatedFuture:
    """One future, from `snapshot` on."""

    def __init__(
        self,
        snapshot: Snapshot,
        holds: Sequence[Hold],
        holding_times: Sequence[float],
        arrivals: Iterator[Arrival],
        rng: Random,
        *,
        empty_hosts: HostTable,
    ) -> None:
        """Draw the future.

        Args:
            holding_times: observed ones, sorted.
            empty_hosts: the snapshot's hosts as if nobody used them, shared by all futures.
        """
        self.starts: dict[str, float] = {}
        """request_id → seconds from now until the job is granted."""
        self.passes = 0
        self._snapshot = snapshot
        self._empty_hosts = empty_hosts
        self._hosts: dict[str, Host] = dict(snapshot.hosts)
        self._usage = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
        self._passed = dict(snapshot.passed)
        self._promises = snapshot.promises
        self._shapes = {
            waiting.digest: _SimulatedShape(waiting, list(waiting.heads))
            for waiting in snapshot.waiting
        }
        self._digests = {
            head.request_id: waiting.digest
            for waiting in snapshot.waiting
            for head in waiting.heads
        }
        self._ends: list[_HoldEnd] = []
        self._holds_begun = 0
        for hold in holds:
            self._hold_until(
                _remaining_time(holding_times, hold.age, rng), hold.amounts, hold.owner
            )
        self._observed_times = holding_times
        self._seed = rng.randbytes(16)
        self._times_of_arrivals: dict[str, float] = {}
        self._arrivals = arrivals
        self._next_arrival = next(arrivals, None)

    def run(self, targets: frozenset[str], is_spent: Callable[[int], bool]) -> bool:
        """Let time pass until all targets are granted, or nothing is left that could end.

        Args:
            targets: request_ids of the jobs in question.
            is_spent: whether this future, after so many passes, has used up its budget.

        Returns: False when the budget ended the future.
        """
        now = 0.0
        while True:
            # 1. Grant what fits now.
            self._grant_all(now, is_spent)
            if targets <= self.starts.keys():
                return True
            if is_spent(self.passes):
                return False
            # 2. Go on to the next end of a hold, or a little further.
            if not self._ends:
                return True
            now = self._release_until(max(self._ends[0].seconds, now * (1 + STEP)))
            # 3. Queue the jobs that arrived meanwhile.
            self._queue_arrivals(now)

    def _grant_all(self, now: float, is_spent: Callable[[int], bool]) -> None:
        """Run passes, and start what they grant, until a pass saw all it had to see."""
        unfinished = True
        while unfinished and not is_spent(self.passes):
            self.passes += 1
            planned = plan(self._snapshot_at(now), self._empty_hosts)
            self._promises = planned.promises
            for head in planned.passed:
                self._passed[head.request_id] = self._snapshot.now + now
            for grant in planned.grants:
                self._start(grant, now)
            unfinished = planned.ended_early and bool(planned.grants)

    def _release_until(self, until: float) -> float:
        """End the holds that end up to then; returns when the last of them did."""
        last = until
        while self._ends and self._ends[0].seconds <= until:
            last, _, amounts_by_host, owner = heappop(self._ends)
            for name, amounts in amounts_by_host.items():
                if name in self._hosts:
                    self._change_held(name, amounts, -1)
                released = {resource: -amount for resource, amount in amounts.items()}
                add_amounts(self._usage.setdefault(owner, {}), released)
        return last

    def _queue_arrivals(self, until: float) -> None:
        while self._next_arrival is not None and self._next_arrival.seconds <= until:
            arrival = self._next_arrival
            if arrival.digest not in self._shapes:
                waiting = WaitingShape(arrival.digest, arrival.shape, (), 0)
                self._shapes[arrival.digest] = _SimulatedShape(waiting, [])
            self._shapes[arrival.digest].heads.append(arrival.head)
            self._digests[arrival.head.request_id] = arrival.digest
            self._times_of_arrivals[arrival.head.request_id] = arrival.holding_time
            self._next_arrival = next(self._arrivals, None)

    def _snapshot_at(self, now: float) -> Snapshot:
        shapes = self._shapes.values()
        return replace(
            self._snapshot,
            hosts=self._hosts,
            waiting=tuple(
                shape.remaining() for shape in shapes if shape.started < len(shape.heads)
            ),
            now=self._snapshot.now + now,
            usage=self._usage,
            passed=self._passed,
            promises=self._promises,
            holds=self._expected_holds(),
        )

    def _expected_holds(self) -> tuple[PlannedHold, ...]:
        """List the holds as a pass sees them; it knows when they end."""
        start = self._snapshot.now
        return tuple(
            PlannedHold("", end.owner, start, start + end.seconds, end.amounts)
            for end in sorted(self._ends)
        )

    def _start(self, grant: Grant, now: float) -> None:
        request_id, owner, demand = grant.head.request_id, grant.shape.owner, grant.shape.demand
        self.starts[request_id] = now
        self._shapes[self._digests[request_id]].started += 1
        amounts_by_host: dict[str, dict[str, int]] = {}
        for name, instance in zip(grant.hosts, demand.instances, strict=True):
            add_amounts(amounts_by_host.setdefault(name, {}), dict(instance))
        for name, amounts in amounts_by_host.items():
            self._change_held(name, amounts, 1)
        add_amounts(self._usage.setdefault(owner, {}), total(demand))
        self._hold_until(now + self._holding_time(request_id), amounts_by_host, owner)
        self._passed.pop(request_id, None)

    def _holding_time(self, request_id: str) -> float:
        """Draw how long a job holds: the same in this future whichever job starts before it."""
        if request_id in self._times_of_arrivals:
            return self._times_of_arrivals[request_id]
        name = request_id.encode(errors="surrogateescape")
        drawn = int.from_bytes(blake2b(name, digest_size=8, key=self._seed).digest())
        return self._observed_times[drawn % len(self._observed_times)]

    def _change_held(self, name: str, amounts: Amounts, sign: int) -> None:
        host = self._hosts[name]
        held = dict(host.held)
        for resource, amount in amounts.items():
            held[resource] = held.get(resource, 0) + sign * amount
        self._hosts[name] = replace(host, held=held)

    def _hold_until(self, seconds: float, amounts: Mapping[str, Amounts], owner: str) -> None:
        self._holds_begun += 1
        heappush(self._ends, _HoldEnd(seconds, self._holds_begun, amounts, owner))


def _remaining_time(holding_times: Sequence[float], age: float, rng: Random) -> float:
    """Draw how much longer a hold of this age lasts, from the sorted times longer than its age.

    A hold older than every observed one is taken to begin anew.
    """
    longer = bisect_right(holding_times, age)
    if longer == len(holding_times):
        return rng.choice(holding_times)
    return holding_times[rng.randrange(longer, len(holding_times))] - age
