"""The figures of a replay."""

from __future__ import annotations

from replaying.jobs import Job
from replaying.measures import measure, offered_load, widest_jobs
from replaying.tables import ratio_row


def job(number: int, submitted: float, run_time: float, processors: int) -> Job:
    """Return a job whose estimate is exact."""
    return Job(number, submitted, run_time, processors, run_time, 1)


def test_the_figures_of_two_jobs() -> None:
    """Waits, slowdown and utilisation follow by hand: two jobs on two processors, one waits."""
    first, second = job(1, 100, 60, 2), job(2, 140, 5, 1)
    measures = measure([first, second], {first: 100.0, second: 160.0}, 2)
    assert (measures.mean_wait, measures.p95_wait, measures.largest_wait) == (10.0, 20.0, 20.0)
    assert measures.bounded_slowdown == (1.0 + 2.5) / 2
    assert measures.utilisation == 1.0
    assert (measures.widest_mean_wait, measures.widest_largest_wait) == (0.0, 0.0)
    assert offered_load([first, second], 2) == 125 / 80


def test_the_widest_jobs_are_one_in_twenty() -> None:
    """Of forty jobs the two widest count, the earlier of equal ones; of a few jobs one counts."""
    jobs = [job(number, number, 1, 1 + number % 3) for number in range(40)]
    assert [each.number for each in widest_jobs(jobs)] == [2, 5]
    assert [each.number for each in widest_jobs(jobs[:7])] == [2]


def test_a_ratio_to_no_wait() -> None:
    """Where the base has no wait, no wait is 1 and any wait is infinite."""
    only = job(1, 0, 60, 1)
    none, some = measure([only], {only: 0.0}, 1), measure([only], {only: 6.0}, 1)
    assert ratio_row("x", none, none).startswith("| x | 1.00 | 1.00 | 1.00 | 1.00 |")
    assert ratio_row("x", some, none).startswith("| x | inf |")
