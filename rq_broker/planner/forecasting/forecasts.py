"""Forecasts: the spread of many simulated futures, within a budget of passes and of time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from rq_broker.domain.planning import Snapshot
from rq_broker.planner.capacity_reasons import impossible
from rq_broker.planner.forecasting.arrivals import ArrivalModel, Hold
from rq_broker.planner.forecasting.hidden_jobs import with_hidden_jobs
from rq_broker.planner.forecasting.simulation import SimulatedFuture
from rq_broker.planner.packing.host_table import HostTable, free_when_empty

MIN_OBSERVATIONS = 10
"""Observed holding times a forecast needs: with fewer its p90 would be the largest of a handful."""
MAX_PASSES = 1000
"""Passes one forecast may run, all futures together: bounds its cost on any clock."""
MAX_SECONDS = 2.0
"""Seconds by its clock one forecast may take, all futures together: a request waits for it, and one
process makes one forecast at a time. With less, far turns have no forecast."""
FUTURES = 40
"""Futures a forecast simulates if the budget lasts: 4 of them lie beyond the p90. Fewer make p90
jump from call to call."""
OVERDRAFT = 4
"""How many times its even part of the budget one future may use, so that a far turn is simulated at
least FUTURES / OVERDRAFT times."""
NEVER = float("inf")

Clock = Callable[[], float]
"""Returns seconds spent; only differences matter."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds until a job is granted, in half and in nine of ten simulated futures at most.

    None, with the reason, where the simulation cannot say; p50 may be known when p90 is not.
    """

    p50: float | None
    p90: float | None
    reason: str | None = None


def standing_clock() -> float:
    """Return 0 always: the forecast is bounded by passes only."""
    return 0.0


TOO_LITTLE_HISTORY = Forecast(
    None, None, f"fewer than {MIN_OBSERVATIONS} jobs of this type have finished"
)
TOO_FAR = Forecast(None, None, "its turn is further away than the simulation reaches")
MOSTLY_NEVER = Forecast(None, None, "in most simulated futures its turn never comes")
PAUSED = Forecast(None, None, "grants are paused for this type")
IMPOSSIBLE = Forecast(None, None, "its turn never comes: no host could ever hold it")


def forecast_one(
    snapshot: Snapshot,
    holds: Sequence[Hold],
    holding_times: Sequence[float],
    target: tuple[str, int],
    rng: Random,
    *,
    futures: int = FUTURES,
    clock: Clock = standing_clock,
) -> Forecast:
    """Forecast the grant of one job, shown or hidden.

    Args:
        target: the digest of the job's shape, and how many jobs of that shape go before it.
    The others are those of `forecast`.
    """
    digest, index = target
    filled = with_hidden_jobs(snapshot, digest, index)
    waiting = next((shape for shape in filled.waiting if shape.digest == digest), None)
    if waiting is None or index >= len(waiting.heads):
        return TOO_FAR
    request_id = waiting.heads[index].request_id
    forecasts = forecast(
        filled, holds, holding_times, (request_id,), rng, futures=futures, clock=clock
    )
    return forecasts[request_id]


def forecast(
    snapshot: Snapshot,
    holds: Sequence[Hold],
    holding_times: Sequence[float],
    targets: Sequence[str],
    rng: Random,
    *,
    futures: int = FUTURES,
    clock: Clock = standing_clock,
) -> dict[str, Forecast]:
    """Forecast the grants of several jobs, all from the same simulated futures.

    Args:
        holds: what jobs hold now.
        holding_times: observed seconds from grant to release of jobs of this type.
        targets: request_ids of shown jobs.
        futures: how many futures to simulate.
        clock: bounds the time spent, see MAX_SECONDS.
    """
    if snapshot.policy.paused:
        return dict.fromkeys(targets, PAUSED)
    empty_hosts = HostTable(snapshot.hosts.values(), free_when_empty)
    impossible_targets = _impossible(snapshot, empty_hosts, targets)
    possible = frozenset(targets) - impossible_targets
    forecasts = dict.fromkeys(impossible_targets, IMPOSSIBLE)
    if len(holding_times) < MIN_OBSERVATIONS:
        return forecasts | dict.fromkeys(possible, TOO_LITTLE_HISTORY)
    sorted_times, passes, cut_short = sorted(holding_times), 0, False
    starts = list[Mapping[str, float]]()
    arrivals, deadline = ArrivalModel(snapshot, holds, sorted_times), clock() + MAX_SECONDS
    while possible and len(starts) < futures and passes < MAX_PASSES and clock() < deadline:
        arriving = arrivals.draw(_independent(rng))
        future = SimulatedFuture(
            snapshot, holds, sorted_times, arriving, rng, empty_hosts=empty_hosts
        )
        cut_short |= not future.run(possible, _budget_of_one(futures, clock))
        passes += future.passes
        starts.append(future.starts)
    for name in possible:
        forecasts[name] = _percentiles([start.get(name, NEVER) for start in starts], cut_short)
    return forecasts


def _budget_of_one(futures: int, clock: Clock) -> Callable[[int], bool]:
    """Return a test whether one future has used up its budget, given its passes so far."""
    max_passes = MAX_PASSES * OVERDRAFT // futures
    deadline = clock() + MAX_SECONDS * OVERDRAFT / futures
    return lambda passes: passes >= max_passes or clock() > deadline


def _impossible(
    snapshot: Snapshot, empty_hosts: HostTable, targets: Collection[str]
) -> frozenset[str]:
    """Return the targets that no host could ever hold: no future need be simulated for them."""
    names = set[str]()
    for waiting in snapshot.waiting:
        shown_targets = {head.request_id for head in waiting.heads}.intersection(targets)
        if shown_targets and impossible(empty_hosts, waiting.shape.demand):
            names |= shown_targets
    return frozenset(names)


def _percentiles(starts: list[float], cut_short: bool) -> Forecast:
    """Read p50 and p90 off a job's starts; `cut_short`: the budget ended some futures."""
    starts.sort()
    p50, p90 = (starts[min(int(len(starts) * part), len(starts) - 1)] for part in (0.5, 0.9))
    if p50 == NEVER:
        return TOO_FAR if cut_short else MOSTLY_NEVER
    if p90 == NEVER:
        outcome = "is too far away to simulate" if cut_short else "never comes"
        return Forecast(p50, None, f"in some simulated futures its turn {outcome}")
    return Forecast(p50, p90)


def _independent(rng: Random) -> Random:
    """Return a random stream of its own: how much is drawn from it does not shift the other."""
    return Random(rng.getrandbits(64))
