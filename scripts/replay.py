"""Waits on a cluster log under reference policies and ours, from a replay of its jobs.

The log is in the Standard Workload Format (Parallel Workloads Archive). A job of n processors is a
gang of n instances of one CPU. All policies see the same jobs at the same times.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from replaying.comparison import (
    EASY_USERS,
    ESTIMATES,
    REFERENCES,
    Cluster,
    replay_ours,
    replay_reference,
)
from replaying.files import BadLog
from replaying.jobs import Job, NeverStarted, Starts
from replaying.measures import measure, offered_load, widest_jobs
from replaying.swf import Log, read_log
from replaying.tables import header, policy_row, ratio_row

from rq_broker.api import bodies
from rq_broker.domain import exact_json
from rq_broker.domain.errors import BrokerError
from rq_broker.domain.policy import Policy


def whole(least: int) -> Callable[[str], int]:
    """Return an argument type: whole numbers from `least` on."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} on, not {text!r}"
            )
        return int(text)

    return parse


def policy_of(text: str) -> Policy:
    """Return the policy that a body of `PUT /types/{type}` sets on a new type."""
    try:
        return Policy(**bodies.policy(exact_json.loads(text.encode())))  # type: ignore[arg-type] # checked by `bodies`
    except BrokerError as error:
        raise argparse.ArgumentTypeError(f"is not a policy: {error}") from None


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("log", type=Path, metavar="LOG.swf[.gz]")
    words.add_argument("--hosts", type=whole(1), required=True, help="hosts of the cluster")
    words.add_argument("--cpus", type=whole(1), required=True, help="CPUs of each host")
    words.add_argument("--skip", type=whole(0), default=0, help="jobs at the start (default: 0)")
    words.add_argument("--first", type=whole(1), help="jobs to replay (default: all)")
    words.add_argument(
        "--estimates",
        choices=ESTIMATES,
        default="none",
        help="what jobs tell our side: nothing, their users' estimates, or their run times "
        "(default: none)",
    )
    words.add_argument(
        "--policy",
        type=policy_of,
        default=Policy(),
        metavar="JSON",
        help="our side's, as a body of PUT /types/{type} (default: {})",
    )
    words.add_argument(
        "--starts",
        type=Path,
        metavar="FILE",
        help="where to write our side's starts: `job number, start second`, on the log's clock",
    )
    return words


def describe(log: Log, jobs: Sequence[Job], cluster: Cluster) -> str:
    """Say what is replayed."""
    lines = [
        f"{len(jobs):,} jobs on {cluster.hosts} hosts with {cluster.cpus} CPU each, offered load "
        f"{offered_load(jobs, cluster.processors):.1%}; the widest 5 % have "
        f"{widest_jobs(jobs)[-1].processors} CPUs or more"
    ]
    lines += [f"left out of the log: {count} that {why}" for why, count in log.left_out.items()]
    return "\n".join(lines)


def write_starts(path: Path, starts: Starts) -> None:
    """Write one line a job, in the order in which they started."""
    with path.open("w") as file:
        for job, second in starts.items():
            file.write(f"{job.number}, {int(second) if second == int(second) else second}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay the log under each policy, and print its line of the table as soon as it is known."""
    words = parser()
    options = words.parse_args(arguments)
    cluster = Cluster(options.hosts, options.cpus)
    try:
        log = read_log(options.log, cluster.processors)
        jobs = log.part(options.skip, options.first)
        if options.starts:
            options.starts.touch()
        print(describe(log, jobs, cluster), "", *header(), sep="\n", flush=True)
        references = {
            label: measure(jobs, replay_reference(jobs, cluster, rule), cluster.processors)
            for label, rule in REFERENCES.items()
        }
        for label, measures in references.items():
            print(policy_row(label, measures), flush=True)
        starts = replay_ours(jobs, cluster, options.policy, ESTIMATES[options.estimates])
        if options.starts:
            write_starts(options.starts, starts)
    except (BadLog, NeverStarted, OSError) as error:
        words.exit(1, f"{words.prog}: {error}\n")
    ours = measure(jobs, starts, cluster.processors)
    print(policy_row(f"ours, estimates: {options.estimates}", ours))
    print(ratio_row(f"ours / {EASY_USERS}", ours, references[EASY_USERS]))


if __name__ == "__main__":
    main()
