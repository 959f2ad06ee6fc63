"""Several logs, or parts of one, under each policy: waits as ratios to EASY with users' estimates.

Prints one line for each part, as soon as it is known, and their geometric means.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import NamedTuple

from replaying.comparison import (
    EASY_USERS,
    ESTIMATES,
    REFERENCES,
    Cluster,
    replay_ours,
    replay_reference,
)
from replaying.files import BadLog
from replaying.jobs import Job
from replaying.measures import Measures, measure, offered_load
from replaying.swf import read_log
from replaying.tables import MINUTE, Ratios, ratios, row

from rq_broker.domain.policy import Policy

PART = re.compile(r"(?P<path>.+):(?P<hosts>\d+)x(?P<cpus>\d+):(?P<skip>\d+)(\+(?P<first>\d+))?")
OURS = ("none", "user")
"""What jobs tell our side, see `--estimates` of replay.py."""


class Part(NamedTuple):
    """A part of a log, and the cluster that it is replayed on."""

    path: Path
    cluster: Cluster
    skip: int
    first: int | None


def part(text: str) -> Part:
    """Return the argument of this text."""
    match = PART.fullmatch(text)
    if match is None or not int(match["hosts"]) or not int(match["cpus"]):
        raise argparse.ArgumentTypeError(f"must be FILE:HOSTSxCPUS:SKIP[+FIRST], not {text!r}")
    cluster = Cluster(int(match["hosts"]), int(match["cpus"]))
    first = int(match["first"]) if match["first"] else None
    return Part(Path(match["path"]), cluster, int(match["skip"]), first)


def measures_of(jobs: Sequence[Job], cluster: Cluster) -> dict[str, Measures]:
    """Replay the jobs under each reference policy, and under ours with and without estimates."""
    starts = {label: replay_reference(jobs, cluster, rule) for label, rule in REFERENCES.items()}
    for estimates in OURS:
        label = f"ours, estimates: {estimates}"
        starts[label] = replay_ours(jobs, cluster, Policy(), ESTIMATES[estimates])
    return {label: measure(jobs, played, cluster.processors) for label, played in starts.items()}


def cell(waits: Ratios) -> str:
    """Render mean wait, and mean and largest wait of the widest jobs."""
    parts = (waits.mean_wait, waits.widest_mean_wait, waits.widest_largest_wait)
    return " / ".join(f"{value:.2f}" for value in parts)


def geometric_mean(every: Iterable[Ratios]) -> Ratios:
    """Return the geometric mean of each ratio."""
    columns = zip(*every, strict=True)
    return Ratios(*(prod(column) ** (1 / len(column)) for column in columns))


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay the parts one after the other."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("parts", type=part, nargs="+", metavar="FILE:HOSTSxCPUS:SKIP[+FIRST]")
    every: list[Mapping[str, Ratios]] = []
    for path, cluster, skip, first in words.parse_args(arguments).parts:
        try:
            jobs = read_log(path, cluster.processors).part(skip, first)
        except BadLog as error:
            words.exit(1, f"{words.prog}: {error}\n")
        measures = measures_of(jobs, cluster)
        base = measures.pop(EASY_USERS)
        if not every:
            columns = [
                "log, jobs skipped",
                "jobs",
                "load",
                f"{EASY_USERS}: mean wait, min",
                *measures,
            ]
            print(row(columns), row(["---", *["---:"] * (len(columns) - 1)]), sep="\n")
        every.append({label: ratios(each, base) for label, each in measures.items()})
        facts = (
            f"{path.name.partition('.')[0]}, {skip:,}",
            f"{len(jobs):,}",
            f"{offered_load(jobs, cluster.processors):.0%}",
            f"{base.mean_wait / MINUTE:.0f}",
        )
        print(row([*facts, *map(cell, every[-1].values())]), flush=True)
    means = [geometric_mean(each[label] for each in every) for label in every[0]]
    print(row(["geometric mean", "", "", "", *map(cell, means)]))


if __name__ == "__main__":
    main()
