"""Replays of an excerpt of a real log: the harness against references, and the command."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import replay
import replay_table
from replaying.comparison import ESTIMATES, REFERENCES, Cluster, replay_ours, replay_reference
from replaying.counting import CountingCluster, Rule, easy, fcfs, first_fit, users_estimate
from replaying.jobs import Job, NeverStarted, replay as play
from replaying.measures import mean
from replaying.swf import read_log

from rq_broker.domain.jobs import expected_class
from rq_broker.domain.policy import Policy

EXCERPT = Path(__file__).parent / "kth_excerpt.swf"
"""300 jobs of KTH-SP2 (Parallel Workloads Archive): a stretch on which the policies differ much."""
CLUSTER = Cluster(100, 1)
JOBS = read_log(EXCERPT, CLUSTER.processors).jobs


def starts(rule: str, cluster: Cluster = CLUSTER) -> dict[int, float]:
    """Return when each job of the excerpt starts under a reference policy, by its number."""
    played = replay_reference(JOBS, cluster, REFERENCES[rule])
    return {job.number: second for job, second in played.items()}


def ours(policy: Policy, cluster: Cluster = CLUSTER) -> dict[int, float]:
    """Return when each job of the excerpt starts under our policy, by its number."""
    played = replay_ours(JOBS, cluster, policy, None)
    return {job.number: second for job, second in played.items()}


def test_each_policy_starts_jobs_at_other_times() -> None:
    """The excerpt tells the policies apart, so that equal starts prove something."""
    played = [starts(rule) for rule in REFERENCES]
    assert all(one != other for one in played for other in played if one is not other)


@pytest.mark.parametrize("cluster", [CLUSTER, Cluster(25, 4)])
def test_without_patience_for_anyone_jobs_start_as_under_first_fit(cluster: Cluster) -> None:
    """With patience null our planner starts every job in the same second as plain first fit."""
    assert ours(Policy(patience=None), cluster) == starts("best effort", cluster)


def test_in_strict_order_jobs_start_as_under_fcfs() -> None:
    """In strict order our planner starts every job in the same second as FCFS."""
    assert ours(Policy(strict_order=True)) == starts("FCFS")


@pytest.mark.parametrize("cluster", [CLUSTER, Cluster(25, 4)])
@pytest.mark.parametrize("estimates", ["user", "perfect"])
def test_with_estimates_and_no_patience_jobs_start_as_under_easy(
    estimates: str, cluster: Cluster
) -> None:
    """With patience 0 our planner starts every job in the same second as a counting EASY that is
    told the same: the estimates of waiting jobs are rounded up to the classes of a shape.
    """
    estimate = ESTIMATES[estimates]
    assert estimate is not None
    rule = easy(estimate, lambda job: expected_class(estimate(job)) or 0, ties=True)
    played = replay_ours(JOBS, cluster, Policy(patience=0.0), estimate)
    assert played == replay_reference(JOBS, cluster, rule)


def test_owners_that_used_little_wait_less_if_the_policy_shares() -> None:
    """The two owners that used most wait longer under `share`, all others less, on average."""
    work = Counter[int]()
    for job in JOBS:
        work[job.user] += round(job.run_time * job.processors)
    heavy = {user for user, _ in work.most_common(2)}
    waits: list[tuple[float, float]] = []
    for policy in (Policy(), Policy(share="owner")):
        played = replay_ours(JOBS, CLUSTER, policy, None)
        waits_of = [
            [played[job] - job.submitted for job in JOBS if (job.user in heavy) is is_heavy]
            for is_heavy in (True, False)
        ]
        waits.append((mean(waits_of[0]), mean(waits_of[1])))
    (heavy_before, light_before), (heavy_after, light_after) = waits
    assert heavy_after > heavy_before
    assert light_after < light_before


def job(number: int, submitted: float, run_time: float, processors: int) -> Job:
    """Return a job whose estimate is exact."""
    return Job(number, submitted, run_time, processors, run_time, 1)


LINE = [
    job(1, 0, 100, 3),  # leaves one of four processors
    job(2, 1, 50, 4),  # the head: it can start at 100 s
    job(3, 2, 500, 1),  # fits now, but delays the head
    job(4, 3, 97, 1),  # ends just when the head can start
]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (fcfs, [0, 100, 150, 150]),
        (first_fit, [0, 502, 2, 100]),
        (easy(users_estimate), [0, 100, 150, 3]),
    ],
)
def test_the_reference_policies_by_hand(rule: Rule, expected: list[float]) -> None:
    """On four jobs that can be followed by hand each reference policy starts them as it should."""
    played = play(LINE, CountingCluster(4, rule))
    assert [played[each] for each in LINE] == expected


def test_jobs_that_never_start_are_named() -> None:
    """A policy that keeps jobs from starting for ever ends the replay with their numbers."""
    with pytest.raises(NeverStarted, match=rf"^300 jobs never start .*: {JOBS[0].number}, .*, …$"):
        ours(Policy(paused=True))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command; return its exit status, and what it printed on both streams."""
    status = 0
    try:
        replay.main([str(word) for word in words])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_command_prints_a_table_and_writes_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One line a policy, and the starts of our side as `number, second` on the log's clock."""
    file = tmp_path / "starts"
    options = ("--hosts", 100, "--cpus", 1, "--policy", '{"patience": null}', "--starts", file)
    status, out, _ = run(capsys, EXCERPT, *options)
    rows = [line.split(" | ")[0].strip("| ") for line in out.splitlines() if line.startswith("|")]
    assert status == 0
    assert rows[2:6] == list(REFERENCES)
    assert rows[6:] == ["ours, estimates: none", "ours / EASY, users' estimates"]
    written = [line.split(", ") for line in file.read_text().splitlines()]
    assert {int(number): float(second) for number, second in written} == starts("best effort")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--hosts", "0"), "argument --hosts: must be a whole number from 1 on, not '0'"),
        (("--cpus", "x"), "argument --cpus: must be a whole number from 1 on, not 'x'"),
        (("--skip", "-1"), "argument --skip: must be a whole number from 0 on, not '-1'"),
        (("--first", "0"), "argument --first: must be a whole number from 1 on, not '0'"),
        (("--estimates", "good"), "argument --estimates: invalid choice: 'good'"),
        (("--policy", "{"), "argument --policy: is not a policy: "),
        (("--policy", '{"patience": -1}'), "argument --policy: is not a policy: "),
        (("--policy", '{"patients": 1}'), "patients"),
        (("--skip", "300"), "has 300 jobs to replay; --skip 300 leaves none"),
        (("--starts", "/none/starts"), "No such file or directory: '/none/starts'"),
    ],
)
def test_a_bad_argument_is_named(
    capsys: pytest.CaptureFixture[str], words: tuple[str, str], sentence: str
) -> None:
    """An option that is not valid ends the command with a sentence that names it."""
    status, _, err = run(capsys, EXCERPT, "--hosts", 100, "--cpus", 1, *words)
    assert status != 0
    assert sentence in err


