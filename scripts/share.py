"""What the policy `share` does on a cluster log, with two owners that submit most of the work.

Of five jobs of the log, in the order of arrival, two are given to each of two heavy owners; the
others keep their users, who are the light owners. Arrivals are moved closer together until the
offered load is reached. Prints waits, and what each heavy owner used while both had jobs waiting.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from replaying.comparison import Cluster, replay_ours
from replaying.counting import Estimate, perfect_estimate
from replaying.files import BadLog
from replaying.jobs import Job, Starts
from replaying.measures import mean, measure, offered_load
from replaying.swf import read_log
from replaying.tables import row

from rq_broker.domain.policy import Policy
from rq_broker.domain.sharing import Share

HEAVY = (-1, -2)
"""User numbers of the heavy owners; no log has them."""
DEAL = (*HEAVY, *HEAVY)
"""To whom the first four of each five jobs are given."""
HEADER = (
    "share",
    "light: mean wait, min",
    "heavy: mean waits, min",
    "heavy: used while both wait",
    "all: mean wait, min",
    "utilisation",
)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of what a heavy owner has waiting, or holds."""

    seconds: float
    """When."""
    user: int
    waiting: int = 0
    """Jobs."""
    held: int = 0
    """Processors."""


def deal(jobs: Sequence[Job], load: float, processors: int) -> list[Job]:
    """Give jobs to the heavy owners, and move arrivals until so much load is offered."""
    first, factor = jobs[0].submitted, offered_load(jobs, processors) / load
    dealt = []
    for number, job in enumerate(jobs):
        place = number % (len(DEAL) + 1)
        user = DEAL[place] if place < len(DEAL) else job.user
        submitted = first + (job.submitted - first) * factor
        dealt.append(replace(job, user=user, submitted=submitted))
    return dealt


def changes_of(starts: Starts) -> list[Change]:
    """List when the heavy owners' jobs begin to wait, start and end, in order of time."""
    changes = []
    for job, start in starts.items():
        if job.user in HEAVY:
            changes += [
                Change(job.submitted, job.user, waiting=1),
                Change(start, job.user, waiting=-1, held=job.processors),
                Change(start + job.run_time, job.user, held=-job.processors),
            ]
    return sorted(changes, key=lambda change: change.seconds)


def parts_used(starts: Starts, until: float) -> list[float]:
    """Return what each heavy owner used while both waited, as parts of what both used."""
    waiting, held, used = (dict.fromkeys(HEAVY, 0.0) for _ in range(3))
    for change, following in pairwise(changes_of(starts)):
        waiting[change.user] += change.waiting
        held[change.user] += change.held
        seconds = min(following.seconds, until) - change.seconds
        if seconds > 0 and all(waiting.values()):
            for user in HEAVY:
                used[user] += held[user] * seconds
    total = sum(used.values()) or 1.0
    return [used[user] / total for user in HEAVY]


def mean_wait(starts: Starts, users: Iterable[int] | None) -> float:
    """Return the mean wait in minutes of the jobs of some users; None: of the light owners."""
    waits = [
        start - job.submitted
        for job, start in starts.items()
        if (job.user not in HEAVY if users is None else job.user in users)
    ]
    return mean(waits) / 60


def line(label: str, jobs: Sequence[Job], starts: Starts, processors: int) -> str:
    """Return one line of the table."""
    measures = measure(jobs, starts, processors)
    heavy = [f"{mean_wait(starts, [user]):,.0f}" for user in HEAVY]
    parts = [f"{part:.0%}" for part in parts_used(starts, jobs[-1].submitted)]
    return row(
        [
            label,
            f"{mean_wait(starts, None):,.0f}",
            " / ".join(heavy),
            " / ".join(parts),
            f"{measures.mean_wait / 60:,.0f}",
            f"{measures.utilisation:.1%}",
        ]
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("log", type=Path, metavar="LOG.swf[.gz]")
    words.add_argument("--hosts", type=int, required=True, help="hosts of the cluster")
    words.add_argument("--cpus", type=int, required=True, help="CPUs of each host")
    words.add_argument("--first", type=int, default=2500, help="jobs to replay (default: 2500)")
    words.add_argument("--load", type=float, default=2.0, help="offered load (default: 2.0)")
    words.add_argument(
        "--weights", type=float, nargs=2, default=(1.0, 2.0), help="of the heavy owners (1 2)"
    )
    words.add_argument(
        "--bounds",
        action="store_true",
        help="also in strict order, without reservations, and with the true run times",
    )
    words.add_argument(
        "--half-lives",
        type=float,
        nargs="+",
        default=(86400.0,),
        metavar="SECONDS",
        help="to compare (default: 86400)",
    )
    return words


def main() -> None:
    """Replay without and with sharing, and print a line of the table as soon as it is known."""
    words = parser()
    options = words.parse_args()
    cluster = Cluster(options.hosts, options.cpus)
    try:
        log = read_log(options.log, cluster.processors).part(0, options.first)
    except BadLog as error:
        words.exit(1, f"{words.prog}: {error}\n")
    jobs = deal(log, options.load, cluster.processors)
    weights = {f"user{user}": weight for user, weight in zip(HEAVY, options.weights, strict=True)}
    runs: dict[str, tuple[Policy, Estimate | None]] = {"off": (Policy(), None)}
    for half_life in options.half_lives:
        share = Share("owner", half_life, weights)
        label = f"half-life {half_life / 3600:g} h"
        runs[label] = Policy(share=share), None
        if options.bounds:
            runs[f"{label}, strict order"] = Policy(share=share, strict_order=True), None
            runs[f"{label}, patience null"] = Policy(share=share, patience=None), None
            runs[f"{label}, ends known"] = Policy(share=share), perfect_estimate
    print(
        f"{len(jobs):,} jobs, offered load {offered_load(jobs, cluster.processors):.0%}, weights "
        + " and ".join(f"{weight:g}" for weight in options.weights)
    )
    print(row(HEADER), row(["---", *["---:"] * (len(HEADER) - 1)]), sep="\n", flush=True)
    for label, (policy, estimate) in runs.items():
        starts = replay_ours(jobs, cluster, policy, estimate)
        print(line(label, jobs, starts, cluster.processors), flush=True)


if __name__ == "__main__":
    main()
