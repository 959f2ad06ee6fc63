"""One simulated future of a type: the rules of admission on a line, while holds end and jobs come.

It is written apart from the admission pass, because a forecast runs some ten thousand passes: it
keeps the order, the reservation in time and the backfill, and it does not say why a job waits.

In a short line each end of a hold is an event of its own, at first; a long line is simulated in
steps from the beginning. Many holds end in one step; if the first job of a long line might use all
they release together, it would hardly ever wait for its reservation. So there a job first starts
only where it fits into what one of the holds releases, as if they ended one by one, and then into
what all jobs left over. (Short lines are nearer to the logs without that.)
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from random import Random
from typing import NamedTuple

from rq_broker.planner.forecasting.holding_draws import HoldingDraws
from rq_broker.planner.forecasting.reservation import Reservation
from rq_broker.planner.forecasting.room import Need, Placement, Room, Vector, add
from rq_broker.planner.forecasting.simulated_jobs import (
    DRAWS,
    NEVER,
    Arrival,
    Batch,
    Kind,
    Rules,
    RunningHold,
)
from rq_broker.planner.forecasting.simulated_pass import SimulatedPass
from rq_broker.planner.forecasting.simulated_shares import SimulatedShares
from rq_broker.planner.forecasting.simulated_turns import LineTurns, SharedTurns, Turns
from rq_broker.planner.steps import Steps

EXACT_PASSES = 400
"""Passes of a short line's future before it takes steps: bounds what a job that starves costs."""
STEP = 0.05
"""Step, as a part of the time simulated so far: a far future costs few passes, at the price of an
error of at most 5 %."""
LONG_STEP = 0.03
"""The same of a long line, which has no pass without a step. With 0.05 instances of half a host are
forecast at two or three times their waits, in two thirds of the time."""
RELEASES = 50
"""Ended holds of a step into which jobs are tried, evenly chosen: more cost time."""
SHORTEST = 0.001
"""Seconds that a job holds at least, on average: a history of zeros must not divide by zero."""
MAX_PASSES = 1500
"""Passes of one future at most, so that a job that never starts ends it."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a future begins with; it changes room and usage."""

    room: Room
    rules: Rules
    batches: Sequence[Batch]
    """The line, in order."""
    kinds: int
    """How many kinds of jobs there are, arriving ones included."""
    holds: Sequence[tuple[float, float, RunningHold]]
    """When each ends, when it is expected to end, and what it holds."""
    usage: dict[str, Vector]
    """Owner → what its jobs hold, for each owner with a limit; of all, if the type shares."""
    shares: SimulatedShares | None
    """The owners' shares, if the type shares."""
    arrivals: Iterator[Arrival]
    """Jobs that come later, in order of time."""


class _Release(NamedTuple):
    """What a hold that ended released, with what was idle before."""

    on_host: list[float]
    in_all: list[float]
    fitting: dict[int, bool]
    """Number of a demand → whether such a job fits into it, once that was asked."""


