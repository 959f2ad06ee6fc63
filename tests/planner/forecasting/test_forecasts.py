"""Forecasts: the line run forward, bounded, and clear about what they cannot say."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from msgspec import structs

from rq_broker.domain.capacity import Host
from rq_broker.domain.figures import Judged
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.jobs import Shape
from rq_broker.domain.line import Line, WaitingJob
from rq_broker.domain.planning import Hold, Promise, Snapshot
from rq_broker.domain.policy import Policy
from rq_broker.planner import forecast_line
from rq_broker.planner.forecasting.forecasts import MAX_SECONDS, MOST_STRETCH
from rq_broker.planner.forecasting.scene import Scene
from rq_broker.planner.forecasting.simulation import SimulatedFuture
from tests.planner.forecasting.lines import FOUR, HOUR, forecasts, history, holds, line_of
from tests.planner.oracle import demand, host, instance, name_of, snapshot_of, waiting


def full_host(number: int = 0) -> Host:
    return host(f"h{number}", {"VCPU": 4}, held={"VCPU": 4})


def queue(*ids: int, policy: Policy | None = None, age: float = 600.0) -> Snapshot:
    """Build a type with one full host and jobs of one shape, `a`, that need all of it."""
    return snapshot_of(
        [full_host()],
        [waiting("a", FOUR, *ids)],
        policy=policy,
        holds=holds(age),
        history=history(HOUR),
    )


# What a forecast says


def test_the_next_job_waits_for_the_rest_of_the_hold_before_it() -> None:
    """If every job holds for an hour and one has held for 600 s, the next turn is in 3,000 s."""
    found = forecasts(queue(1))[1]
    assert (found.p50, found.p90, found.reason) == (3000.0, 3000.0, None)


def test_each_job_before_it_adds_a_holding_time() -> None:
    """The third in the queue of one host waits for the rest of one hold and two whole ones."""
    assert [forecasts(queue(1, 2, 3))[id_].p50 for id_ in (1, 2, 3)] == [3000.0, 6600.0, 10200.0]


def test_a_job_that_fits_now_has_no_wait() -> None:
    """A free host means 0 seconds."""
    shapes = [waiting("a", FOUR, 1)]
    snapshot = snapshot_of([host("h0", {"VCPU": 4})], shapes, history=history(HOUR))
    assert forecasts(snapshot)[1].p90 == 0.0


def test_a_job_that_needs_nothing_starts_at_once() -> None:
    """It fits on full hosts too, and also where nobody needs anything."""
    for shapes in (
        [waiting("a", demand(()), 1)],
        [waiting("a", demand(()), 1), waiting("b", FOUR, 2)],
    ):
        found = forecasts(replace(queue(), waiting=tuple(shapes)))
        assert found[1].p90 == 0.0


def test_a_forecast_ages() -> None:
    """Some seconds later it says so many seconds less, and never less than none."""
    found = forecasts(queue(1))[1]
    assert (found.after(1000.0).p50, found.after(4000.0).p90) == (2000.0, 0.0)


def test_p90_is_later_than_p50_when_holding_times_spread() -> None:
    """The spread of the observed times shows in the forecast, and a hold's age conditions it."""
    rng = Random(3)
    times = [rng.lognormvariate(5, 1) for _ in range(200)]
    young = forecasts(replace(queue(1, age=0.0), history=history(times)), futures=200)[1]
    assert young.p50 is not None
    assert young.p90 is not None
    assert young.p90 > 1.5 * young.p50
    short = history([1.0] * 10 + [1000.0] * 10)
    assert forecasts(replace(queue(1, age=2.0), history=short))[1].p50 == 998.0


