"""The jobs a forecast imagines to arrive: as many as end, like those that ended last."""

from __future__ import annotations

from random import Random

import pytest

from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.planner.forecasting.arrivals import MAX_ARRIVALS
from rq_broker.planner.forecasting.scene import Scene
from rq_broker.planner.forecasting.simulated_jobs import Arrival
from tests.planner.forecasting.lines import FOUR, holds, line_of
from tests.planner.oracle import demand, host, instance, snapshot_of, waiting

HOSTS = [host(f"h{number}", {"VCPU": 4}) for number in range(8)]


def arrivals(
    *ended: Observation, seed: int = 1, running: int = 8, is_coarse: bool = False
) -> list[Arrival]:
    """Draw the arrivals of a type on which so many jobs run and these have ended.

    Those that run will hold as long as the first that ended.
    """
    shapes = [waiting("a", FOUR, 1)]
    snapshot = snapshot_of(
        HOSTS, shapes, holds=holds(*[0.0] * running), history=HoldingTimes(ended)
    )
    scene = Scene(snapshot, line_of(shapes), {}, is_coarse=is_coarse)
    return list(scene.arrivals.draw(Random(seed), [ended[0].seconds] * running))


def test_as_many_jobs_arrive_as_end() -> None:
    """Eight jobs that hold for 100 s on average are followed by one more every 12.5 s."""
    times = [Observation("lab", demand_key(FOUR), 0, seconds) for seconds in (50.0, 150.0)]
    drawn = arrivals(*times)
    assert len(drawn) == MAX_ARRIVALS
    assert drawn[-1].seconds / MAX_ARRIVALS == pytest.approx(12.5, rel=0.05)
    assert [arrival.seconds for arrival in drawn] == sorted(arrival.seconds for arrival in drawn)
    assert {arrival.holding_times for arrival in drawn} == {(50.0,), (150.0,)}


def test_of_a_long_line_one_arrival_stands_for_several() -> None:
    """As many jobs arrive in all, in a number of arrivals that grows with its logarithm."""
    times = [Observation("lab", demand_key(FOUR), 0, seconds) for seconds in (50.0, 150.0)]
    drawn = arrivals(*times, is_coarse=True)[:240]
    assert all(arrival.jobs == 1 for arrival in drawn[:20])
    assert {len(arrival.holding_times) for arrival in drawn[-20:]} == {2}
    counts = [arrival.jobs for arrival in drawn]
    assert sum(counts) > 500_000
    assert drawn[-1].seconds / sum(counts) == pytest.approx(12.5, rel=0.05)


def test_they_are_like_the_jobs_that_ended_last() -> None:
    """They have the demand of a waiting job where that is the same, else one of that size."""
    same = Observation("lab", demand_key(FOUR), 0, 10.0)
    wider = Observation("ops", "unknown", 2, 10.0)
    drawn = arrivals(same, same, same, wider)
    widths = [arrival.kind.needs[0].instances for arrival in drawn]
    assert set(widths) == {1, 5}
    assert widths.count(5) / len(widths) == pytest.approx(0.25, abs=0.03)
    assert {arrival.kind.owner for arrival in drawn} == {"lab", "ops"}


def test_they_say_what_those_jobs_said() -> None:
    """A type whose clients tell how long jobs hold is forecast with new jobs that tell it too."""
    drawn = arrivals(*[Observation("lab", demand_key(FOUR), 0, 10.0, 125.0)] * 3)
    assert {(arrival.kind.prediction.hold, arrival.kind.prediction.span) for arrival in drawn} == {
        (130.0, 130.0)
    }
    assert {arrival.holding_times for arrival in drawn} == {(10.4,), (10.0,)}


def test_nothing_arrives_where_nothing_runs() -> None:
    """A type without running jobs has no rate that could go on."""
    assert arrivals(Observation("lab", demand_key(FOUR), 0, 10.0), running=0) == []


def test_the_same_random_numbers_give_the_same_arrivals() -> None:
    """Arrivals do not depend on what happens meanwhile."""
    times = [Observation("lab", demand_key(FOUR), 0, seconds) for seconds in (1.0, 2.0, 3.0)]

    def drawn() -> list[tuple[float, tuple[float, ...]]]:
        return [(arrival.seconds, arrival.holding_times) for arrival in arrivals(*times, seed=3)]

    assert drawn() == drawn()


def test_a_demand_of_a_size_is_a_part_of_a_host_or_several_hosts() -> None:
    """Where demands differ, an unknown job of 1/8 of a host has one instance, of 4 hosts five."""
    shapes = [waiting("a", FOUR, 1), waiting("b", demand(instance(VCPU=1)), 2)]
    ended = [Observation("x", "?", -2, 5.0), Observation("y", "?", 2, 5.0)]
    snapshot = snapshot_of(HOSTS, shapes, holds=holds(0.0), history=HoldingTimes(ended))
    drawn = Scene(snapshot, line_of(shapes), {}).arrivals.draw(Random(1), [5.0])
    needs = {(need.amounts, need.instances) for arrival in drawn for need in arrival.kind.needs}
    assert needs == {((1,), 1), ((4,), 5)}
