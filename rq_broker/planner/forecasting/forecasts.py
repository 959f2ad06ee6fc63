"""When the waiting jobs of a type start: the spread of many simulated futures of its whole line."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp
from statistics import fmean
from typing import Any, NamedTuple

from rq_broker.domain.figures import Judged
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.line import Line
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.reasons.codes import ReasonCode, ReasonKind
from rq_broker.domain.reasons.reason import Reason
from rq_broker.planner.capacity_reasons import beyond_limits, impossible
from rq_broker.planner.forecasting.scene import Scene
from rq_broker.planner.forecasting.simulated_jobs import NEVER
from rq_broker.planner.forecasting.simulation import SimulatedFuture
from rq_broker.planner.packing.host_table import HostTable, free_when_empty
from rq_broker.planner.steps import Steps, run_all

MIN_OBSERVATIONS = 10
"""Observed holding times a forecast needs: with fewer its p90 would be the largest of a handful."""
FUTURES = 30
"""Futures a forecast simulates if its time allows: 3 of them lie beyond the p90. With fewer p90
jumps from one forecast to the next."""
MAX_SECONDS = 2.0
"""Seconds by its clock one forecast may take, all futures together: bounds it for any line. 30
futures of 50,000 jobs that wait for 1,000 hosts take about 1.5 s."""

MISSED, PRIOR = 0.1, 20
"""The part of forecasts that a p90 should miss; and as how many forecasts with that part it counts
before any was judged: with fewer the first miss would stretch every p90."""
STRETCH, MOST_STRETCH = 10.0, 4.0
"""For each percent that is missed beyond that, a p90 is a tenth further behind its p50, up to four
times as far. With 5 a type whose owners change their habits keeps 86 % of its p90, with 10 it keeps
87 %."""

LATER, MOST_LATER = 2.0, 0.7
"""For each percent of p50 that is missed beyond half, p50 is the quantile of the futures that is
two percent further, up to this one. With 4 losses are 1 % larger on one log; an earlier quantile
where fewer are missed loses 5 % on another."""

Clock = Callable[[], float]
"""Returns seconds spent; only differences matter."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until a job is granted, in half and in nine of ten simulated futures at most.

    None, with the reason, where the simulation cannot say; p50 may be known when p90 is not.
    """

    p50: float | None
    p90: float | None
    why: Reason | None = None

    @property
    def reason(self) -> str | None:
        """Why there is no p50, or no p90, as a sentence."""
        return self.why.text if self.why else None

    def after(self, seconds: float) -> Forecast:
        """Return what the forecast says some seconds later."""
        p50, p90 = (
            None if value is None else max(value - seconds, 0.0) for value in (self.p50, self.p90)
        )
        return Forecast(p50, p90, self.why)


class Told(NamedTuple):
    """Which of a job's starts in the futures are told as p50 and p90."""

    middle: float
    """The quantile that is p50."""
    stretch: float
    """How many times as far behind the median p90 is as in the futures."""


def stretch_by(judged: Judged) -> float:
    """Return how many times as far behind p50 a p90 has to be, by what came true of earlier ones.

    What happens is not always as various as the futures: one owner's new habit delays a whole line.
    """
    part = (judged.missed + MISSED * PRIOR) / (judged.kept + judged.missed + PRIOR)
    return min(exp(STRETCH * max(part - MISSED, 0.0)), MOST_STRETCH)


def middle_by(judged: Judged) -> float:
    """Return the quantile of the futures that is told as p50, by what came true of earlier ones."""
    part = (judged.missed + 0.5 * PRIOR) / (judged.kept + judged.missed + PRIOR)
    return min(0.5 + LATER * max(part - 0.5, 0.0), MOST_LATER)


def standing_clock() -> float:
    """Return 0 always: the forecast is bounded by its futures only."""
    return 0.0


def without_times(code: ReasonCode, kind: ReasonKind | None = None, **values: Any) -> Forecast:
    """Return the forecast of a job of which nothing can be said, and why."""
    return Forecast(None, None, Reason(code=code, kind=kind, **values))


TOO_LITTLE_HISTORY = without_times(ReasonCode.TOO_LITTLE_HISTORY, needed=MIN_OBSERVATIONS)
TOO_FAR = without_times(ReasonCode.TOO_FAR)
MOSTLY_NEVER = without_times(ReasonCode.NEVER)
PAUSED = without_times(ReasonCode.PAUSED)
IMPOSSIBLE = without_times(ReasonCode.IMPOSSIBLE, ReasonKind.FORECAST)


