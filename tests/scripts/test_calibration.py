"""Forecasts of a replayed log: which are made, what they are compared with, and the command."""

from __future__ import annotations

from pathlib import Path

import calibrate
import pytest
from replaying.calibration import (
    AT_ONCE,
    ForecastingCluster,
    outcomes,
    pinball,
    replay_with_forecasts,
    size_of,
)
from replaying.comparison import Cluster, replay_ours
from replaying.jobs import Job
from replaying.swf import read_log

from rq_broker.domain.policy import Policy
from rq_broker.planner import Forecast

EXCERPT = Path(__file__).parent / "kth_excerpt.swf"
CLUSTER = Cluster(100, 1)
JOBS = read_log(EXCERPT, CLUSTER.processors).jobs[:150]


def job(number: int, submitted: float, processors: int = 1) -> Job:
    return Job(number, submitted, 10.0, processors, 10.0, 1)


def test_forecasts_change_no_start() -> None:
    """With forecasts a log is replayed as without; one job in so many has one."""
    cluster = ForecastingCluster(CLUSTER, Policy(), None)
    starts, found = replay_with_forecasts(JOBS, 5, cluster)
    assert starts == replay_ours(JOBS, CLUSTER, Policy(), None)
    assert set(cluster.forecasts) == set(JOBS[::5])
    simulated = [made for made in cluster.forecasts.values() if made is not AT_ONCE]
    assert len(simulated) == len(cluster.seconds) > 3
    assert all(outcome.p50 <= outcome.p90 for outcome in found)


def test_the_baseline_knows_no_wait_that_has_not_ended() -> None:
    """It is the quantile of the waits of jobs that started before, of the same size class."""
    jobs = [job(1, 0.0), job(2, 0.0, 20), job(3, 1.0), job(4, 50.0), job(5, 99.0)]
    starts = dict(zip(jobs, (5.0, 5.0, 60.0, 70.0, 99.0), strict=True))
    forecasts = dict.fromkeys(jobs, Forecast(1.0, 2.0))
    found = {outcome.wait: outcome for outcome in outcomes(jobs, starts, forecasts)}
    assert set(found) == {20.0, 0.0}
    assert (found[20.0].baseline_p50, found[20.0].baseline_p90) == (5.0, 5.0)
    assert (found[0.0].baseline_p50, found[0.0].baseline_p90) == (20.0, 59.0)


@pytest.mark.parametrize(
    ("processors", "size"), [(1, "1"), (2, "2–4"), (4, "2–4"), (32, "17–32"), (33, "> 32")]
)
def test_size_classes(processors: int, size: str) -> None:
    """A job is in the smallest class that has room for it."""
    assert size_of(job(1, 0.0, processors)) == size


def test_the_pinball_loss_is_least_for_the_quantile() -> None:
    """Nine of ten waits are below the forecast that loses least at 90 %."""
    waits = [float(number) for number in range(100)]
    losses = {guess: sum(pinball(wait, guess, 0.9) for wait in waits) for guess in waits}
    assert min(losses, key=lambda guess: losses[guess]) in (89.0, 90.0)


def test_the_command_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """Jobs that waited, and all; each with a line for all sizes."""
    calibrate.main([str(EXCERPT), "--hosts", "100", "--cpus", "1", "--first", "120"])
    printed = capsys.readouterr().out
    assert "120 jobs, 12 forecasts" in printed
    assert [line[:5] for line in printed.splitlines()].count("| all") == 2


def test_a_log_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1, and the sentence names the file."""
    with pytest.raises(SystemExit) as refused:
        calibrate.main([str(tmp_path / "no.swf"), "--hosts", "1", "--cpus", "1"])
    assert refused.value.code == 1
    assert "no.swf" in capsys.readouterr().err
