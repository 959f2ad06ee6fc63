"""Questions about what is not so, answered without writing anything."""

from random import Random

import pytest

from rq_broker.domain.jobs import Shape
from rq_broker.planner import ReasonCode
from rq_broker.planner.explaining import explain
from rq_broker.planner.forecasting.arrivals import Hold
from rq_broker.planner.forecasting.what_if import (
    IMAGINED,
    forecast_changes,
    with_imagined_job,
    with_priority,
)
from tests.planner.oracle import HERE, demand, host, need, waiting, world

FOUR = demand(need(VCPU=4))


def test_a_job_not_submitted_is_explained_like_one_that_waits():
    """Behind all others it does not fit; at the front it would be granted."""
    snapshot = world([host("h1", {"VCPU": 6})], [waiting("a", FOUR, 1)])
    shape = Shape(FOUR, "ops", HERE)
    behind = explain(with_imagined_job(snapshot, shape), IMAGINED)
    assert behind.reason is not None
    assert behind.reason.code is ReasonCode.NO_FIT
    assert behind.largest is not None
    assert behind.largest.demand == demand(need(VCPU=2))
    assert explain(with_imagined_job(snapshot, shape, 0), IMAGINED).hosts == ("h1",)


def test_a_reorder_says_whose_turn_moves_by_how_much():
    """Put to the front, the last job gains two holding times, and the others lose one each."""
    places = [host("h0", {"VCPU": 4}, held={"VCPU": 4})]
    shapes = [waiting(f"d{n}", FOUR, n, owner=f"o{n}") for n in (1, 2, 3)]
    before = world(places, shapes)
    after = with_priority(before, "r3", 0)
    running = [Hold({"h0": {"VCPU": 4}}, 0.0)]
    found = {
        move.request_id: move.seconds
        for move in forecast_changes(before, after, running, [100.0] * 10, Random(1), futures=5)
    }
    assert found == {
        "r3": pytest.approx(-200, rel=0.1),
        "r1": pytest.approx(100, rel=0.1),
        "r2": pytest.approx(100, rel=0.1),
    }
    assert before.waiting == tuple(shapes)


def test_whoever_a_reorder_does_not_touch_does_not_move():
    """Both sides see the same futures: a job on hosts of its own moves by exactly nothing."""
    places = [host(f"h{n}", {"VCPU": 4}, f"pool{n}", held={"VCPU": 4}) for n in (0, 1)]
    wants = [demand(need(VCPU=4), aggregate=f"pool{n}") for n in (0, 1)]
    shapes = [waiting("a", wants[0], 1, 2), waiting("b", wants[1], 3)]
    before = world(places, shapes)
    running = [Hold({f"h{n}": {"VCPU": 4}}, 0.0) for n in (0, 1)]
    times = [float(7 * n) for n in range(1, 30)]
    found = forecast_changes(before, with_priority(before, "r2", 0), running, times, Random(1))
    assert {move.request_id: move.seconds for move in found}["r3"] == 0.0
    assert found[0].seconds != 0.0


def test_a_job_that_is_not_shown_cannot_be_moved():
    """An unknown request_id is a KeyError."""
    with pytest.raises(KeyError):
        with_priority(world([], [waiting("a", FOUR, 1)]), "r9", 0)