def test_p90_moves_away_from_p50_where_more_than_a_tenth_of_those_before_were_missed() -> None:
    """Up to a tenth, and after a single miss, it is what the futures say; p50 stays in any case."""
    rng = Random(3)
    times = [rng.lognormvariate(5, 1) for _ in range(200)]

    def after(kept: int, missed: int) -> tuple[float, float]:
        snapshot = replace(queue(1), history=history(times), judged=Judged(kept, missed))
        found = forecasts(snapshot)[1]
        assert found.p50 is not None
        assert found.p90 is not None
        return found.p50, found.p90 - found.p50

    p50, spread = after(0, 0)
    assert after(90, 10) == after(900, 10) == (p50, spread)
    assert after(60, 40)[0] == p50
    assert after(60, 40)[1] == after(0, 10_000)[1] == pytest.approx(MOST_STRETCH * spread)
    assert spread < after(0, 1)[1] < after(80, 20)[1] < after(75, 25)[1] < MOST_STRETCH * spread


def test_p50_moves_later_where_more_than_half_of_those_before_were_missed() -> None:
    """It becomes a later quantile of the futures, up to the 70 % one; p90 stays in any case."""
    times = [float(seconds) for seconds in range(1000, 2000)]

    def after(kept: int, missed: int) -> tuple[float, float]:
        snapshot = replace(queue(1), history=history(times), judged_p50=Judged(kept, missed))
        found = forecasts(snapshot, futures=100)[1]
        assert found.p50 is not None
        assert found.p90 is not None
        return found.p50, found.p90

    p50, p90 = after(0, 0)
    assert after(900, 100) == after(500, 500) == (p50, p90)
    later = [after(1000 - missed, missed) for missed in (540, 580, 650, 1000)]
    assert p50 < later[0][0] < later[1][0] < later[2][0] == later[3][0] < p90
    assert {p90 for _, p90 in later} == {p90}
    assert after(0, 1)[0] <= later[0][0]


def test_holding_times_are_those_of_the_same_owner() -> None:
    """Behind a job whose owner holds for a minute the wait is a minute, not that of all jobs."""
    times = [Observation("quick", "", 0, 60.0)] * 20 + [Observation("slow", "", 0, 6000.0)] * 20
    waits = []
    for owner in ("quick", "slow"):
        shapes = [waiting("a", FOUR, 1, owner=owner), waiting("b", FOUR, 2)]
        snapshot = snapshot_of([host("h0", {"VCPU": 4})], shapes, history=HoldingTimes(times))
        waits.append(forecasts(snapshot)[2].p50)
    assert waits == [60.0, 6000.0]


def test_hosts_kept_for_a_late_job_are_nobody_elses() -> None:
    """Of two short jobs, one takes the host that is not kept, and the other waits for it."""
    one = demand(instance(VCPU=1))
    gang = waiting("gang", demand(*[instance(VCPU=1)] * 3), 1)
    hosts = [host(name, {"VCPU": 1}) for name in ("h1", "h4")]
    hosts += [host(name, {"VCPU": 1}, held={"VCPU": 1}) for name in ("h2", "h3")]
    key = demand_key(one)
    times = [Observation("quick", key, 0, 100.0), Observation("lab", key, 0, 1000.0)] * 20
    snapshot = snapshot_of(
        hosts,
        [gang, waiting("small", one, 2, 3, owner="quick")],
        policy=Policy(patience=0.0),
        history=HoldingTimes(times),
        holds=(Hold("x", "lab", 500.0, 1500.0, {"h2": {"VCPU": 1}, "h3": {"VCPU": 1}}, key),),
    )
    promise = Promise(1, name_of(1), -20_000.0, -20_001.0, frozenset({"h1", "h2", "h3"}))
    waits = [
        [found.p50 for found in forecasts(replace(snapshot, promises=promises)).values()]
        for promises in ((), (promise,))
    ]
    assert waits == [[500.0, 0.0, 0.0], [500.0, 0.0, 100.0]]


def test_what_a_job_says_counts_in_proportion_to_what_became_of_it() -> None:
    """Where jobs held a quarter of what they said, one that says an hour is drawn as 15 minutes."""
    ended = [Observation("lab", "", 0, said / 4, said) for said in (400.0, 8000.0) * 40]
    shape = waiting("a", FOUR, 1)
    says = replace(shape, shape=Shape(FOUR, "lab", "", 3600))
    snapshot = snapshot_of(
        [host("h0", {"VCPU": 4})], [says, waiting("b", FOUR, 2)], history=HoldingTimes(ended)
    )
    assert forecasts(snapshot)[2].p50 == 900.0
    silent = replace(snapshot, waiting=(shape, *snapshot.waiting[1:]))
    assert forecasts(silent)[2].p50 in (100.0, 2000.0)


