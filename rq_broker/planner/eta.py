"""When a waiting job's turn may come: the same planner, run forward on observed holding times.

One run draws an end for every hold (given how old it is, from the observed times longer than that)
and a holding time for every waiting job, then lets time pass: holds end, `plan` grants, the grants
hold and end in turn. The spread of many runs gives p50 and p90. Assumed: nobody else arrives, no
operator interferes, hosts stay as they are. Work is bounded by passes over all runs together; holds
that end within 5 % of the time simulated so far are one step, so far futures cost few passes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from random import Random

from rq_broker.keys import member
from rq_broker.models import Amounts, Grant, Head, Host, Snapshot, Waiting
from rq_broker.planner.ledger import add
from rq_broker.planner.packing import total
from rq_broker.planner.planning import plan

OBSERVATIONS = 10
"""Fewer observed holding times than this are no history."""
PASSES = 1000
"""Passes of the planner one forecast may cost, all runs together: 5 s with 1,000 hosts."""
RUNS = 40
"""Fewer finished runs than a quarter of those asked for are no forecast."""
DEPTH = 5000
"""How many hidden jobs before a target are imagined at most."""
SHOWN = 64
"""Jobs of one shape a simulated pass sees at a time."""
STEP = 0.05
"""Holds that end within this part of the time simulated so far end together."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Running:
    """A job that holds capacity now."""

    holds: Mapping[str, Amounts]
    """Host → what it holds there."""
    age: float
    """Seconds it has held it."""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ETA:
    """Seconds until a job's grant that half, and nine in ten, of the simulated futures stay within.

    None, with the reason, where the simulation cannot say; p50 may be known and p90 not.
    """

    p50: float | None
    p90: float | None
    reason: str | None = None


TOO_LITTLE = ETA(None, None, f"fewer than {OBSERVATIONS} jobs of this type have finished")
TOO_FAR = ETA(None, None, "its turn is further away than the simulation looks")
PAUSED = ETA(None, None, "grants are paused for this type")


def simulate(
    snapshot: Snapshot,
    running: Sequence[Running],
    holding_times: Sequence[float],
    target: tuple[str, int],
    rng: Random,
    *,
    runs: int = RUNS,
) -> ETA:
    """Forecast the grant of one job: `target` is its shape and how many of that shape go before it.

    `holding_times` are seconds from grant to release of jobs of this type, as observed.
    """
    digest, index = target
    line = imagined(snapshot, digest, index)
    entry = next((entry for entry in line.waiting if entry.digest == digest), None)
    if entry is None or index >= len(entry.heads):
        return TOO_FAR
    name = entry.heads[index].request_id
    return forecast(line, running, holding_times, (name,), rng, runs=runs)[name]


def forecast(
    snapshot: Snapshot,
    running: Sequence[Running],
    holding_times: Sequence[float],
    targets: Sequence[str],
    rng: Random,
    *,
    runs: int = RUNS,
) -> dict[str, ETA]:
    """Forecast the grants of jobs named by request_id, all from the same simulated futures."""
    if snapshot.policy.paused:
        return dict.fromkeys(targets, PAUSED)
    if len(holding_times) < OBSERVATIONS:
        return dict.fromkeys(targets, TOO_LITTLE)
    budget, starts = [PASSES], list[Mapping[str, float]]()
    times = sorted(holding_times)
    while len(starts) < runs and budget[0] > 0:
        future = Future(snapshot, running, times, frozenset(targets), rng)
        if future.run(budget):
            starts.append(future.starts)
    if len(starts) * 4 < runs:
        return dict.fromkeys(targets, TOO_FAR)
    return {name: _eta([start.get(name, NEVER) for start in starts]) for name in targets}


def _eta(starts: list[float]) -> ETA:
    starts.sort()
    p50, p90 = (starts[min(int(len(starts) * part), len(starts) - 1)] for part in (0.5, 0.9))
    if p50 == NEVER:
        return ETA(None, None, "in most simulated futures its turn never comes")
    if p90 == NEVER:
        return ETA(p50, None, "in some simulated futures its turn never comes")
    return ETA(p50, p90)


def imagined(snapshot: Snapshot, digest: str, index: int) -> Snapshot:
    """Show the hidden jobs that may go before the target, spaced like the ones that are shown."""
    entry = next((entry for entry in snapshot.waiting if entry.digest == digest), None)
    if entry is None or not entry.heads:
        return snapshot
    goal = _at(entry, index)
    room, line = DEPTH, list[Waiting]()
    for each in snapshot.waiting:
        heads = list(each.heads)
        while heads and len(heads) < each.count and room:
            head = _at(each, len(heads))
            if (head.priority, head.id) > (goal.priority, goal.id):
                break
            heads.append(head)
            room -= 1
        line.append(replace(each, heads=tuple(heads), count=len(heads)))
    return replace(snapshot, waiting=tuple(line))


