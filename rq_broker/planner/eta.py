"""When a waiting job's turn may come: the same planner, run forward on observed holding times.

One run draws an end for every hold (given how old it is, from the observed times longer than that)
and a holding time for every waiting job, then lets time pass: holds end, others come (crowd.py),
`plan` grants, the grants hold and end in turn. The spread of many runs gives p50 and p90. Assumed:
no operator interferes, hosts stay. Work is bounded by passes and, where a clock is given, by time,
over all runs together; holds that end within 5 % of the time simulated so far are one step, so far
futures cost few passes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.jobs import Shape
from rq_broker.domain.planning import Grant, Head, Snapshot, Waiting
from rq_broker.planner.board import Board, empty
from rq_broker.planner.crowd import Arrival, Crowd, Running
from rq_broker.planner.ledger import add
from rq_broker.planner.packing import total
from rq_broker.planner.planning import plan
from rq_broker.planner.reasons import impossible

OBSERVATIONS = 10
"""Fewer observed holding times than this are no history."""
PASSES = 1000
"""Passes of the planner one forecast may cost, all runs together."""
SECONDS = 2.0
"""Seconds of its clock one forecast may cost, all runs together."""
RUNS = 40
"""Futures a forecast is made of; at least a quarter of them, however much each costs."""
DEPTH = 5000
"""How many hidden jobs before a target are imagined at most."""
SHOWN = 64
"""Jobs of one shape a simulated pass sees at a time."""
STEP = 0.05
"""Holds that end within this part of the time simulated so far end together."""
NEVER = float("inf")

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class ETA:
    """Seconds until a job's grant that half, and nine in ten, of the simulated futures stay within.

    None, with the reason, where the simulation cannot say; p50 may be known and p90 not.
    """

    p50: float | None
    p90: float | None
    reason: str | None = None


def unlimited() -> float:
    """A clock that stands still: work is bounded by passes only."""
    return 0.0


TOO_LITTLE = ETA(None, None, f"fewer than {OBSERVATIONS} jobs of this type have finished")
TOO_FAR = ETA(None, None, "its turn is further away than the simulation looks")
PAUSED = ETA(None, None, "grants are paused for this type")
IMPOSSIBLE = ETA(None, None, "its turn never comes: no host could ever hold it")


def simulate(
    snapshot: Snapshot,
    running: Sequence[Running],
    holding_times: Sequence[float],
    target: tuple[str, int],
    rng: Random,
    *,
    runs: int = RUNS,
    clock: Clock = unlimited,
) -> ETA:
    """Forecast the grant of one job: `target` is its shape and how many of that shape go before it.

    `holding_times` are seconds from grant to release of jobs of this type, as observed. `clock`
    tells the seconds spent, of which SECONDS may be.
    """
    digest, index = target
    line = imagined(snapshot, digest, index)
    entry = next((entry for entry in line.waiting if entry.digest == digest), None)
    if entry is None or index >= len(entry.heads):
        return TOO_FAR
    name = entry.heads[index].request_id
    return forecast(line, running, holding_times, (name,), rng, runs=runs, clock=clock)[name]


def forecast(
    snapshot: Snapshot,
    running: Sequence[Running],
    holding_times: Sequence[float],
    targets: Sequence[str],
    rng: Random,
    *,
    runs: int = RUNS,
    clock: Clock = unlimited,
) -> dict[str, ETA]:
    """Forecast the grants of jobs named by request_id, all from the same simulated futures."""
    if snapshot.policy.paused:
        return dict.fromkeys(targets, PAUSED)
    hopeless = dict.fromkeys(_hopeless(snapshot, targets), IMPOSSIBLE)
    hopeful = frozenset(targets) - hopeless.keys()
    if len(holding_times) < OBSERVATIONS:
        return {**dict.fromkeys(hopeful, TOO_LITTLE), **hopeless}
    times, passes, starts, cut = sorted(holding_times), 0, list[Mapping[str, float]](), False
    crowd, ends = Crowd(snapshot, running, times), clock() + SECONDS
    while hopeful and len(starts) < runs and passes < PASSES and clock() < ends:
        future = Future(snapshot, running, times, crowd.arrivals(_other(rng)), rng)
        cut |= not future.run(hopeful, _allowance(runs, clock))
        passes += future.passes
        starts.append(future.starts)
    found = {name: _eta([start.get(name, NEVER) for start in starts], cut) for name in hopeful}
    return {**found, **hopeless}


def _allowance(runs: int, clock: Clock) -> Callable[[int], bool]:
    """Tell by its passes when one future has had four times its part of what all may cost."""
    most, until = PASSES * 4 // runs, clock() + SECONDS * 4 / runs
    return lambda passes: passes >= most or clock() > until


def _hopeless(snapshot: Snapshot, targets: Collection[str]) -> frozenset[str]:
    """The targets that no host could ever hold: no future need be waited out for them."""
    wanted, board = frozenset(targets), Board(snapshot.hosts.values(), empty)
    mine = [
        (entry, found)
        for entry in snapshot.waiting
        if (found := wanted & {head.request_id for head in entry.heads})
    ]
    none = (found for entry, found in mine if impossible(board, entry.shape.demand))
    return frozenset[str]().union(*none)


def _eta(starts: list[float], cut: bool) -> ETA:
    """Read off when its turn came; `cut` says that some futures were not followed to their end."""
    starts.sort()
    p50, p90 = (starts[min(int(len(starts) * part), len(starts) - 1)] for part in (0.5, 0.9))
    if p50 == NEVER:
        return TOO_FAR if cut else ETA(None, None, "in most simulated futures its turn never comes")
    if p90 == NEVER:
        what = "is too far away to see" if cut else "never comes"
        return ETA(p50, None, f"in some simulated futures its turn {what}")
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
        coming: Iterator[Arrival],
        rng: Random,
    ) -> None:
        self.snapshot = snapshot
        self.starts: dict[str, float] = {}
        self.passes = 0
        self._hosts: dict[str, Host] = dict(snapshot.hosts)
        self._usage = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
        self._passed = dict(snapshot.passed)
        self._protection = snapshot.protection
        self._pushed = 0
        self._line = {each.digest: (each, list(each.heads)) for each in snapshot.waiting}
        self._done = dict.fromkeys(self._line, 0)
        self._ends: list[tuple[float, int, Mapping[str, Amounts], str]] = []
        for job in running:
            self._push(_rest(times, job.age, rng), job.holds, job.owner)
        self._digests = {
            head.request_id: entry.digest for entry in snapshot.waiting for head in entry.heads
        }
        self._times = times
        self._seed = rng.randbytes(16)
        self._spans: dict[str, float] = {}
        self._coming = coming
        self._next = next(coming, None)

    def run(self, targets: frozenset[str], spent: Callable[[int], bool]) -> bool:
        """Let time pass until all targets are granted or nothing ends.

        False: before that it was told, by the number of its passes, that enough was spent.
        """
        now = 0.0
        while True:
            self._grant_all(now, spent)
            if targets <= self.starts.keys():
                return True
            if spent(self.passes):
                return False
            if not self._ends:
                return True
            now = self._release(max(self._ends[0][0], now * (1 + STEP)))
            self._arrive(now)

    def _arrive(self, until: float) -> None:
        while self._next is not None and self._next.at <= until:
            each = self._next
            self._spans[each.head.request_id] = each.span
            self._join(each.digest, each.shape, each.head)
            self._next = next(self._coming, None)

    def _join(self, digest: str, shape: Shape, head: Head) -> None:
        if digest not in self._line:
            self._line[digest] = (Waiting(digest, shape, (), 0), [])
            self._done[digest] = 0
        self._digests[head.request_id] = digest
        self._line[digest][1].append(head)

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

    def _grant_all(self, now: float, spent: Callable[[int], bool]) -> None:
        more = True
        while more and not spent(self.passes):
            self.passes += 1
            answer = plan(self._view(now))
            self._protection = answer.protection
            self._passed.update(
                {head.request_id: self.snapshot.now + now for head in answer.passed}
            )
            for grant in answer.grants:
                self._start(grant, now)
            more = answer.more and bool(answer.grants)

    def _view(self, now: float) -> Snapshot:
        line = []
        for digest, (entry, heads) in self._line.items():
            done = self._done[digest]
            if done < len(heads):
                shown = tuple(heads[done : done + SHOWN])
                line.append(replace(entry, heads=shown, count=len(heads) - done))
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
        self._push(now + self._span(name), holds, owner)
        self._passed.pop(name, None)

    def _span(self, name: str) -> float:
        """Draw how long a job holds: the same in the same future, whoever starts before it."""
        if name in self._spans:
            return self._spans[name]
        raw = name.encode(errors="surrogateescape")
        drawn = int.from_bytes(blake2b(raw, digest_size=8, key=self._seed).digest())
        return self._times[drawn % len(self._times)]

    def _hold(self, name: str, amounts: Amounts, sign: int) -> None:
        host = self._hosts[name]
        held = dict(host.held)
        for resource, amount in amounts.items():
            held[resource] = held.get(resource, 0) + sign * amount
        self._hosts[name] = replace(host, held=held)

    def _push(self, end: float, holds: Mapping[str, Amounts], owner: str) -> None:
        self._pushed += 1
        heappush(self._ends, (end, self._pushed, holds, owner))


def _other(rng: Random) -> Random:
    """Draw a stream of its own: how far one is read does not shift what comes from the other."""
    return Random(rng.getrandbits(64))


def _rest(times: Sequence[float], age: float, rng: Random) -> float:
    """Draw how much longer a hold of this age lasts; one older than all seen starts afresh."""
    longer = bisect_right(times, age)
    if longer == len(times):
        return rng.choice(times)
    return times[rng.randrange(longer, len(times))] - age
