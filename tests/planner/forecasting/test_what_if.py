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


def test_who_is_passed_starts_later_or_not_at_all() -> None:
    """In one future chance moves jobs both ways; of a move forward no passed job is told sooner."""
    wide = [demand(instance(VCPU=amount)) for amount in (1, 2, 3, 4)]
    hosts = [host(f"h{n}", {"VCPU": 4}, held={"VCPU": 4}) for n in range(3)]
    times = [float(17 * n % 101) for n in range(1, 40)]
    snapshot = snapshot_of(hosts, (), holds=holds(0.0, 9.0, 21.0), history=history(times))
    shapes = [waiting(f"d{n}", wide[n % 4], n, owner=f"o{n}") for n in range(1, 25)]
    before = line_of(shapes)
    for job, rank, sign in ((24, 0, 1), (1, 23, -1)):
        mover = before.jobs[job - 1]
        steps = change_steps(snapshot, before, moved(before, job, rank), mover, rank, futures=1)
        first, *others = run_all(steps)
        assert first.request_id == f"r{job}"
        assert (first.seconds or 0.0) * sign <= 0
        assert all((change.seconds or 0.0) * sign >= 0 for change in others)
        assert len(others) == 23
        free = change_steps(
            snapshot, before, moved(before, job, rank), mover, rank, is_exchange=True, futures=1
        )
        signs = {(change.seconds or 0.0) > 0 for change in run_all(free)[1:] if change.seconds}
        assert signs == {True, False}
