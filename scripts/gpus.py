"""Share of the GPUs of the openb trace that is allocated, by published policies and by ours.

Pods arrive in random order until 130 % of the GPUs were asked for, and none ends. Published for its
default list (Weng et al., ATC 2023, mean of ten orders): random 87.5, dot product 90.8, best fit
93.1, FGD 95.4 %. If the row of random or of best fit differs, this harness is wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from gpu_packing.cluster import Cluster, Score
from gpu_packing.ours import BATCH, Planned
from gpu_packing.policies import best_fit, dot_product, gradient_descent
from gpu_packing.trace import MILLI, Node, Pod, arrivals, read_nodes, read_pods
from replaying.files import BadLog
from replaying.measures import mean
from replaying.tables import row

ASKED_PERCENT = 130
Policy = Callable[[Sequence[Node], Sequence[Pod], Random], int]
"""Places pods one after the other; returns the milli-GPUs that they were given."""


def scored(score: Score) -> Policy:
    """Return the policy that takes the node with the best score."""

    def place(nodes: Sequence[Node], pods: Sequence[Pod], rng: Random) -> int:
        cluster = Cluster(nodes)
        return sum(pod.total for pod in pods if cluster.place(pod, score, rng))

    return place


def anywhere(nodes: Sequence[Node], pods: Sequence[Pod], rng: Random) -> int:
    """Take any node and any GPUs that fit."""
    cluster = Cluster(nodes)
    return sum(pod.total for pod in pods if cluster.place_anywhere(pod, rng))


def ours(nodes: Sequence[Node], pods: Sequence[Pod], _rng: Random) -> int:
    """Let the planner decide, in passes over a few pods each."""
    planned = Planned(nodes)
    return sum(planned.place(pods[first : first + BATCH]) for first in range(0, len(pods), BATCH))


def main() -> None:
    """Place the same arrivals by each policy, and print a line of the table for each."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("nodes", type=Path, metavar="NODES.csv[.gz]")
    words.add_argument("pods", type=Path, metavar="PODS.csv[.gz]")
    words.add_argument("--orders", type=int, default=3, help="random orders (default: 3)")
    words.add_argument("--seed", type=int, default=42, help="of the first (default: 42)")
    words.add_argument("--only", help="one policy, by its name in the table")
    options = words.parse_args()
    try:
        nodes, pods = read_nodes(options.nodes), read_pods(options.pods)
    except BadLog as error:
        words.exit(1, f"{words.prog}: {error}\n")
    policies: dict[str, Policy] = {
        "random": anywhere,
        "dot product": scored(dot_product),
        "best fit": scored(best_fit),
        "FGD": scored(gradient_descent(pods)),
        "ours": ours,
    }
    gpus = sum(node.gpus for node in nodes) * MILLI
    print(f"{len(nodes):,} nodes with {gpus // MILLI:,} GPUs, {len(pods):,} pods in the list\n")
    print(
        row(("policy", "GPUs allocated, %", "of each order")), row(["---", "---:", "---"]), sep="\n"
    )
    for name, policy in policies.items():
        if options.only in (None, name):
            shares = []
            for seed in range(options.seed, options.seed + options.orders):
                rng = Random(seed)
                pods_in_order = arrivals(pods, gpus * ASKED_PERCENT // 100, rng)
                shares.append(100 * policy(nodes, pods_in_order, rng) / gpus)
            print(
                row((name, f"{mean(shares):.1f}", ", ".join(f"{s:.1f}" for s in shares))),
                flush=True,
            )


if __name__ == "__main__":
    main()
