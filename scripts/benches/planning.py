"""The planner alone: what a reservation adds to a pass that grants nothing."""

from __future__ import annotations

import random
import time
from functools import partial
from statistics import median
from typing import Any

from benches import kit
from benches.kit import Figure, Size
from rq_broker.domain.capacity import Host
from rq_broker.domain.holding_times import HoldingTimes, Observation, demand_key
from rq_broker.domain.jobs import Demand, Shape
from rq_broker.domain.planning import Head, Hold, Snapshot, WaitingShape
from rq_broker.domain.policy import Policy
from rq_broker.planner import plan

HOSTS, HOLDS, SHAPES, WAITING = 1000, 5000, 100, 50_000
GANG = 64
NOW = 1_700_000_000.0


def reservations(size: Size) -> list[Figure]:
    """A pass in vain with and without a job that was passed for long, single and as a gang."""
    figures = []
    for instances, label in ((1, "one instance"), (GANG, f"gangs of {GANG}")):
        snapshot = _snapshot(instances)
        plans = partial(_seconds, snapshot, {}), partial(_seconds, snapshot, {"r0.0": NOW - 1000})
        without, beside = kit.turns(size.of(40, 20), *plans)
        value = f"{median(beside) * 1e3:.1f} ms against {median(without) * 1e3:.1f}"
        name = f"reservation: pass in vain, none; {HOLDS:,} running, {WAITING:,} waiting, {label}"
        figures.append(kit.rated(name, value, kit.ratios(beside, without)))
    return figures


def _seconds(fields: dict[str, Any], passed: dict[str, float]) -> float:
    started = time.process_time()
    planned = plan(Snapshot(**fields, passed=passed))
    elapsed = time.process_time() - started
    assert not planned.grants, "this pass was to grant nothing"
    assert len(planned.reservations) == len(passed)
    return elapsed


def _snapshot(instances: int) -> dict[str, Any]:
    """Fill hosts of 16 VCPU so that none has 12 left, and let jobs wait that need 12 of each."""
    rng = random.Random(1)
    held = {f"host{number}": 0 for number in range(HOSTS)}
    holds: list[Hold] = []
    for number in range(HOLDS):
        name = f"host{number % HOSTS}"
        vcpus = 6 if number < HOSTS else rng.randint(1, 2)
        held[name] += vcpus
        ends = NOW + 1 + rng.expovariate(1 / 3600)
        holds.append(Hold(f"h{number}", "o", NOW - 10, ends, {name: {"VCPU": vcpus}}))
    shapes = [_shape(number, instances) for number in range(SHAPES)]
    times = (
        Observation(shape.shape.owner, demand_key(shape.shape.demand), 0, rng.expovariate(1 / 3600))
        for shape in shapes
        for _ in range(5)
    )
    capacity = {"VCPU": 16, "Memory": 65536}
    return {
        "hosts": {name: Host(name, capacity, held={"VCPU": n}) for name, n in held.items()},
        "waiting": tuple(shapes),
        "policy": Policy(),
        "now": NOW,
        "holds": tuple(sorted(holds, key=lambda hold: hold.ends)),
        "history": HoldingTimes(times),
    }


def _shape(number: int, instances: int) -> WaitingShape:
    demand = Demand(((("Memory", 1024 + number), ("VCPU", 12)),) * instances)
    heads = tuple(
        Head(number + SHAPES * n + 1, f"r{number}.{n}", number + SHAPES * n) for n in range(8)
    )
    shape = Shape(demand, f"o{number % 10}", "http://here")
    return WaitingShape(f"d{number}", shape, heads, WAITING // SHAPES)
