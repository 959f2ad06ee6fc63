"""A log with and without shares: who gets which job, what is measured, and the command."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
import share
from replaying.jobs import Job
from replaying.measures import offered_load
from replaying.swf import read_log

EXCERPT = Path(__file__).parent / "kth_excerpt.swf"
JOBS = read_log(EXCERPT, 100).jobs
FIRST, SECOND = share.HEAVY


def test_two_owners_get_two_fifths_of_the_jobs_each() -> None:
    """The other jobs keep their users, and arrivals move together until the load is reached."""
    dealt = share.deal(JOBS, 2.0, 100)
    counts = Counter(job.user for job in dealt)
    assert counts[FIRST] == counts[SECOND] == len(JOBS) * 2 // 5
    assert all(job.user in (*share.HEAVY, JOBS[place].user) for place, job in enumerate(dealt))
    assert offered_load(dealt, 100) == pytest.approx(2.0)
    assert dealt[0].submitted == JOBS[0].submitted


def test_usage_counts_while_both_heavy_owners_wait() -> None:
    """What they hold before both wait, or after, or beyond the end, does not count."""
    jobs = {
        Job(1, 0.0, 100.0, 8, 100.0, FIRST): 0.0,
        Job(2, 0.0, 10.0, 1, 10.0, FIRST): 60.0,
        Job(3, 20.0, 10.0, 1, 10.0, SECOND): 80.0,
        Job(4, 0.0, 100.0, 2, 100.0, SECOND): 0.0,
        Job(5, 0.0, 100.0, 9, 100.0, 7): 0.0,
    }
    assert share.parts_used(jobs, 90.0) == [0.8, 0.2]
    assert share.parts_used(jobs, 10.0) == [0.0, 0.0]


def test_the_command_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has a line without sharing, one for each half-life where light owners wait less, and those
    of other rules.
    """
    options = ["--hosts", "100", "--cpus", "1", "--half-lives", "3600", "--bounds"]
    monkeypatch.setattr(sys, "argv", ["share.py", str(EXCERPT), *options])
    share.main()
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines()[-5:]]
    hour = "half-life 1 h"
    rules = [f"{hour}, {rule}" for rule in ("strict order", "patience null", "ends known")]
    assert [line[1].strip() for line in lines] == ["off", hour, *rules]
    light = [float(line[2].replace(",", "")) for line in lines]
    assert light[1] < light[0]
