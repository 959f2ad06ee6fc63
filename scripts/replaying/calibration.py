"""Forecasts made while a log is replayed, and how well they fit what happened."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from replaying.comparison import Cluster
from replaying.counting import Estimate
from replaying.jobs import Job, Starts, replay
from replaying.planned import PlannedCluster, gang, hosts_of
from rq_broker.domain.figures import Judged
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.planner import Forecast, forecast_line

CLASSES = {"1": 1, "2–4": 4, "5–8": 8, "9–16": 16, "17–32": 32, "> 32": 10**9}
"""Size class → the most processors its jobs have."""
RECENT_WAITS = 200
"""Waits of a size class of which the baseline takes the quantile."""
ALL_HEADS = 10**9

AT_ONCE = Forecast(0.0, 0.0)
"""Of a job that starts when it is submitted: it needs no simulation."""


class ForecastingCluster(PlannedCluster):
    """Forecasts some jobs right after they were submitted, if they do not start at once."""

    def __init__(self, cluster: Cluster, policy: Policy, estimate: Estimate | None) -> None:
        super().__init__(hosts_of(cluster.hosts, cluster.cpus), policy, gang, estimate)
        self.forecasts: dict[Job, Forecast] = {}
        self._told: dict[Job, tuple[float, float]] = {}
        """Job that waits → when its p50 and its p90 end."""
        self._judged = [Judged(), Judged()]
        """Of both."""
        self.seconds = list[float]()
        """CPU that each simulation took."""
        self._sampled: Collection[Job] = ()
        self._new: list[Job] = []

    def sample(self, jobs: Iterable[Job]) -> None:
        """Say which jobs to forecast."""
        self._sampled = frozenset(jobs)

    def arrive(self, job: Job) -> None:
        """Put a job at the end of the line."""
        super().arrive(job)
        if job in self._sampled:
            self._new.append(job)

    def start(self, now: float) -> list[Job]:
        """Run admission passes, then forecast the new jobs that wait."""
        started = super().start(now)
        for job in started:
            for number, ends in enumerate(self._told.pop(job, ())):
                self._judged[number] += Judged(kept=now <= ends, missed=now > ends)
        for job in self._new:
            self.forecasts[job] = AT_ONCE if job in started else self._forecast(job, now)
        self._new = []
        return started

    def _forecast(self, job: Job, now: float) -> Forecast:
        (id_,) = (id_ for id_, waiting in self._jobs.items() if waiting is job)
        p50, p90 = self._judged
        snapshot = replace(self._snapshot(now, ALL_HEADS), judged_p50=p50, judged=p90)
        began = time.thread_time()
        found = forecast_line(snapshot, line_of(snapshot), targets=[id_], seed=id_)
        self.seconds.append(time.thread_time() - began)
        forecast = found.of(id_, 0, "")
        if forecast.p50 is not None and forecast.p90 is not None:
            self._told[job] = now + forecast.p50, now + forecast.p90
        return forecast


def line_of(snapshot: Snapshot) -> Line:
    """Return the line of a snapshot that shows every job."""
    jobs = sorted(
        (head.priority, head.id, head.request_id, shape.digest)
        for shape in snapshot.waiting
        for head in shape.heads
    )
    return Line(
        len(jobs),
        tuple(
            WaitingJob(rank, id_, name, priority, digest, snapshot.passed.get(name))
            for rank, (priority, id_, name, digest) in enumerate(jobs)
        ),
        {shape.digest: shape.shape for shape in snapshot.waiting},
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A forecast, a baseline, and what happened; seconds."""

    size: str
    """The job's size class."""
    wait: float
    p50: float
    p90: float
    baseline_p50: float
    baseline_p90: float
    """Quantiles of the last waits of its size class."""


def replay_with_forecasts(
    jobs: Sequence[Job], every: int, cluster: ForecastingCluster
) -> tuple[Starts, list[Outcome]]:
    """Replay jobs, of which one in `every` is forecast.

    Returns: all starts, and the outcomes of the forecasts that have a p90 and a baseline.
    """
    cluster.sample(jobs[::every])
    starts = replay(jobs, cluster)
    return starts, outcomes(jobs, starts, cluster.forecasts)


def outcomes(
    jobs: Sequence[Job], starts: Starts, forecasts: Mapping[Job, Forecast]
) -> list[Outcome]:
    """Compare forecasts with the waits, and with the last waits known at each submit."""
    ended = deque(sorted(starts.items(), key=lambda start: start[1]))
    recent = {size: deque[float](maxlen=RECENT_WAITS) for size in CLASSES}
    found = []
    for job in jobs:
        while ended and ended[0][1] < job.submitted:
            other, start = ended.popleft()
            recent[size_of(other)].append(start - other.submitted)
        forecast, waits = forecasts.get(job), sorted(recent[size_of(job)])
        if forecast and forecast.p50 is not None and forecast.p90 is not None and waits:
            found.append(
                Outcome(
                    size_of(job),
                    starts[job] - job.submitted,
                    forecast.p50,
                    forecast.p90,
                    quantile(waits, 0.5),
                    quantile(waits, 0.9),
                )
            )
    return found


def size_of(job: Job) -> str:
    """Return the size class of a job."""
    return next(size for size, most in CLASSES.items() if job.processors <= most)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value that `part` of the sorted values do not exceed."""
    return values[min(int(len(values) * part), len(values) - 1)]


def pinball(wait: float, forecast: float, part: float) -> float:
    """Return the pinball loss: the least, on average, for the true quantile `part`."""
    return part * (wait - forecast) if wait > forecast else (1 - part) * (forecast - wait)


def pinball_row(label: str, found: Sequence[Outcome], value: Callable[[float], str]) -> list[str]:
    """Return the cells of one line: how many were in time, and the losses beside the baseline's."""
    cells = [label, f"{len(found):,}"]
    for part, name in ((0.5, "p50"), (0.9, "p90")):
        within = fmean(outcome.wait <= getattr(outcome, name) + 1 for outcome in found)
        ours, baseline = (
            fmean(pinball(outcome.wait, getattr(outcome, field), part) for outcome in found)
            for field in (name, f"baseline_{name}")
        )
        ratio = f"{ours / baseline:.2f}" if baseline else "–"
        cells += [f"{within:.0%}", f"{value(ours)} / {value(baseline)}", ratio]
    return cells
