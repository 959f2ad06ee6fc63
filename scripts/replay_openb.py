"""Waits of GPU pods on a few nodes, from a replay of the openb trace as a queue.

Before day 110 the trace has 16 pods with GPUs, most of which hold theirs for months: so few nodes
would be full of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from replaying.counting import Estimate, perfect_estimate
from replaying.files import BadLog
from replaying.jobs import replay
from replaying.measures import mean
from replaying.openb import read_trace
from replaying.planned import PlannedCluster
from replaying.tables import HOUR, MINUTE, row

from rq_broker.domain.policy import Policy

NODES, GPUS, FIRST_DAY = 4, 8, 110.0
POLICIES: Sequence[tuple[str, Policy, Estimate | None]] = (
    ("best effort", Policy(patience=None), None),
    ("EASY, perfect ends", Policy(patience=0.0), perfect_estimate),
    ("ours", Policy(), None),
)


def main() -> None:
    """Replay the pods under each policy and print its line of the table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("nodes", type=Path, metavar="NODES.csv[.gz]")
    words.add_argument("pods", type=Path, metavar="PODS.csv[.gz]")
    options = words.parse_args()
    try:
        trace = read_trace(options.nodes, options.pods, NODES, GPUS, FIRST_DAY)
    except BadLog as error:
        words.exit(1, f"{words.prog}: {error}\n")
    jobs = list(trace.demands)
    print(f"{len(jobs):,} pods on {NODES} nodes with {GPUS} GPUs each\n")
    columns = ("policy", "mean wait, min", f"mean wait of pods with {GPUS} GPUs, h")
    print(row(columns), row(["---", "---:", "---:"]), sep="\n")
    for label, policy, estimate in POLICIES:
        cluster = PlannedCluster(trace.hosts, policy, trace.demands.__getitem__, estimate)
        starts = replay(jobs, cluster)
        waits = [starts[job] - job.submitted for job in jobs]
        of_whole_nodes = [starts[job] - job.submitted for job in jobs if job.processors == GPUS]
        cells = (label, f"{mean(waits) / MINUTE:.0f}", f"{mean(of_whole_nodes) / HOUR:.0f}")
        print(row(cells), flush=True)


if __name__ == "__main__":
    main()
