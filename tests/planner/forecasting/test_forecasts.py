"""Forecasts: the same planner run forward, bounded, and clear about what it cannot say."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from random import Random
from statistics import median

import pytest

from rq_broker.domain.capacity import Host
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.planner import Forecast, Hold, forecast, forecast_one
from rq_broker.planner.forecasting.forecasts import MAX_PASSES, MAX_SECONDS, NEVER
from rq_broker.planner.forecasting.hidden_jobs import with_hidden_jobs
from tests.planner.oracle import demand, host, instance, snapshot_of, waiting

FOUR = demand(instance(VCPU=4))
HOUR = [3600.0] * 20


def full_host(number: int = 0) -> Host:
    return host(f"h{number}", {"VCPU": 4}, held={"VCPU": 4})


def queue(*ids: int, count: int | None = None, policy: Policy | None = None) -> Snapshot:
    """Build a type with one full host and jobs of one shape, `a`, that need all of it."""
    return snapshot_of([full_host()], [waiting("a", FOUR, *ids, count=count)], policy=policy)


def holds(*ages: float) -> list[Hold]:
    """Build a hold of each age, each of a host of its own."""
    return [Hold({f"h{n}": {"VCPU": 4}}, age, "lab") for n, age in enumerate(ages)]


def reason_of(forecast: Forecast) -> str:
    return forecast.reason or ""


# What a forecast says


def test_the_next_job_waits_for_the_rest_of_the_hold_before_it() -> None:
    """If every job holds for an hour and one has held for 600 s, the next turn is in 3,000 s."""
    found = forecast_one(queue(1), holds(600.0), HOUR, ("a", 0), Random(1))
    assert (found.p50, found.p90, found.reason) == (3000.0, 3000.0, None)


def test_each_job_before_it_adds_a_holding_time() -> None:
    """The third in the queue of one host waits for the rest of one hold and two whole ones."""
    found = forecast_one(queue(1, 2, 3), holds(600.0), HOUR, ("a", 2), Random(1))
    assert found.p50 == pytest.approx(3000.0 + 2 * 3600.0, rel=0.05)


def test_a_job_that_fits_now_has_no_wait() -> None:
    """A free host means 0 seconds."""
    snapshot = snapshot_of([host("h0", {"VCPU": 4})], [waiting("a", FOUR, 1)])
    assert forecast_one(snapshot, [], HOUR, ("a", 0), Random(1)).p90 == 0.0


def test_a_job_deeper_than_the_shown_heads_is_imagined_in_its_place() -> None:
    """Hidden jobs before the target are filled in, spaced as the shown ones are; none after it."""
    filled = with_hidden_jobs(queue(10, 20, 30, count=100), "a", 5).waiting[0]
    assert [head.priority for head in filled.heads] == [10, 20, 30, 40, 50, 60]
    found = forecast_one(queue(10, 20, count=100), holds(0.0), HOUR, ("a", 4), Random(1))
    assert found.p50 == pytest.approx(5 * 3600.0, rel=0.06)


def test_p90_is_later_than_p50_when_holding_times_spread() -> None:
    """The spread of the observed times shows in the forecast, and a hold's age conditions it."""
    rng = Random(3)
    times = [rng.lognormvariate(5, 1) for _ in range(200)]
    young = forecast_one(queue(1), holds(0.0), times, ("a", 0), Random(1), futures=200)
    assert young.p50 is not None
    assert young.p90 is not None
    assert young.p90 > 1.5 * young.p50
    assert young.p50 == pytest.approx(sorted(times)[100], rel=0.35)
    short = [1.0] * 50 + [1000.0] * 50
    assert forecast_one(queue(1), holds(2.0), short, ("a", 0), Random(1)).p50 == 998.0


def test_a_job_that_can_be_passed_waits_for_jobs_that_arrive() -> None:
    """While small jobs arrive as fast as they end, best effort lets a gang wait; patience helps."""
    rng = Random(5)
    times = [rng.uniform(50, 150) for _ in range(50)]
    hosts, held = [full_host(n) for n in range(4)], holds(0.0, 25.0, 50.0, 75.0)
    gang = [waiting("gang", demand(*[instance(VCPU=4)] * 4), 1)]
    ratios = []
    for seed in range(9):
        best_effort, patient, strict = (
            forecast_one(
                snapshot_of(hosts, gang, policy=Policy(patience=patience)),
                held,
                times,
                ("gang", 0),
                Random(seed),
            )
            for patience in (None, 200.0, 0.0)
        )
        assert strict.p90 is not None
        assert strict.p90 <= 150
        assert patient.p50 is not None
        assert 200 <= patient.p50 <= 400
        ratios.append((best_effort.p50 or NEVER) / patient.p50)
    assert median(ratios) > 3