class LineForecast:
    """The forecasts of all jobs of a line, from the same futures."""

    def __init__(self, line: Line, forecasts: Sequence[Forecast]) -> None:
        """Keep the forecast of each job that the line shows."""
        self._line = replace(line, shapes={})  # a forecast is kept; what shapes stand for is not
        self._forecasts = forecasts
        self._index = {job.id: index for index, job in enumerate(line.jobs)}
        self._alike: dict[str | None, list[int]] = {}
        """Digest, or None for all → indexes of such jobs, in order."""
        for index, job in enumerate(line.jobs):
            for digest in (job.digest, None):
                self._alike.setdefault(digest, []).append(index)

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        return 1000 + 700 * len(self._forecasts)

    def knows(self, job_id: int) -> bool:
        """Return whether the job itself was simulated, and not only jobs like it."""
        return job_id in self._index

    @property
    def is_complete(self) -> bool:
        """Whether every job that waited was simulated itself."""
        return self._line.is_complete

    def of(self, job_id: int, rank: int, digest: str) -> Forecast:
        """Return the forecast of a job, perhaps from the jobs like it before and behind it.

        Args:
            job_id: its ID.
            rank: how many jobs go before it now.
            digest: of its shape.
        """
        index = self._index.get(job_id)
        if index is not None:
            return self._forecasts[index]
        alike = self._alike.get(digest) or self._alike.get(None)
        if not alike:
            return TOO_FAR
        position = bisect_left(alike, rank, key=lambda index: self._line.jobs[index].rank)
        before, behind = alike[max(position - 1, 0)], alike[min(position, len(alike) - 1)]
        return self._between(before, behind, rank)

    def _between(self, before: int, behind: int, rank: int) -> Forecast:
        earlier, later = self._forecasts[before], self._forecasts[behind]
        first, last = self._line.jobs[before].rank, self._line.jobs[behind].rank
        part = min(max((rank - first) / (last - first), 0.0), 1.0) if last > first else 0.0
        if earlier.p50 is None or later.p50 is None:
            return earlier if part < 0.5 else later
        p50 = earlier.p50 + part * (later.p50 - earlier.p50)
        if earlier.p90 is None or later.p90 is None:
            return Forecast(p50, None, earlier.why or later.why)
        return Forecast(p50, earlier.p90 + part * (later.p90 - earlier.p90))


def forecast_line(
    snapshot: Snapshot,
    line: Line,
    demands: Mapping[str, Demand] | None = None,
    *,
    targets: Collection[int] | None = None,
    futures: int = FUTURES,
    seed: int = 0,
    clock: Clock = standing_clock,
) -> LineForecast:
    """Forecast the grants of all jobs of a line at once, see `forecast_steps`."""
    return run_all(
        forecast_steps(
            snapshot, line, demands, targets=targets, futures=futures, seed=seed, clock=clock
        )
    )


def forecast_steps(
    snapshot: Snapshot,
    line: Line,
    demands: Mapping[str, Demand] | None = None,
    *,
    targets: Collection[int] | None = None,
    futures: int = FUTURES,
    seed: int = 0,
    clock: Clock = standing_clock,
) -> Steps[LineForecast]:
    """Forecast the grants of all jobs of a line, a pass of a future a step.

    Args:
        snapshot: of the type; its waiting shapes are not used.
        line: the jobs that wait.
        demands: key → demand, of jobs that may come again; those that wait are known.
        targets: IDs of the jobs in question, where that is not all: it saves time.
        futures: how many futures to simulate.
        seed: equal seeds give equal futures, also of lines that differ by one job.
        clock: bounds the time spent, see MAX_SECONDS.
    """
    (forecast,) = yield from compared_steps(
        [(snapshot, line)], demands, targets=targets, futures=futures, seed=seed, clock=clock
    )
    return forecast


def compared_steps(
    sides: Sequence[tuple[Snapshot, Line]],
    demands: Mapping[str, Demand] | None = None,
    *,
    targets: Collection[int] | None = None,
    futures: int = FUTURES,
    seed: int = 0,
    clock: Clock = standing_clock,
    most_seconds: float = MAX_SECONDS,
    is_coarse: bool = False,
) -> Steps[list[LineForecast]]:
    """Forecast the same jobs in several orders, or with several hosts, each future for all of them.

    All see as many futures, and the same ones: a difference comes from the sides, not from chance.
    Arguments are as of `forecast_steps`.

    Args:
        sides: Snapshots and lines of the same jobs.
        most_seconds: Seconds by the clock for all futures together; at least one is simulated.
        is_coarse: Simulate a short line in steps too, as a long one.
    """
    first, known = sides[0][0], _known_of_all(sides)
    tallies = [
        _Tally.of(order, forecasts, targets)
        for (_, order), forecasts in zip(sides, known, strict=True)
    ]
    is_open = any(tally.starts for tally in tallies)
    yield
    scenes: list[Scene] = []
    for side, order in sides if is_open else ():
        if scenes and side is first:
            scenes.append(scenes[0].with_line(order))
        else:
            scenes.append(Scene(side, order, demands or {}, is_coarse=is_coarse))
        yield
    spent, started = 0.0, clock()
    for number in range(futures if scenes else 0):
        for scene, tally in zip(scenes, tallies, strict=True):
            for _ in tally.add_steps(scene.future(seed + number)):
                spent += clock() - started
                yield
                started = clock()
        if spent > most_seconds:
            break
    return [
        tally.forecast(forecasts, _told_by(side))
        for (side, _), tally, forecasts in zip(sides, tallies, known, strict=True)
    ]


