"""How often the planner places a demand where brute force does, on small random cases."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Demand
from rq_broker.planner.packing.best_fit import SEARCH_STEPS
from rq_broker.planner.packing.host_table import HostTable
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.packing.search import StepBudget

RESOURCES = ("GPU", "Memory", "VCPU")
KINDS = {"alike": 1, "mixed": 4}
"""Label → how many kinds of instances a demand may mix."""


@dataclass(frozen=True, slots=True)
class SuccessRate:
    """Of `possible` cases that have a placement, the planner placed `placed`."""

    possible: int
    placed: int


def random_case(rng: Random, kinds: int) -> tuple[list[Host], Demand]:
    """Draw up to four hosts with three resources; up to five instances of up to `kinds` kinds."""
    hosts = [
        Host(f"h{n}", {resource: rng.randint(2, 12) for resource in RESOURCES})
        for n in range(rng.randint(2, 4))
    ]
    instances = [
        tuple((resource, rng.randint(1, 7)) for resource in RESOURCES if rng.random() < 0.8)
        for _ in range(kinds)
    ]
    chosen = tuple(rng.choice(instances) for _ in range(rng.randint(2, 5)))
    return hosts, Demand(chosen, None, rng.random() < 0.2)


def can_be_placed(hosts: list[Host], demand: Demand) -> bool:
    """Try every assignment of instances to hosts."""
    assignments = product(range(len(hosts)), repeat=len(demand.instances))
    return any(fits_at(hosts, demand, indexes) for indexes in assignments)


def fits_at(hosts: list[Host], demand: Demand, indexes: Sequence[int]) -> bool:
    """Return whether instances on these hosts stay within capacity, and apart if they must."""
    if demand.spread and len(set(indexes)) < len(indexes):
        return False
    free = [host.free for host in hosts]
    for index, instance in zip(indexes, demand.instances, strict=True):
        for resource, amount in instance:
            free[index][resource] -= amount
            if free[index][resource] < 0:
                return False
    return True


def success_rate(rng: Random, cases: int, kinds: int, steps: int = SEARCH_STEPS) -> SuccessRate:
    """Count, over random cases, those that have a placement and those that the planner places."""
    possible = placed = 0
    for _ in range(cases):
        hosts, demand = random_case(rng, kinds)
        if can_be_placed(hosts, demand):
            possible += 1
            placer = Placer(HostTable(hosts), demand)
            placed += placer.place(0, StepBudget(steps)) is not None
    return SuccessRate(possible, placed)


def main() -> None:
    """Print the rates, with the search and with best fit alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the random cases (default: 1)")
    parser.add_argument("--cases", type=int, default=3000, help="of each kind (default: 3000)")
    options = parser.parse_args()
    for label, kinds in KINDS.items():
        for method, steps in (("best fit, then search", SEARCH_STEPS), ("best fit alone", 0)):
            rate = success_rate(Random(options.seed), options.cases, kinds, steps)
            part = rate.placed / rate.possible
            placed = f"{rate.placed} of {rate.possible} placed, {part:.2%}"
            print(f"{label} instances, {method}: {placed}")


if __name__ == "__main__":
    main()