def test_the_forecast_uses_the_planners_own_patience() -> None:
    """A gang behind a stream of small jobs starts sooner when patience protects it."""
    rng = Random(5)
    times = [rng.uniform(50, 150) for _ in range(50)]
    gang = waiting("gang", demand(*[instance(VCPU=4)] * 4), 1)
    small = waiting("small", FOUR, *range(2, 60))
    hosts, held = [full_host(n) for n in range(4)], holds(0.0, 10.0, 20.0, 30.0)
    waits = []
    for patience in (0.0, None):
        snapshot = snapshot_of(hosts, [gang, small], policy=Policy(patience=patience))
        found = forecast_one(snapshot, held, times, ("gang", 0), Random(1), futures=20)
        waits.append(found.p50 or NEVER)
    assert waits[0] < 0.5 * waits[1] < NEVER


# What it cannot say


def test_too_little_history_is_the_reason_for_no_forecast() -> None:
    """Fewer than ten observed holding times give no numbers, and the reason."""
    found = forecast_one(queue(1), holds(1.0), HOUR[:9], ("a", 0), Random(1))
    assert (found.p50, found.p90) == (None, None)
    assert "fewer than 10" in reason_of(found)


def test_a_turn_that_never_comes_is_said_to_be_so() -> None:
    """An impossible job and a paused type have no numbers, and each its reason."""
    impossible = snapshot_of([host("h0", {"VCPU": 4})], [waiting("a", demand(instance(VCPU=5)), 1)])
    assert "never" in reason_of(forecast_one(impossible, [], HOUR, ("a", 0), Random(1)))
    paused = queue(1, policy=Policy(paused=True))
    assert "paused" in reason_of(forecast_one(paused, holds(1.0), HOUR, ("a", 0), Random(1)))


def test_a_turn_beyond_the_budget_is_said_to_be_too_far() -> None:
    """A job behind thousands costs no more than the budget."""
    deep = queue(1, 2, count=1_000_000)
    found = forecast_one(deep, holds(1.0), HOUR, ("a", 900_000), Random(1))
    assert "further" in reason_of(found)
    far = queue(*range(1, 3 * MAX_PASSES))
    assert "further" in reason_of(forecast(far, holds(1.0), HOUR, ("r2999",), Random(1))["r2999"])


@pytest.mark.parametrize(("tick", "near_has_forecast"), [(0.001, True), (0.3, False)])
def test_a_forecast_ends_when_its_time_is_spent(tick: float, near_has_forecast: bool) -> None:
    """With a clock that goes on at each reading, little is simulated beyond what it allows."""
    readings = count()
    found = forecast(
        queue(*range(1, 400)),
        holds(1.0),
        HOUR,
        ("r2", "r399"),
        Random(1),
        clock=lambda: next(readings) * tick,
    )
    assert next(readings) * tick <= 1.1 * MAX_SECONDS + 6 * tick
    assert (found["r2"].p50 is not None) == near_has_forecast
    assert "further" in reason_of(found["r399"])


def test_an_impossible_job_spoils_no_other_forecast() -> None:
    """It is known at once with any history; the other jobs keep their numbers."""
    shapes = [waiting("never", demand(instance(VCPU=5)), 1), waiting("a", FOUR, 2)]
    snapshot = snapshot_of([full_host()], shapes)
    for times, p50 in ((HOUR, 3000.0), (HOUR[:9], None)):
        found = forecast(snapshot, holds(600.0), times, ("r1", "r2"), Random(1))
        assert "no host could ever hold it" in reason_of(found["r1"])
        assert found["r2"].p50 == p50


def test_a_name_that_is_no_text_has_a_forecast_too() -> None:
    """What a foreign writer left in Redis does not keep a job from its forecast."""
    shape = waiting("a", FOUR, 1)
    odd = replace(shape, heads=(replace(shape.heads[0], request_id="\udcff"),))
    snapshot = snapshot_of([full_host()], [odd])
    assert forecast_one(snapshot, holds(600.0), HOUR, ("a", 0), Random(1)).p50 == 3000.0