def test_a_bad_log_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A log that cannot be read ends the command with the file and the line, not a traceback."""
    file = tmp_path / "bad.swf"
    file.write_text("1 2 3\n")
    status, _, err = run(capsys, file, "--hosts", 1, "--cpus", 1)
    assert status == 1
    assert f"{file}, line 1: has 3 fields" in err


def test_the_table_has_a_line_for_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    """Each part of a log gives a line of ratios, and the last line has their geometric means."""
    replay_table.main([f"{EXCERPT}:100x1:0+100", f"{EXCERPT}:50x2:100"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [cells[:2] for cells in rows[2:4]] == [
        ["kth_excerpt, 0", "100"],
        ["kth_excerpt, 100", "200"],
    ]
    column = rows[0].index("best effort")
    first, second, means = (float(cells[column].split(" / ")[0]) for cells in rows[2:])
    assert means == pytest.approx((first * second) ** 0.5, abs=0.01)


@pytest.mark.parametrize("text", ["log.swf", "log.swf:0x1:0", "log.swf:1x1", "log.swf:1x1:0+x"])
def test_a_bad_part_is_named(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A part that is not a file, a cluster and the jobs to skip ends the command."""
    with pytest.raises(SystemExit):
        replay_table.main([text])
    assert f"must be FILE:HOSTSxCPUS:SKIP[+FIRST], not '{text}'" in capsys.readouterr().err
