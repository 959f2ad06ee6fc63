"""A past for a type: two days of hours and a month of days, as notifiers would have counted it."""

from __future__ import annotations

import math
from random import Random

from rq_broker.domain.report_sums import Level, Sums
from rq_broker.domain.reports import (
    ALL,
    Kind,
    ReportState,
    Step,
    Tally,
    bucket_of,
    owner_group,
    size_group,
    step_at,
)
from rq_broker.store.broker import Broker

OWNERS = {"vision": 5, "fold": 3, "lab-7": 2, "lab-1": 1, "ci": 4}
"""Owner → its part of the jobs."""
SIZES = {-3: 6, -1: 4, 0: 2, 1: 1}
"""Size class → its part of the jobs."""
CAPACITY = {"GPU": 64, "VCPU": 512, "Memory": 2_097_152}
STEPS: dict[Kind, int] = {"hour": 48, "day": 30}
_LENGTH: dict[Kind, int] = {"hour": 3600, "day": 86400}


async def add_history(broker: Broker, type_: str, seed: int = 7) -> None:
    """Write the past of a type: busy by day, quiet by night, and a large job waits for longer."""
    rng, tally = Random(seed), Tally()
    head = await broker.report_state(type_)
    for kind, count in STEPS.items():
        for number in range(count):
            step = step_at(kind, head.now - number * _LENGTH[kind])
            busy = 0.55 + 0.4 * math.sin((step.start / 3600 % 24 - 9) / 24 * 2 * math.pi)
            _fill(tally, step, busy, rng)
            tally.levels[step] = _level(busy, float(_LENGTH[kind]))
    state = ReportState(head.newest, head.now - 30 * 86400, head.now)
    await broker.roll_up(type_, head, state, tally)


def _fill(tally: Tally, step: Step, busy: float, rng: Random) -> None:
    groups: dict[str, Sums] = {}
    for owner, part in OWNERS.items():
        for size, share in SIZES.items():
            jobs = int(busy * part * share * rng.uniform(0.3, 0.8))
            for _ in range(jobs):
                wait = rng.lognormvariate(5 + 0.8 * (size + 3) * busy, 0.9)
                sums = Sums(granted=1, done=1, waited=wait, waits={bucket_of(wait): 1})
                sums.held = {"GPU": 2.0**size * 8 * 3600, "VCPU": 2.0**size * 64 * 3600}
                submit = Sums(submitted=1)
                for name in (ALL, owner_group(owner), size_group(size)):
                    groups.setdefault(name, Sums()).add(sums)
                    if not name.startswith("size/"):
                        groups[name].add(submit)
    tally.sums[step] = groups


def _level(busy: float, seconds: float) -> Level:
    def part(share: float) -> dict[str, float]:
        return {name: amount * share * seconds for name, amount in CAPACITY.items()}

    waiting = max(busy - 0.5, 0.0) * 1.4
    return Level(
        seconds,
        capacity=part(1.0),
        used=part(0.12),
        held=part(min(0.88, 0.2 + 0.8 * busy)),
        waiting=part(waiting),
        jobs=round(waiting * 40) * seconds,
    )