class SimulatedFuture:
    """One future, from now (0 seconds) on."""

    def __init__(self, start: Start, draws: HoldingDraws, rng: Random) -> None:
        """Begin a future with its holding times; `rng` decides the rest."""
        room, rules, batches, holds, arrivals = (
            start.room,
            start.rules,
            start.batches,
            start.holds,
            start.arrivals,
        )
        self.starts: dict[int, float] = {}
        """Target → seconds until its job starts."""
        self.passes = 0
        self._room = room
        self._rules = rules
        self._usage = start.usage
        self._shares = start.shares
        self._draws = draws
        self._random = rng.random
        self._queues: list[deque[Batch]] = [deque() for _ in range(start.kinds)]
        for batch in batches:
            self._queues[batch.kind.number].append(batch)
        self._line = None if start.shares else LineTurns(self._queues)
        """The order of the line, unless shares decide."""
        self._last_order = batches[-1].order if batches else 0.0
        self._preferring = [batch.prefers_until for batch in batches if batch.prefers_until > 0]
        """When alternatives of waiting jobs begin to count."""
        heapify(self._preferring)
        self._ends = [(end, number, hold) for number, (end, _, hold) in enumerate(holds)]
        heapify(self._ends)
        self._expected = sorted((seconds, n, hold) for n, (_, seconds, hold) in enumerate(holds))
        self._holds_begun = len(holds)
        self._holding = Counter[str]()
        """Array with `at_once` → how many of its jobs hold."""
        for _, _, hold in holds:
            if hold.array:
                self._holding[hold.array] += hold.jobs
        self._arrivals = arrivals
        self._next_arrival = next(arrivals, None)
        self._now = 0.0
        self._step = 0.0
        """Seconds until the next pass, at least."""
        self._used_parts = self._random()
        """Parts of steps that were used and are not yet accounted for, at most one."""
        self._lag = 0.0
        """How long ago, on average, what became free at last did so."""
        self._releases: list[_Release] = []
        """What some of the holds that ended in the last step released."""

    def steps(self, targets: frozenset[int]) -> Steps[bool]:
        """Let time pass until all targets have started, or nothing is left that could change.

        A step is a pass. Returns: False if the future was cut short.
        """
        while self.passes < MAX_PASSES:
            self.passes += 1
            self._step = self._next_step()
            # 1. Start what fits.
            if self._releases:
                self._run_pass(one_by_one=True)
            self._run_pass(one_by_one=False)
            if targets <= self.starts.keys():
                return True
            # 2. Go on to the next event, or a step further.
            upcoming = self._ends[0][0] if self._ends else NEVER
            if self._next_arrival is not None:
                upcoming = min(upcoming, self._next_arrival.seconds)
            if self._preferring:
                upcoming = min(upcoming, self._next_preference())
            if upcoming == NEVER:
                return True
            self._now = max(upcoming, self._now + self._step)
            # 3. Release what ended, queue what arrived.
            self._release_ended()
            self._queue_arrivals()
            yield
        return False

    def _next_preference(self) -> float:
        """Return when alternatives of some job begin to count next, NEVER if of none."""
        while self._preferring and self._preferring[0] <= self._now:
            heappop(self._preferring)
        return self._preferring[0] if self._preferring else NEVER

    def _next_step(self) -> float:
        if self._rules.least_step:
            return max(LONG_STEP * self._now, self._rules.least_step)
        return STEP * self._now if self.passes > EXACT_PASSES else 0.0

    def _release_ended(self) -> None:
        ends, released = self._ends, dict[int, Vector]()
        lags, ended = list[float](), list[RunningHold]()
        while ends and ends[0][0] <= self._now:
            seconds, _, hold = heappop(ends)
            lags.append(self._now - seconds)
            hold.is_live = False
            self._count_usage(hold.owner, hold.total, -1)
            if hold.array:
                self._holding[hold.array] -= hold.jobs
            for host, amounts in hold.placement:
                released[host] = add(released[host], amounts) if host in released else amounts
            ended.append(hold)
        self._lag = sum(lags) / len(lags) if lags else 0.0
        if self._rules.least_step:
            self._note_releases(ended, self._room.rows())
        self._room.give(released.items())

    def _queue_arrivals(self) -> None:
        while self._next_arrival is not None and self._next_arrival.seconds <= self._now:
            _, kind, holding_times, jobs = self._next_arrival
            self._last_order += 1
            batch = Batch(self._last_order, kind, jobs, -1, holding_times)
            if kind.prefer_for:
                batch.prefers_until = self._now + kind.prefer_for
                heappush(self._preferring, batch.prefers_until)
            self._queues[kind.number].append(batch)
            if self._line and len(self._queues[kind.number]) == 1:
                self._line.add(kind.number)
            self._next_arrival = next(self._arrivals, None)

    def _run_pass(self, *, one_by_one: bool) -> None:
        SimulatedPass(
            self._room,
            self._rules,
            self._queues,
            self._turns(),
            self._now,
            start=self._start,
            resolve=self._resolve,
            startable=self._startable_one_by_one if one_by_one else self._startable,
        ).run()

    def _turns(self) -> Turns:
        if self._line:
            self._line.begin_pass()
            return self._line
        assert self._shares
        self._shares.begin_pass(self._now)
        return SharedTurns(self._queues, self._shares.share)

    # What a pass asks for

    def _startable(self, batch: Batch, kind: Kind) -> int:
        """Return how many jobs of a batch the limits of owner and array allow; -1 for none."""
        count = batch.count
        if kind.at_once is not None:
            count = min(count, kind.at_once.most - self._holding[kind.at_once.array])
        if kind.limit is None or count <= 0:
            return count if count > 0 else -1
        usage = self._usage[kind.owner]
        for held, limit, needed in zip(usage, kind.limit, kind.total, strict=True):
            if needed and limit >= 0:
                count = min(count, (limit - held) // needed)
        return count if count > 0 else -1

    def _startable_one_by_one(self, batch: Batch, kind: Kind) -> int:
        """Return the same, or 0 if the job does not fit into what one hold has just released."""
        if batch.start > self._now + self._step and not self._fits_one_release(kind):
            return 0
        return self._startable(batch, kind)

    def _fits_one_release(self, kind: Kind) -> bool:
        """Return whether a job fits into what one of the ended holds released, left to chance."""
        release = self._releases[int(self._random() * len(self._releases))]
        fits = release.fitting.get(kind.demand)
        if fits is None:
            fits = release.fitting[kind.demand] = is_within(kind.total, release.in_all) and all(
                is_within(need.amounts, release.on_host) for need in kind.needs
            )
        return fits

    def _note_releases(self, ended: Sequence[RunningHold], idle: Sequence[Vector]) -> None:
        """Note what some of the holds that ended released, one job each, and what was idle.

        Idle amounts are taken to be spread evenly over the hosts that are simulated as one.
        """
        self._releases = []
        for hold in ended[:: -(-len(ended) // RELEASES) or 1]:
            if hold.placement:
                host, amounts = hold.placement[int(self._random() * len(hold.placement))]
                size, jobs = self._room.size(host), hold.jobs
                left = [max(amount, 0) for amount in idle[host]]
                on_host = [a / jobs + rest / size for a, rest in zip(amounts, left, strict=True)]
                in_all = [a / jobs + rest for a, rest in zip(hold.total, left, strict=True)]
                self._releases.append(_Release(on_host, in_all, {}))

    def _resolve(self, reservation: Reservation) -> None:
        reservation.resolve(self._room, self._expected_ends, self._now, self._rules.history.mean)

    def _expected_ends(self) -> Iterator[tuple[float, RunningHold]]:
        """Yield the holds by their expected ends; those of outlived ones are corrected."""
        expected, now, history = self._expected, self._now, self._rules.history
        passed = 0
        while passed < len(expected) and expected[passed][0] <= now:
            passed += 1
        outlived = [end for end in expected[:passed] if end[2].is_live]
        del expected[:passed]
        for seconds, number, hold in outlived:
            predicted, age = seconds - hold.began, now - hold.began
            corrected = history.corrected(predicted, age, hold.owner, hold.digest)
            insort(expected, (hold.began + corrected, number, hold))
        return ((seconds, hold) for seconds, _, hold in expected if hold.is_live)

    def _start(self, batch: Batch, kind: Kind, most: int) -> int:
        """Start up to so many jobs of a batch, as a kind, in a few groups that end together."""
        chunk, started = max(-(-batch.count // DRAWS), 1), 0
        while started < most:
            if kind.is_elastic:
                count, placement = self._place_elastic(kind)
            else:
                count, placement = self._room.place(kind.needs, min(chunk, most - started))
            if not count:
                break
            started += self._hold(batch, kind, count, batch.count - started, placement)
        if started and batch.target >= 0:
            self.starts[batch.target] = self._now - self._lag
            batch.target = -1
        return started

    def _place_elastic(self, kind: Kind) -> tuple[int, Placement]:
        """Place one job with as many instances as fit, or with the least."""
        room = self._room
        larger = []
        for need in kind.needs:
            most = need.instances + self._most_more(kind, need)
            count = max(room.count(need, most), need.instances)
            larger.append(need._replace(instances=count))
        count, placement = room.place(larger, 1)
        return (count, placement) if count else room.place(kind.needs, 1)

    def _most_more(self, kind: Kind, need: Need) -> int:
        """Return how many more instances of a need the owner of a job may have."""
        most, limits = need.more, kind.limit
        if most and limits:
            usage = self._usage[kind.owner]
            for index, amount in need.parts:
                if limits[index] >= 0:
                    left = limits[index] - usage[index] - kind.total[index]
                    most = min(most, max(left // amount, 0))
        return most

    def _hold(self, batch: Batch, kind: Kind, count: int, most: int, placement: Placement) -> int:
        """Let jobs hold what was placed for `count` of them.

        Where they hold for less than a step, more jobs follow them on the same hosts.

        Returns: how many started, up to `most`.
        """
        started, step = count, self._step
        seconds = batch.holding_times[self._holds_begun % len(batch.holding_times)]
        if step:
            if most > count:
                usual = max(self._draws.mean_time(kind.histories), SHORTEST)
                if usual < step:
                    started = min(max(int(count * step / usual), count), most)
                    seconds = usual * started / count
            if seconds < step and not self._takes_step(seconds / step):
                self._room.give(placement)
                return started
        total = kind.total if count == 1 else tuple([count * amount for amount in kind.total])
        if kind.is_elastic:
            total = tuple(map(sum, zip(*[amounts for _, amounts in placement], strict=True)))
        array = kind.at_once.array if kind.at_once else ""
        hold = RunningHold(placement, kind.owner, kind.digest, total, self._now, count, array)
        if array:
            self._holding[array] += count
        self._count_usage(kind.owner, total, 1)
        self._holds_begun += 1
        end = self._now + max(seconds - self._lag, 0.0)
        heappush(self._ends, (end, self._holds_begun, hold))
        insort(self._expected, (self._now + kind.prediction.hold, self._holds_begun, hold))
        return started

    def _takes_step(self, part: float) -> bool:
        """Return whether capacity used for a part of the step is taken for all of it.

        It is for so many placements that the sum of all is right.
        """
        self._used_parts += part
        if self._used_parts < 1:
            return False
        self._used_parts -= 1
        return True

    def _count_usage(self, owner: str, amounts: Vector, sign: int) -> None:
        usage = self._usage.get(owner)
        if usage is not None:
            if self._shares:
                self._shares.settle(owner, self._now)
                if sign > 0:
                    self._shares.grant(owner, amounts)
            self._usage[owner] = tuple(
                [held + sign * amount for held, amount in zip(usage, amounts, strict=True)]
            )


def is_within(amounts: Sequence[float], limits: Sequence[float]) -> bool:
    """Return whether no amount exceeds its limit."""
    for amount, limit in zip(amounts, limits, strict=True):  # noqa: SIM110 - twice as fast
        if amount > limit:
            return False
    return True