def _at(entry: Waiting, index: int) -> Head:
    """The job at an index of its shape: as shown, or as the shown ones' spacing suggests."""
    heads = entry.heads
    if index < len(heads):
        return heads[index]
    first, last, beyond = heads[0], heads[-1], index - len(heads) + 1
    steps = max(len(heads) - 1, 1)
    return Head(
        last.id + beyond * max((last.id - first.id) // steps, 1),
        f"{entry.digest}#{index}",
        last.priority + beyond * ((last.priority - first.priority) // steps),
    )


class Future:
    """One simulated future of a type."""

    def __init__(
        self,
        snapshot: Snapshot,
        running: Sequence[Running],
        times: Sequence[float],
        targets: frozenset[str],
        rng: Random,
    ) -> None:
        self.snapshot = snapshot
        self.starts: dict[str, float] = {}
        self._targets = targets
        self._hosts: dict[str, Host] = dict(snapshot.hosts)
        self._usage = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
        self._passed = dict(snapshot.passed)
        self._protection = snapshot.protection
        self._pushed = 0
        self._done = dict.fromkeys((entry.digest for entry in snapshot.waiting), 0)
        self._ends: list[tuple[float, int, Mapping[str, Amounts], str]] = []
        for job in running:
            self._push(_rest(times, job.age, rng), job.holds, job.owner)
        self._digests = {
            head.request_id: entry.digest for entry in snapshot.waiting for head in entry.heads
        }
        self._spans = {name: rng.choice(times) for name in sorted(self._digests)}

    def run(self, budget: list[int]) -> bool:
        """Let time pass until all targets are granted or nothing ends; False: out of budget."""
        now = 0.0
        while True:
            self._grant_all(now, budget)
            if self._targets <= self.starts.keys():
                return True
            if budget[0] <= 0:
                return False
            if not self._ends:
                return True
            now = self._release(max(self._ends[0][0], now * (1 + STEP)))

    def _release(self, until: float) -> float:
        last = until
        while self._ends and self._ends[0][0] <= until:
            last, _, holds, owner = heappop(self._ends)
            for name, amounts in holds.items():
                if name in self._hosts:
                    self._hold(name, amounts, -1)
                less = {resource: -amount for resource, amount in amounts.items()}
                add(self._usage.setdefault(owner, {}), less)
        return last

    def _grant_all(self, now: float, budget: list[int]) -> None:
        more = True
        while more and budget[0] > 0:
            budget[0] -= 1
            answer = plan(self._view(now))
            self._protection = answer.protection
            self._passed.update(dict.fromkeys(answer.passed, self.snapshot.now + now))
            for grant in answer.grants:
                self._start(grant, now)
            more = answer.more and bool(answer.grants)

    def _view(self, now: float) -> Snapshot:
        line = []
        for entry in self.snapshot.waiting:
            done = self._done[entry.digest]
            if done < len(entry.heads):
                heads = entry.heads[done : done + SHOWN]
                line.append(replace(entry, heads=heads, count=len(entry.heads) - done))
        return replace(
            self.snapshot,
            hosts=self._hosts,
            waiting=tuple(line),
            now=self.snapshot.now + now,
            usage=self._usage,
            passed=self._passed,
            protection=self._protection,
        )

    def _start(self, grant: Grant, now: float) -> None:
        name, owner = grant.head.request_id, grant.shape.owner
        self.starts[name] = now
        self._done[self._digests[name]] += 1
        holds: dict[str, dict[str, int]] = {}
        for host, need in zip(grant.hosts, grant.shape.demand.instances, strict=True):
            add(holds.setdefault(host, {}), dict(need))
        for host, amounts in holds.items():
            self._hold(host, amounts, 1)
        add(self._usage.setdefault(owner, {}), total(grant.shape.demand))
        self._push(now + self._spans[name], holds, owner)
        self._passed.pop(member(grant.head.id, name), None)

    def _hold(self, name: str, amounts: Amounts, sign: int) -> None:
        host = self._hosts[name]
        held = dict(host.held)
        for resource, amount in amounts.items():
            held[resource] = held.get(resource, 0) + sign * amount
        self._hosts[name] = replace(host, held=held)

    def _push(self, end: float, holds: Mapping[str, Amounts], owner: str) -> None:
        self._pushed += 1
        heappush(self._ends, (end, self._pushed, holds, owner))


def _rest(times: Sequence[float], age: float, rng: Random) -> float:
    """Draw how much longer a hold of this age lasts; one older than all seen starts afresh."""
    longer = bisect_right(times, age)
    if longer == len(times):
        return rng.choice(times)
    return times[rng.randrange(longer, len(times))] - age
