"""Prints a seeded log of one user, in the Standard Workload Format, for `scripts/replay.py`.

Sizes and run times follow Lublin and Feitelson (2003); arrivals are a Poisson process.
All jobs are of one user and none has an estimate, so nothing in the log predicts a run time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import exp, log2
from random import Random
from typing import NamedTuple

SERIAL_PART, POWER_OF_TWO_PART = 0.244, 0.576
"""How many jobs take one processor, and how many of the others a power of two."""
LEAST_LOG2, MIDDLE_BELOW_MOST, LOWER_PART = 0.8, 2.5, 0.86
"""The base-2 logarithm of a size is uniform from the least to the middle, and so often it is;
otherwise it is uniform from the middle to that of the whole cluster."""
SHORT, LONG = (4.2, 0.94), (312.0, 0.03)
"""Shape and scale of the logarithm of a run time, which is gamma distributed."""
SHORT_PART, SHORT_PART_BY_SIZE = 0.78, -0.0054
"""How many jobs of no size run short, and how that changes with each processor."""
LONGEST_LOG = 12.0
"""Of a run time: e^12 s are 45 hours."""


class Draw(NamedTuple):
    """A job without its time of arrival."""

    run_time: int
    processors: int


def draw(rng: Random, most: int) -> Draw:
    """Draw a job of at most `most` processors."""
    processors = _processors(rng, most)
    part = min(max(SHORT_PART + SHORT_PART_BY_SIZE * processors, 0.0), 1.0)
    logarithm = LONGEST_LOG + 1
    while logarithm > LONGEST_LOG:
        logarithm = rng.gammavariate(*(SHORT if rng.random() <= part else LONG))
    return Draw(max(1, round(exp(logarithm))), processors)


def _processors(rng: Random, most: int) -> int:
    if rng.random() < SERIAL_PART:
        return 1
    highest = log2(most)
    middle = max(highest - MIDDLE_BELOW_MOST, LEAST_LOG2)
    ends = (LEAST_LOG2, middle) if rng.random() < LOWER_PART else (middle, highest)
    exponent = rng.uniform(*ends)
    if rng.random() < POWER_OF_TWO_PART:
        exponent = round(exponent)
    return min(round(2**exponent), most)


def lines(seed: int, jobs: int, processors: int, load: float) -> Iterator[str]:
    """Yield the lines of a log that would use `load` of its processors."""
    rng = Random(seed)
    draws = [draw(rng, processors) for _ in range(jobs)]
    work = sum(job.run_time * job.processors for job in draws)
    mean_gap = work / jobs / (processors * load)
    yield f"; Computer: synthetic, {processors} processors, load {load:.0%}, seed {seed}"
    seconds = 0.0
    for number, job in enumerate(draws, 1):
        fields = {1: number, 2: round(seconds), 4: job.run_time, 5: job.processors, 11: 1, 12: 1}
        yield " ".join(str(fields.get(field, -1)) for field in range(1, 19))
        seconds += rng.expovariate(1 / mean_gap)


def main() -> None:
    """Print the log."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seed", type=int, default=1, help="of the log (default: 1)")
    words.add_argument("--jobs", type=int, default=4000, help="(default: 4000)")
    words.add_argument("--processors", type=int, default=256, help="of the cluster (default: 256)")
    words.add_argument("--load", type=float, default=0.95, help="part of them (default: 0.95)")
    options = words.parse_args()
    for line in lines(options.seed, options.jobs, options.processors, options.load):
        print(line)


if __name__ == "__main__":
    main()
