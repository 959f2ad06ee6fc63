"""Reads logs in the Standard Workload Format of the Parallel Workloads Archive.

One job a line, 18 fields between blanks, -1 for what is unknown; comments begin with `;`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from replaying.files import BadLog, read_lines
from replaying.jobs import Job

FIELDS = {
    1: "job number",
    2: "submit time",
    4: "run time",
    5: "allocated processors",
    8: "requested processors",
    9: "requested time",
    12: "user",
}
"""The fields that are read, counted from 1."""


class Log(NamedTuple):
    """The jobs of a log."""

    path: Path
    jobs: Sequence[Job]
    """By submit time; jobs of one second in the order of the log."""
    left_out: Mapping[str, int]
    """Why a job was left out → how many were."""

    def part(self, skip: int, first: int | None) -> Sequence[Job]:
        """Return `first` jobs, or all, behind the first `skip`. Raises BadLog if there are none."""
        jobs = self.jobs[skip:][:first]
        if not jobs:
            raise BadLog(
                f"{self.path} has {len(self.jobs)} jobs to replay; --skip {skip} leaves none"
            )
        return jobs


def read_log(path: Path, processors: int) -> Log:
    """Read the jobs of a log, plain or gzipped, that could run on so many processors.

    A job has the larger of the processors that it was allocated and those that it requested. Jobs
    without run time or processors are left out. A job without an estimate estimates its run time.

    Raises:
        BadLog: The file cannot be read, or some line is not a job.
    """
    jobs, left_out = list[Job](), Counter[str]()
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        try:
            job = _job(line.split())
        except ValueError as error:
            raise BadLog(f"{path}, line {number}: {error}") from None
        if job.run_time <= 0 or job.processors <= 0:
            left_out["has no run time or no processors"] += 1
        elif job.processors > processors:
            left_out[f"needs more than {processors} processors"] += 1
        else:
            jobs.append(job)
    return Log(path, sorted(jobs, key=lambda job: job.submitted), left_out)


def _job(texts: Sequence[str]) -> Job:
    """Return the job of one line. Raises ValueError, with a sentence that names the field."""
    if len(texts) < max(FIELDS):
        raise ValueError(f"has {len(texts)} fields; a job has 18, of which 12 are needed")
    run_time, requested_time = _seconds(texts, 4), _seconds(texts, 9)
    return Job(
        number=_whole(texts, 1),
        submitted=_seconds(texts, 2),
        run_time=run_time,
        processors=max(_whole(texts, 5), _whole(texts, 8)),
        estimate=max(requested_time, run_time),
        user=_whole(texts, 12),
    )


def _seconds(texts: Sequence[str], field: int) -> float:
    text = texts[field - 1]
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"field {field} ({FIELDS[field]}) is {text!r}, which is no number")
    return value


def _whole(texts: Sequence[str], field: int) -> int:
    value = _seconds(texts, field)
    if value != int(value):
        raise ValueError(
            f"field {field} ({FIELDS[field]}) is {texts[field - 1]!r}, which is no whole number"
        )
    return int(value)
