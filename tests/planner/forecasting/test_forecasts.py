"""Forecasts: the same planner run forward, bounded, and honest about what it cannot say."""

from dataclasses import replace
from itertools import count
from random import Random
from statistics import median

import pytest

from rq_broker.domain.policy import Policy
from rq_broker.planner.forecasting.arrivals import Hold
from rq_broker.planner.forecasting.forecasts import (
    MAX_PASSES,
    MAX_SECONDS,
    NEVER,
    forecast,
    forecast_one,
)
from rq_broker.planner.forecasting.hidden_jobs import with_hidden_jobs
from tests.planner.oracle import demand, host, need, waiting, world

FOUR = demand(need(VCPU=4))
HOUR = [3600.0] * 20


def full(*ids, count=None, policy=None, hosts=1):
    places = [host(f"h{n}", {"VCPU": 4}, held={"VCPU": 4}) for n in range(hosts)]
    line = [waiting("a", FOUR, *ids, count=count)]
    return world(places, line, policy=policy or Policy())


def holders(*ages):
    return [Hold({f"h{n}": {"VCPU": 4}}, age, "lab") for n, age in enumerate(ages)]


def test_the_next_job_waits_for_what_is_left_of_the_hold_before_it():
    """With every job holding an hour, and one held for 600 s, the next turn is in 3,000 s."""
    found = forecast_one(full(1), holders(600.0), HOUR, ("a", 0), Random(1))
    assert (found.p50, found.p90, found.reason) == (3000.0, 3000.0, None)


def test_each_job_before_it_adds_a_holding_time():
    """The third in line on one host waits for the rest of one hold and two whole ones."""
    found = forecast_one(full(1, 2, 3), holders(600.0), HOUR, ("a", 2), Random(1))
    assert found.p50 == pytest.approx(3000.0 + 2 * 3600.0, rel=0.05)


def test_a_job_that_fits_now_has_no_wait():
    """A free host means 0 seconds."""
    snapshot = world([host("h0", {"VCPU": 4})], [waiting("a", FOUR, 1)])
    assert forecast_one(snapshot, [], HOUR, ("a", 0), Random(1)).p90 == 0.0


def test_a_job_deeper_than_the_shown_heads_is_imagined_in_its_place():
    """Hidden jobs before the target are filled in, spaced as the shown ones are, none after it."""
    line = with_hidden_jobs(full(10, 20, 30, count=100), "a", 5).waiting[0]
    assert [head.priority for head in line.heads] == [10, 20, 30, 40, 50, 60]
    found = forecast_one(full(10, 20, count=100), holders(0.0), HOUR, ("a", 4), Random(1))
    assert found.p50 == pytest.approx(5 * 3600.0, rel=0.06)


def test_p90_is_later_than_p50_when_holding_times_spread():
    """The spread of the observed times shows in the forecast, and age conditions it."""
    rng = Random(3)
    times = [rng.lognormvariate(5, 1) for _ in range(200)]
    young = forecast_one(full(1), holders(0.0), times, ("a", 0), Random(1), futures=200)
    assert young.p50 is not None
    assert young.p90 is not None
    assert young.p90 > 1.5 * young.p50
    exact = sorted(times)[100]
    assert young.p50 == pytest.approx(exact, rel=0.35)
    short = [1.0] * 50 + [1000.0] * 50
    aged = forecast_one(full(1), holders(2.0), short, ("a", 0), Random(1))
    assert aged.p50 == 998.0


def test_too_little_history_is_said():
    """Fewer than ten observed holding times give no numbers and the reason."""
    found = forecast_one(full(1), holders(1.0), HOUR[:9], ("a", 0), Random(1))
    assert (found.p50, found.p90) == (None, None)
    assert "fewer than 10" in (found.reason or "")


def test_a_turn_that_never_comes_is_said():
    """Impossible, paused, or held by nobody known: no numbers, and why."""
    never = world([host("h0", {"VCPU": 4})], [waiting("a", demand(need(VCPU=5)), 1)])
    assert "never" in (forecast_one(never, [], HOUR, ("a", 0), Random(1)).reason or "")
    paused = full(1, policy=Policy(paused=True))
    assert "paused" in (forecast_one(paused, holders(1.0), HOUR, ("a", 0), Random(1)).reason or "")


