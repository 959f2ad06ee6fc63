"""Answers about changes that did not happen; no snapshot is changed by them."""

from __future__ import annotations

from dataclasses import replace

from rq_broker.domain.jobs import Shape
from rq_broker.domain.line import Line
from rq_broker.planner import (
    IMAGINED,
    ReasonCode,
    change_steps,
    explain,
    with_imagined_job,
)
from rq_broker.planner.steps import run_all
from tests.planner.forecasting.lines import FOUR, history, holds, line_of
from tests.planner.oracle import HERE, demand, host, instance, known, snapshot_of, waiting


def moved(line: Line, job_id: int, rank: int) -> Line:
    """Return the line with one of its jobs at another rank."""
    job = next(job for job in line.jobs if job.id == job_id)
    return line.without(job_id, job.rank).with_job(replace(job, rank=rank), line.shapes[job.digest])


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
    snapshot = snapshot_of(hosts, (), holds=holds(0.0), history=history([100.0] * 10))
    before = line_of(shapes)
    changes = run_all(
        change_steps(snapshot, before, moved(before, 3, 0), before.jobs[2], 0, futures=5)
    )
    assert [(change.request_id, change.seconds) for change in changes] == [
        ("r3", -200.0),
        ("r1", 100.0),
        ("r2", 100.0),
    ]


def test_a_job_that_a_reorder_does_not_touch_does_not_move() -> None:
    """Both sides see the same futures: a job on hosts of its own moves by exactly nothing."""
    hosts = [host(f"h{n}", {"VCPU": 4}, f"pool{n}", held={"VCPU": 4}) for n in (0, 1)]
    demands = [demand(instance(VCPU=4), aggregate=f"pool{n}") for n in (0, 1)]
    times = [float(7 * n) for n in range(1, 30)]
    snapshot = snapshot_of(hosts, (), holds=holds(0.0, 0.0), history=history(times))
    shapes = [
        waiting("a", demands[0], 1, 2),
        waiting("b", demands[1], 3),
        waiting("c", demands[0], 4, owner="other"),
    ]
    before = line_of(shapes)
    changes = run_all(change_steps(snapshot, before, moved(before, 4, 0), before.jobs[3], 0))
    seconds = {change.request_id: change.seconds for change in changes}
    assert seconds["r3"] == 0.0
    assert changes[0].request_id == "r4"
    assert changes[0].seconds is not None
    assert changes[0].seconds < 0
