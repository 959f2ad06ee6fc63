"""The synthetic log of one user."""

from __future__ import annotations

from pathlib import Path

from replaying.measures import mean, offered_load
from replaying.swf import read_log
from synthetic_log import lines


def test_a_log_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    """All jobs can be replayed; they are of one user, have no estimates, and the load is near."""
    file = tmp_path / "one.swf"
    file.write_text("\n".join(lines(seed=1, jobs=2000, processors=64, load=0.8)))
    jobs = read_log(file, 64).jobs
    assert [job.number for job in jobs] == list(range(1, 2001))
    assert {job.user for job in jobs} == {1}
    assert all(job.estimate == job.run_time for job in jobs)
    assert 0.75 < offered_load(jobs, 64) < 0.85
    assert max(job.processors for job in jobs) == 64
    assert 2000 < mean([job.run_time for job in jobs]) < 20000


def test_a_seed_gives_one_log() -> None:
    """The same seed draws the same log, another seed another one."""
    one, again, other = (list(lines(seed, 20, 64, 0.8)) for seed in (1, 1, 2))
    assert one == again
    assert one[1:] != other[1:]