def test_a_turn_beyond_the_bound_is_said():
    """A job thousands deep costs no more than the budget and answers that it is too far."""
    deep = full(1, 2, count=1_000_000)
    assert "further" in (
        forecast_one(deep, holders(1.0), HOUR, ("a", 900_000), Random(1)).reason or ""
    )
    far = full(*range(1, 3 * MAX_PASSES))
    found = forecast(far, holders(1.0), HOUR, ("r2999",), Random(1))["r2999"]
    assert "further" in (found.reason or "")


def test_a_name_that_is_no_text_is_forecast_too():
    """What a foreign writer left in Redis does not keep a job from its ETA."""
    shape = waiting("a", FOUR, 1)
    odd = replace(shape, heads=(replace(shape.heads[0], request_id="\udcff"),))
    snapshot = world([host("h0", {"VCPU": 4}, held={"VCPU": 4})], [odd])
    assert forecast_one(snapshot, holders(600.0), HOUR, ("a", 0), Random(1)).p50 == 3000.0


@pytest.mark.parametrize(("tick", "near"), [(0.001, True), (0.3, False)])
def test_a_forecast_ends_when_its_time_is_spent(tick: float, near: bool):
    """By a clock that goes on with each look at it, little is simulated beyond what it allows."""
    looks = count()
    found = forecast(
        full(*range(1, 400)),
        holders(1.0),
        HOUR,
        ("r2", "r399"),
        Random(1),
        clock=lambda: next(looks) * tick,
    )
    assert next(looks) * tick <= 1.1 * MAX_SECONDS + 6 * tick
    assert (found["r2"].p50 is not None) == near
    assert "further" in (found["r399"].reason or "")


def test_an_impossible_job_is_told_so_and_spoils_no_other_forecast():
    """Whose turn never comes is known at once, with any history; others keep their numbers."""
    shapes = [waiting("never", demand(need(VCPU=5)), 1), waiting("a", FOUR, 2)]
    snapshot = world([host("h0", {"VCPU": 4}, held={"VCPU": 4})], shapes)
    for times, p50 in ((HOUR, 3000.0), (HOUR[:9], None)):
        found = forecast(snapshot, holders(600.0), times, ("r1", "r2"), Random(1))
        assert "no host could ever hold it" in (found["r1"].reason or "")
        assert found["r2"].p50 == p50


def test_a_job_that_can_be_passed_waits_for_those_who_will_come():
    """With small jobs coming as fast as they end, best effort lets a gang wait; patience helps."""
    rng = Random(5)
    times = [rng.uniform(50, 150) for _ in range(50)]
    places = [host(f"h{n}", {"VCPU": 4}, held={"VCPU": 4}) for n in range(4)]
    line = holders(0.0, 25.0, 50.0, 75.0)
    gang = [waiting("gang", demand(*[need(VCPU=4)] * 4), 1)]
    longer = []
    for seed in range(9):
        found = {}
        for patience in (None, 200.0, 0.0):
            snapshot = world(places, gang, policy=Policy(patience=patience))
            found[patience] = forecast_one(snapshot, line, times, ("gang", 0), Random(seed))
        assert found[0.0].p90 is not None
        assert found[0.0].p90 <= 150
        assert found[200.0].p50 is not None
        assert 200 <= found[200.0].p50 <= 400
        longer.append((found[None].p50 or NEVER) / found[200.0].p50)
    assert median(longer) > 3


def test_the_forecast_uses_the_planners_own_patience():
    """A gang behind a stream of small jobs goes sooner when patience protects it."""
    rng = Random(5)
    times = [rng.uniform(50, 150) for _ in range(50)]
    gang = waiting("gang", demand(*[need(VCPU=4)] * 4), 1)
    small = waiting("small", FOUR, *range(2, 60))
    places = [host(f"h{n}", {"VCPU": 4}, held={"VCPU": 4}) for n in range(4)]
    waits = {}
    for patience in (0.0, None):
        snapshot = world(places, [gang, small], policy=Policy(patience=patience))
        line = holders(0.0, 10.0, 20.0, 30.0)
        waits[patience] = forecast_one(
            snapshot, line, times, ("gang", 0), Random(1), futures=20
        ).p50
    assert waits[0.0] < 0.5 * waits[None]
