"""The line of a forecast with a job more or less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.line import Line, WaitingJob

SHAPE = Shape(Demand(((("VCPU", 1),),)), "lab", "")


def line(*weights: int) -> Line:
    """Build a line of jobs that stand for so many; ID and priority are those of the first."""
    ranks = [sum(weights[:number]) for number in range(len(weights))]
    jobs = (
        WaitingJob(rank, rank + 1, f"r{rank}", 10 * rank, "a", None, weight)
        for rank, weight in zip(ranks, weights, strict=True)
    )
    return Line(sum(weights), tuple(jobs), {"a": SHAPE})


def ranks(line: Line) -> list[tuple[str, int, int]]:
    return [(job.request_id, job.rank, job.weight) for job in line.jobs]


@pytest.mark.parametrize(
    ("priority", "id_", "rank"),
    [(-1, 9, 0), (0, 0, 0), (0, 9, 1), (10, 2, 1), (15, 1, 2), (99, 1, 3)],
)
def test_the_rank_of_a_place_follows_priority_and_then_id(
    priority: int, id_: int, rank: int
) -> None:
    """A job goes behind those of smaller priority, and of its own priority behind smaller IDs."""
    assert line(1, 1, 1).rank_of(priority, id_) == rank


def test_a_job_more_shifts_those_behind_it() -> None:
    """It stands at its rank, also behind all; its shape is known."""
    job = WaitingJob(1, 9, "new", 0, "b")
    longer = line(1, 1).with_job(job, SHAPE)
    assert ranks(longer) == [("r0", 0, 1), ("new", 1, 1), ("r1", 2, 1)]
    assert (longer.total, set(longer.shapes)) == (3, {"a", "b"})
    assert ranks(line(1).with_job(job, SHAPE)) == [("r0", 0, 1), ("new", 1, 1)]


def test_a_job_less_moves_up_those_behind_it() -> None:
    """A job that is shown goes; of one that is not, the one that stands for it counts one less."""
    assert ranks(line(1, 1, 1).without(2, 1)) == [("r0", 0, 1), ("r2", 1, 1)]
    assert ranks(line(1, 3, 1).without(99, 2)) == [("r0", 0, 1), ("r1", 1, 2), ("r4", 3, 1)]
    assert line(1, 3, 1).without(99, 2).total == 4
    assert Line(0).without(1, 0) == Line(0)


def test_a_line_is_complete_if_each_job_stands_for_itself() -> None:
    """So it is known of which jobs a forecast is."""
    assert line(1, 1).is_complete
    assert not line(1, 2).is_complete
    assert not replace(line(1), total=2).is_complete
