"""Draws of holding times: from the narrowest history that says enough, alike within an owner."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from rq_broker.domain.holding_times import RECENT, HoldingTimes, Observation, likeness_keys
from rq_broker.planner.forecasting.holding_draws import (
    DOUBT,
    LEAST_TAIL,
    REPEATED,
    SURPRISE,
    HoldingDraws,
)
from rq_broker.planner.forecasting.like_jobs import JobsByLikeness, LikeJobs

OWN, TYPE = LikeJobs([1.0, 2.0, 3.0, 4.0]), LikeJobs([100.0])


def test_draws_come_from_the_narrowest_history_that_is_long_enough() -> None:
    """Four of five doubts are overcome by four values; the rest, and surprises, are the type's."""
    draws = HoldingDraws(Random(1))
    drawn = [draws.holding_time([OWN, TYPE]) for _ in range(20_000)]
    own = (1 - SURPRISE) * OWN.count / (OWN.count + DOUBT)
    assert drawn.count(100.0) / len(drawn) == pytest.approx(1 - own, abs=0.02)


def test_one_value_is_repeated_within_a_future() -> None:
    """Within a future one of the owner's values prevails; over many futures all are alike."""
    prevailing = Counter[float]()
    for seed in range(400):
        draws = HoldingDraws(Random(seed))
        drawn = Counter(draws.holding_time([OWN, TYPE]) for _ in range(60))
        del drawn[100.0]
        value, times = drawn.most_common(1)[0]
        assert times / sum(drawn.values()) > REPEATED / 2
        prevailing[value] += 1
    assert set(prevailing) == set(OWN.ended)
    assert min(prevailing.values()) > 60


def test_the_mean_is_that_of_the_draws() -> None:
    """What long lines use in place of many draws is their mean in the same future."""
    draws = HoldingDraws(Random(5))
    drawn = [draws.holding_time([OWN, TYPE]) for _ in range(40_000)]
    assert draws.mean_time([OWN, TYPE]) == pytest.approx(sum(drawn) / len(drawn), rel=0.03)


def test_what_a_hold_outlived_is_not_drawn() -> None:
    """The rest of a hold is what longer ones had left; beyond all, it is like its age."""
    draws = HoldingDraws(Random(2))
    rests = {draws.remaining_time([[10.0, 30.0], [10.0, 50.0]], 20.0) for _ in range(200)}
    assert {10.0, 30.0} <= rests
    beyond = [draws.remaining_time([[10.0]], 20.0) for _ in range(2000)]
    assert min(beyond) >= 1.0
    assert max(beyond) == pytest.approx(20.0 * (1 / LEAST_TAIL - 1))
    assert sorted(beyond)[1000] == pytest.approx(20.0, rel=0.2)


def test_jobs_that_still_hold_count_as_the_newest_of_their_likeness() -> None:
    """What a future drew for them is drawn and counts in the mean; the oldest ended ones go."""
    ended = [Observation("lab", "d", 0, float(second)) for second in range(RECENT)]
    held = [likeness_keys("lab", demand, 0) for demand in ("d", "d", "e")]
    jobs = JobsByLikeness(HoldingTimes(ended), held)
    equal, of_size, of_owner, of_type = jobs.of("lab", "d", 0)
    assert (equal.ended, equal.held) == (tuple(map(float, range(2, RECENT))), [0, 1])
    assert (of_size.held, of_owner.held, of_type.held) == ([0, 1, 2], [0, 1, 2], ())
    assert jobs.of("lab", "new", 5)[0] is of_owner
    draws = HoldingDraws(Random(3), totals=(500.0, 600.0, 700.0))
    drawn = [draws.holding_time([equal, TYPE]) for _ in range(40_000)]
    assert {500.0, 600.0} <= set(drawn)
    assert 700.0 not in drawn
    assert draws.mean_time([equal, TYPE]) == pytest.approx(sum(drawn) / len(drawn), rel=0.03)
