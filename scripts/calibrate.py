"""How true forecasts are on a cluster log: made at the submit, compared with what happened.

The log is replayed through the planner as `replay.py` does. One job in so many is forecast from the
state of that moment. The baseline is the quantile of the last 200 waits of the job's size class.
Pinball losses are minutes: the smaller the better.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from replay import policy_of, whole
from replaying.calibration import (
    CLASSES,
    ForecastingCluster,
    Outcome,
    pinball_row,
    replay_with_forecasts,
)
from replaying.comparison import ESTIMATES, Cluster
from replaying.files import BadLog
from replaying.jobs import NeverStarted
from replaying.swf import read_log
from replaying.tables import MINUTE, row

from rq_broker.domain.policy import Policy

HEADER = (
    "processors",
    "forecasts",
    "within p50",
    "pinball p50 / baseline",
    "ratio",
    "within p90",
    "pinball p90 / baseline",
    "ratio",
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("log", type=Path, metavar="LOG.swf[.gz]")
    words.add_argument("--hosts", type=whole(1), required=True, help="hosts of the cluster")
    words.add_argument("--cpus", type=whole(1), required=True, help="CPUs of each host")
    words.add_argument("--skip", type=whole(0), default=0, help="jobs at the start (default: 0)")
    words.add_argument("--first", type=whole(1), help="jobs to replay (default: all)")
    words.add_argument(
        "--every", type=whole(1), default=10, help="one job in so many is forecast (default: 10)"
    )
    words.add_argument(
        "--estimates",
        choices=ESTIMATES,
        default="none",
        help="what jobs say of their run times (default: none)",
    )
    words.add_argument(
        "--policy", type=policy_of, default=Policy(), metavar="JSON", help="(default: {})"
    )
    return words


def tables(found: Sequence[Outcome]) -> list[str]:
    """Return the tables: of the jobs that wait, and of all."""
    lines = []
    for title, least in (("jobs that did not start at once", 0.0), ("all jobs", -1.0)):
        lines += ["", f"{title}:", "", row(HEADER), row(["---", *["---:"] * (len(HEADER) - 1)])]
        counted = [outcome for outcome in found if outcome.wait > least]
        for size in ("all", *CLASSES):
            of_size = [outcome for outcome in counted if size in ("all", outcome.size)]
            if of_size:
                lines.append(row(pinball_row(size, of_size, minutes)))
    return lines


def minutes(seconds: float) -> str:
    """Render seconds as minutes."""
    return f"{seconds / MINUTE:,.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay the log with forecasts, and print how true they were."""
    words = parser()
    options = words.parse_args(arguments)
    size = Cluster(options.hosts, options.cpus)
    cluster = ForecastingCluster(size, options.policy, ESTIMATES[options.estimates])
    try:
        jobs = read_log(options.log, size.processors).part(options.skip, options.first)
        _, found = replay_with_forecasts(jobs, options.every, cluster)
    except (BadLog, NeverStarted) as error:
        words.exit(1, f"{words.prog}: {error}\n")
    without = sum(forecast.p90 is None for forecast in cluster.forecasts.values())
    mean = sum(cluster.seconds) / len(cluster.seconds) if cluster.seconds else 0.0
    print(
        f"{len(jobs):,} jobs, {len(cluster.forecasts):,} forecasts, {without} without p90; "
        f"a simulation took {mean * 1000:.0f} ms",
        *tables(found),
        sep="\n",
    )


if __name__ == "__main__":
    main()