def test_a_job_that_can_be_passed_waits_for_jobs_that_arrive() -> None:
    """While small jobs arrive as fast as they end, best effort lets a gang wait; a reservation
    does not.
    """
    rng = Random(5)
    times = [rng.uniform(50, 150) for _ in range(50)]
    hosts = [full_host(n) for n in range(4)]
    gang = [waiting("gang", demand(*[instance(VCPU=4)] * 4), 1)]
    p50s = []
    for policy in (Policy(patience=None), Policy(patience=0.0)):
        snapshot = snapshot_of(
            hosts,
            gang,
            policy=policy,
            holds=holds(0.0, 25.0, 50.0, 75.0, ends=1150.0),
            history=history(times),
        )
        p50s.append(forecasts(snapshot)[1].p50 or float("inf"))
    best_effort, reserved = p50s
    assert reserved <= 400
    assert best_effort > 3 * reserved


def test_a_job_that_was_not_simulated_lies_between_those_like_it() -> None:
    """A job that came later, or one of a sample's gaps, has the ETA of its neighbours in rank."""
    jobs = tuple(WaitingJob(rank, rank + 1, f"r{rank + 1}", 0, "a") for rank in (0, 2))
    snapshot = queue()
    found = forecast_line(snapshot, Line(3, jobs, {"a": waiting("a", FOUR).shape}))
    assert [found.knows(id_) for id_ in (1, 2, 3)] == [True, False, True]
    between, behind = found.of(2, 1, "a"), found.of(3, 2, "a")
    assert behind.p50 is not None
    assert between.p50 == pytest.approx((3000.0 + behind.p50) / 2)
    assert found.of(9, 100, "a") == behind
    assert found.of(9, 0, "unknown") == found.of(1, 0, "a")
    assert "further" in (forecast_line(snapshot, Line(0)).of(1, 0, "a").reason or "")


# What it cannot say


def test_too_little_history_is_the_reason_for_no_forecast() -> None:
    """Fewer than ten observed holding times give no numbers, and the reason."""
    found = forecasts(replace(queue(1), history=history(HOUR[:9])))[1]
    assert (found.p50, found.p90) == (None, None)
    assert "fewer than 10" in (found.reason or "")


def test_a_turn_that_never_comes_is_said_to_be_so() -> None:
    """Impossible jobs, paused types and closed destinations have no numbers, each its reason."""
    shapes = [
        waiting("never", demand(instance(VCPU=5)), 1),
        waiting("closed", FOUR, 2, destination="http://gone"),
        waiting("a", FOUR, 3),
    ]
    snapshot = replace(queue(), waiting=tuple(shapes), closed=frozenset({"http://gone lab"}))
    found = forecasts(snapshot)
    assert "no host could ever hold it" in (found[1].reason or "")
    assert "callbacks" in (found[2].reason or "")
    assert found[3].p50 == 3000.0
    paused = forecasts(queue(1, policy=Policy(paused=True)))[1]
    assert "paused" in (paused.reason or "")


def test_a_job_beyond_its_owners_limit_never_starts() -> None:
    """Its forecast says which limit it is, without a future for it; others are not held up."""
    shapes = [waiting("a", FOUR, 1, owner="small"), waiting("b", FOUR, 2)]
    policy = Policy(limits={"small": {"VCPU": 3}})
    snapshot = replace(queue(policy=policy), waiting=tuple(shapes))
    found = forecasts(snapshot)
    assert "its owner small may hold 3 at most" in (found[1].reason or "")
    assert found[2].p50 == 3000.0
    assert forecasts(snapshot, ids=[1], futures=0)[1] == found[1]


