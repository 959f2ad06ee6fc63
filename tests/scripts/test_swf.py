"""Logs in the Standard Workload Format."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from replaying.files import BadLog
from replaying.swf import Log, read_log


def line(**fields: object) -> str:
    """Write a job's 18 fields; `f2="7"` sets the second."""
    values = [fields.get(f"f{number}", -1) for number in range(1, 19)]
    return " ".join(str(value) for value in values)


def job(number: int, submitted: object = 0, **fields: object) -> str:
    """Write a job of user 3 that has one processor for 60 s, but for the given fields."""
    usual = {"f1": number, "f2": submitted, "f4": 60, "f5": 1, "f12": 3}
    return line(**{**usual, **fields})


def read(path: Path, *lines: str, processors: int = 8) -> Log:
    """Write a log of these lines, and read it."""
    file = path / "log.swf"
    file.write_text("\n".join(lines))
    return read_log(file, processors)


def test_a_job_is_read(tmp_path: Path) -> None:
    """The fields of a line become those of the job; comments and empty lines are passed over."""
    log = read(tmp_path, "; Computer: none", "", job(9, 5, f4=70.5, f9=90), "  ; another comment")
    (only,) = log.jobs
    assert (only.number, only.submitted, only.run_time) == (9, 5.0, 70.5)
    assert (only.processors, only.estimate, only.user) == (1, 90.0, 3)


def test_a_gzipped_log_is_read(tmp_path: Path) -> None:
    """A log is unpacked by what it holds, not by its name; comments may be in any encoding."""
    path = tmp_path / "log"
    path.write_bytes(gzip.compress("; Malmö\n".encode("latin-1") + job(1).encode()))
    assert len(read_log(path, 8).jobs) == 1


@pytest.mark.parametrize(
    ("allocated", "requested", "processors"), [(4, 2, 4), (2, 4, 4), (-1, 3, 3)]
)
def test_the_larger_number_of_processors_counts(
    tmp_path: Path, allocated: int, requested: int, processors: int
) -> None:
    """A job has what it was allocated or what it requested, whichever is more."""
    log = read(tmp_path, job(1, f5=allocated, f8=requested))
    assert [each.processors for each in log.jobs] == [processors]


@pytest.mark.parametrize(("requested_time", "estimate"), [(600, 600), (30, 60), (-1, 60)])
def test_an_estimate_is_no_less_than_the_run_time(
    tmp_path: Path, requested_time: int, estimate: float
) -> None:
    """A job that outlived its estimate, or had none, counts as estimated exactly."""
    log = read(tmp_path, job(1, f9=requested_time))
    assert [each.estimate for each in log.jobs] == [estimate]


def test_jobs_that_cannot_run_are_left_out(tmp_path: Path) -> None:
    """Jobs without run time or processors, or too wide for the cluster, are counted apart."""
    lines = [job(1), job(2, f4=0), job(3, f4=-1), job(4, f5=-1), job(5, f5=9)]
    log = read(tmp_path, *lines, processors=8)
    assert [each.number for each in log.jobs] == [1]
    assert sorted(log.left_out.values()) == [1, 3]


def test_jobs_are_sorted_by_submit_time(tmp_path: Path) -> None:
    """Jobs come by their submit times, and those of one second in the order of the log."""
    log = read(tmp_path, job(1, 9), job(7, 5), job(3, 5), job(2, 0))
    assert [each.number for each in log.jobs] == [2, 7, 3, 1]


def test_a_part_is_cut_out(tmp_path: Path) -> None:
    """The first jobs are skipped after sorting, and then so many are taken."""
    log = read(tmp_path, *(job(number, number) for number in range(5)))
    assert [each.number for each in log.part(1, 2)] == [1, 2]
    assert [each.number for each in log.part(3, None)] == [3, 4]
    with pytest.raises(BadLog, match=r"has 5 jobs to replay; --skip 5 leaves none"):
        log.part(5, 1)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (job(1, "soon"), r"line 2: field 2 \(submit time\) is 'soon', which is no number"),
        (job(1, "nan"), r"line 2: field 2 \(submit time\) is 'nan', which is no number"),
        (job(1, f4="inf"), r"line 2: field 4 \(run time\) is 'inf', which is no number"),
        (job(1, f5="1.5"), r"line 2: field 5 \(allocated processors\) is '1.5', which is no whole"),
        (job(1, f12="lee"), r"line 2: field 12 \(user\) is 'lee', which is no number"),
        ("1 2 3", r"line 2: has 3 fields; a job has 18"),
    ],
)
def test_a_line_at_fault_is_named(tmp_path: Path, bad: str, sentence: str) -> None:
    """The error says which line is no job, and which of its fields is wrong."""
    with pytest.raises(BadLog, match=sentence):
        read(tmp_path, "; comment", bad)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, a directory and a gzip file that is cut short give a sentence."""
    short = tmp_path / "short.swf.gz"
    short.write_bytes(gzip.compress(job(1).encode())[:-9])
    for path in (tmp_path / "none.swf", tmp_path, short):
        with pytest.raises(BadLog, match=f"{path} cannot be read: "):
            read_log(path, 8)
