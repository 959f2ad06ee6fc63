"""How often the planner finds a placement where brute force finds one, on small random cases."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
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


@dataclass(frozen=True, slots=True)
class Rate:
    """Out of `possible` cases that have a placement, `found` were found."""

    possible: int
    found: int


def case(rng: Random, kinds: int) -> tuple[list[Host], Demand]:
    """Up to four hosts with three resources; up to five instances of up to `kinds` kinds."""
    hosts = [
        Host(f"h{n}", {resource: rng.randint(2, 12) for resource in RESOURCES})
        for n in range(rng.randint(2, 4))
    ]
    pool = [
        tuple((resource, rng.randint(1, 7)) for resource in RESOURCES if rng.random() < 0.8)
        for _ in range(kinds)
    ]
    parts = tuple(rng.choice(pool) for _ in range(rng.randint(2, 5)))
    return hosts, Demand(parts, None, rng.random() < 0.2)


def brute_force(hosts: list[Host], demand: Demand) -> bool:
    """Try every assignment of instances to hosts."""
    choices = product(range(len(hosts)), repeat=len(demand.instances))
    return any(holds(hosts, demand, bits) for bits in choices)


def holds(hosts: list[Host], demand: Demand, bits: Iterable[int]) -> bool:
    """Say whether instances on these hosts stay within capacity, and apart if they must."""
    bits = tuple(bits)
    if demand.spread and len(set(bits)) < len(bits):
        return False
    free = [host.free for host in hosts]
    for bit, need in zip(bits, demand.instances, strict=True):
        for resource, amount in need:
            free[bit][resource] -= amount
            if free[bit][resource] < 0:
                return False
    return True


def rate(rng: Random, cases: int, kinds: int, steps: int = SEARCH_STEPS) -> Rate:
    """Count, over random cases, those that have a placement and those where ours found one."""
    possible = found = 0
    for _ in range(cases):
        hosts, demand = case(rng, kinds)
        if brute_force(hosts, demand):
            possible += 1
            found += Placer(HostTable(hosts), demand).place(0, StepBudget(steps)) is not None
    return Rate(possible, found)


def main() -> None:
    """Print the rates, with the search and with best fit alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=3000)
    options = parser.parse_args()
    for label, kinds in KINDS.items():
        for how, steps in (("best fit, then search", SEARCH_STEPS), ("best fit alone", 0)):
            got = rate(Random(options.seed), options.cases, kinds, steps)
            share = got.found / got.possible
            print(f"{label} instances, {how}: {got.found} of {got.possible} found, {share:.2%}")


if __name__ == "__main__":
    main()