@pytest.mark.parametrize(("tick", "futures"), [(0.0, 30), (0.1, 21), (3.0, 1)])
def test_a_forecast_ends_when_its_time_is_spent(
    tick: float, futures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that goes on with each future none begins after the time allowed."""
    begun, begin, snapshot = list[int](), Scene.future, queue(1)

    def future(scene: Scene, seed: int) -> SimulatedFuture:
        begun.append(seed)
        return begin(scene, seed)

    monkeypatch.setattr(Scene, "future", future)
    line = line_of(snapshot.waiting)
    found = forecast_line(snapshot, line, clock=lambda: len(begun) * tick)
    assert len(begun) == futures
    assert (futures - 1) * tick <= MAX_SECONDS
    assert found.of(1, 0, "a").p50 == 3000.0


def test_a_name_that_is_no_text_has_a_forecast_too() -> None:
    """What a foreign writer left in Redis does not keep a job from its forecast."""
    shape = waiting("a", FOUR, 1)
    odd = replace(shape, heads=(structs.replace(shape.heads[0], request_id="\udcff"),))
    assert forecasts(replace(queue(), waiting=(odd,)))[1].p50 == 3000.0


# Long lines


def test_a_long_line_agrees_with_the_same_line_in_full() -> None:
    """Jobs that stand for many start about when the simulation of each one says."""
    hosts = [full_host(n) for n in range(20)]
    snapshot = snapshot_of(
        hosts,
        (),
        holds=holds(*[30.0 * n for n in range(20)], ends=1300.0),
        history=history([600.0] * 20),
    )
    shapes = {"a": waiting("a", FOUR).shape}
    jobs = [WaitingJob(rank, rank + 1, f"r{rank}", 0, "a") for rank in range(1500)]
    sample = [
        replace(job, weight=1 if job.rank < 300 else 20)
        for job in jobs
        if job.rank < 300 or job.rank % 20 == 0
    ]
    full = forecast_line(snapshot, Line(1500, tuple(jobs), shapes), futures=3)
    sampled = forecast_line(snapshot, Line(1500, tuple(sample), shapes), futures=3)
    for rank in (100, 299, 500, 800, 1480):
        assert sampled.of(rank + 1, rank, "a").p50 == pytest.approx(
            full.of(rank + 1, rank, "a").p50, rel=0.06
        )


def test_who_is_passed_in_a_long_line_waits_for_arrivals_too() -> None:
    """A job of a whole host, passed by small ones for ever, waits for the fragments they leave."""
    one, rng = demand(instance(VCPU=1)), Random(1)
    held = [(n, rng.uniform(0, 100), {f"h{n % 4}": {"VCPU": 1}}) for n in range(16)]
    snapshot = snapshot_of(
        [full_host(n) for n in range(4)],
        (),
        policy=Policy(patience=None),
        holds=tuple(Hold(f"x{n}", "lab", 1000 - age, 1e9, where) for n, age, where in held),
        history=history([rng.expovariate(0.01) for _ in range(100)], wanted=one, size=-2),
    )
    shapes = {"one": waiting("one", one).shape, "whole": waiting("whole", FOUR).shape}
    first = WaitingJob(0, 1, "r0", 0, "whole", 900.0)
    jobs = [first, *(WaitingJob(n, n + 1, f"r{n}", 0, "one") for n in range(1, 81))]
    sample = [*jobs[:11], *(replace(job, weight=10) for job in jobs[11::10])]
    full, sampled = (
        forecast_line(snapshot, Line(81, tuple(shown), shapes), targets=[1]).of(1, 0, "whole")
        for shown in (jobs, sample)
    )
    assert sampled.p50 == pytest.approx(full.p50, rel=0.4)


def test_a_million_jobs_on_few_hosts_take_few_passes() -> None:
    """Where many jobs follow each other within a step, they are counted and not simulated."""
    snapshot = queue()
    jobs = [WaitingJob(10_000 * n, n + 1, f"r{n}", 0, "a", None, 10_000) for n in range(100)]
    line = Line(1_000_000, tuple(jobs), {"a": waiting("a", FOUR).shape})
    found = forecast_line(snapshot, line, futures=1)
    assert found.of(100, 990_000, "a").p50 == pytest.approx(990_000 * 3600.0, rel=0.1)
