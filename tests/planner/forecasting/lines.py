"""What tests of forecasts need: a line of waiting jobs, and a history of holding times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.jobs import Demand
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Hold, Snapshot, WaitingShape
from rq_broker.planner import Forecast, forecast_line
from tests.planner.oracle import demand, instance

FOUR = demand(instance(VCPU=4))
HOUR = [3600.0] * 20


def line_of(shapes: Iterable[WaitingShape], passed: Mapping[str, float] | None = None) -> Line:
    """Build the line of all the jobs that shapes show; `passed`: request_id → since when."""
    shapes = list(shapes)
    jobs = sorted(
        (head.priority, head.id, head.request_id, shape.digest, head.prefers_until)
        for shape in shapes
        for head in shape.heads
    )
    return Line(
        len(jobs),
        tuple(
            WaitingJob(
                rank, id_, name, priority, digest, (passed or {}).get(name), prefers_until=until
            )
            for rank, (priority, id_, name, digest, until) in enumerate(jobs)
        ),
        {shape.digest: shape.shape for shape in shapes},
    )


def history(
    seconds: Iterable[float], owner: str = "lab", wanted: Demand = FOUR, size: int = 0
) -> HoldingTimes:
    """Build a history of ended jobs of one owner and demand."""
    key = demand_key(wanted)
    return HoldingTimes(Observation(owner, key, size, time) for time in seconds)


def holds(*ages: float, now: float = 1000.0, ends: float = 1e9) -> tuple[Hold, ...]:
    """Build a hold of 4 VCPU of each age, each on a host of its own."""
    return tuple(
        Hold(f"x{n}", "lab", now - age, ends, {f"h{n}": {"VCPU": 4}}) for n, age in enumerate(ages)
    )


def forecasts(
    snapshot: Snapshot, ids: Sequence[int] | None = None, futures: int = 30, seed: int = 0
) -> dict[int, Forecast]:
    """Forecast the jobs of a snapshot that shows them all; returns by ID."""
    line = line_of(snapshot.waiting)
    found = forecast_line(snapshot, line, targets=ids, futures=futures, seed=seed)
    return {job.id: found.of(job.id, job.rank, job.digest) for job in line.jobs}
