"""Answers about changes that did not happen; no snapshot is changed by them."""

from __future__ import annotations

from random import Random

import pytest

from rq_broker.domain.jobs import Shape
from rq_broker.planner import (
    IMAGINED,
    Hold,
    ReasonCode,
    explain,
    forecast_changes,
    with_imagined_job,
    with_priority,
)
from tests.planner.oracle import HERE, demand, host, instance, known, snapshot_of, waiting

FOUR = demand(instance(VCPU=4))


def test_a_job_not_submitted_is_explained_like_one_that_waits() -> None:
    """Behind all others it does not fit; at the front it would be granted."""
    snapshot = snapshot_of([host("h1", {"VCPU": 6})], [waiting("a", FOUR, 1)])
    shape = Shape(FOUR, "ops", HERE)
    behind = explain(with_imagined_job(snapshot, shape), IMAGINED)
    assert known(behind.reason).code is ReasonCode.NO_FIT
    assert behind.largest is not None
    assert behind.largest.demand == demand(instance(VCPU=2))
    assert explain(with_imagined_job(snapshot, shape, 0), IMAGINED).hosts == ("h1",)


def test_a_reorder_says_whose_forecast_moves_by_how_much() -> None:
    """Put to the front, the last job gains two holding times, and the others lose one each."""
    hosts = [host("h0", {"VCPU": 4}, held={"VCPU": 4})]
    shapes = [waiting(f"d{n}", FOUR, n, owner=f"o{n}") for n in (1, 2, 3)]
    before = snapshot_of(hosts, shapes)
    after = with_priority(before, "r3", 0)
    holds = [Hold({"h0": {"VCPU": 4}}, 0.0)]
    changes = forecast_changes(before, after, holds, [100.0] * 10, Random(1), futures=5)
    assert {change.request_id: change.seconds for change in changes} == {
        "r3": pytest.approx(-200, rel=0.1),
        "r1": pytest.approx(100, rel=0.1),
        "r2": pytest.approx(100, rel=0.1),
    }
    assert before.waiting == tuple(shapes)


def test_a_job_that_a_reorder_does_not_touch_does_not_move() -> None:
    """Both sides see the same futures: a job on hosts of its own moves by exactly nothing."""
    hosts = [host(f"h{n}", {"VCPU": 4}, f"pool{n}", held={"VCPU": 4}) for n in (0, 1)]
    demands = [demand(instance(VCPU=4), aggregate=f"pool{n}") for n in (0, 1)]
    before = snapshot_of(hosts, [waiting("a", demands[0], 1, 2), waiting("b", demands[1], 3)])
    holds = [Hold({f"h{n}": {"VCPU": 4}}, 0.0) for n in (0, 1)]
    times = [float(7 * n) for n in range(1, 30)]
    changes = forecast_changes(before, with_priority(before, "r2", 0), holds, times, Random(1))
    assert {change.request_id: change.seconds for change in changes}["r3"] == 0.0
    assert changes[0].seconds != 0.0


def test_a_job_that_is_not_shown_cannot_be_moved() -> None:
    """An unknown request_id is a KeyError."""
    with pytest.raises(KeyError):
        with_priority(snapshot_of([], [waiting("a", FOUR, 1)]), "r9", 0)