def _told_by(snapshot: Snapshot) -> Told:
    return Told(middle_by(snapshot.judged_p50), stretch_by(snapshot.judged))


@dataclass
class _Tally:
    """When the jobs in question of a line start, future by future."""

    line: Line
    starts: dict[int, list[float]]
    """Index of such a job → its starts."""
    cut_short: bool = False

    @classmethod
    def of(cls, line: Line, known: Collection[str], targets: Collection[int] | None) -> _Tally:
        """Count those of a line whose forecast is not known before."""
        return cls(
            line,
            {
                index: []
                for index, job in enumerate(line.jobs)
                if job.digest not in known and (targets is None or job.id in targets)
            },
        )

    def add_steps(self, future: SimulatedFuture) -> Steps[None]:
        """Run a future, and note the starts."""
        is_whole = yield from future.steps(frozenset(self.starts))
        self.cut_short |= not is_whole
        for index, times in self.starts.items():
            times.append(future.starts.get(index, NEVER))
        yield

    def forecast(self, known: Mapping[str, Forecast], told: Told) -> LineForecast:
        """Return the forecasts of all jobs of the line."""
        return LineForecast(
            self.line,
            [
                known[job.digest]
                if job.digest in known
                else _percentiles(self.starts.get(index, ()), self.cut_short, told)
                for index, job in enumerate(self.line.jobs)
            ],
        )


def _known_of_all(sides: Sequence[tuple[Snapshot, Line]]) -> list[Mapping[str, Forecast]]:
    """Return what is known of the jobs on each side without a future; the same for one snapshot."""
    first, line = sides[0]
    known = _known_before(first, line)
    return [known if side is first else _known_before(side, order) for side, order in sides]


def _known_before(snapshot: Snapshot, line: Line) -> Mapping[str, Forecast]:
    """Return the forecasts that need no simulation: digest of the shape → its jobs' forecast."""
    if snapshot.policy.paused:
        return dict.fromkeys(line.shapes, PAUSED)
    empty_hosts = HostTable(snapshot.hosts.values(), free_when_empty)
    is_new = len(snapshot.history) < MIN_OBSERVATIONS
    by_demand: dict[Demand, bool] = {}
    limits, known = snapshot.policy.limits, {}
    for digest, shape in line.shapes.items():
        if shape.demand not in by_demand:
            by_demand[shape.demand] = impossible(empty_hosts, shape.demand) is not None
        if by_demand[shape.demand]:
            known[digest] = IMPOSSIBLE
        elif limits and (never := beyond_limits(limits, shape.owner, shape.demand)):
            # To simulate it would cost the most of all: no future ends before its passes are up.
            known[digest] = Forecast(None, None, never)
        elif snapshot.is_closed(shape):
            known[digest] = _closed(shape)
        elif is_new:
            known[digest] = TOO_LITTLE_HISTORY
    return known


def _closed(shape: Shape) -> Forecast:
    """Return the forecast of jobs whose receiver takes no callbacks now, or missed its offers."""
    kind = ReasonKind.FORECAST
    if shape.destination == OFFER:
        return without_times(ReasonCode.OFFERS_MISSED, kind, owner=shape.owner)
    return without_times(ReasonCode.DESTINATION_CLOSED, kind, destination=shape.destination)


def _percentiles(times: Sequence[float], cut_short: bool, told: Told) -> Forecast:
    """Read p50 and p90 off a job's starts; `cut_short`: some futures ended early.

    As p90 counts the mean of the latest tenth, not the earliest of it: futures spread less than
    what happens. Of the jobs that waited on two logs 79 and 83 % started by the latter, 85 and 87 %
    by the former, at equal pinball loss.
    """
    if not times:
        return TOO_FAR
    starts = sorted(times)
    median = starts[len(starts) // 2]
    latest = starts[int(len(starts) * 0.9) :]
    if median == NEVER:
        return TOO_FAR if cut_short else MOSTLY_NEVER
    middle = starts[int(len(starts) * told.middle)]
    if latest[0] == NEVER:
        code = ReasonCode.TOO_FAR if cut_short else ReasonCode.NEVER
        p50 = median if middle == NEVER else middle
        return Forecast(p50, None, Reason(code=code, kind=ReasonKind.SOMETIMES))
    p90 = fmean(start for start in latest if start < NEVER)
    return Forecast(middle, median + told.stretch * (p90 - median))
