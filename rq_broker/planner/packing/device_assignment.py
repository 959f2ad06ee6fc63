"""Which devices of one host several different instances are given, so that all of them find theirs.

Each takes the fullest that hold it, as one instance alone does; where the last ones then find none,
the earlier ones take others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rq_broker.domain.devices import DeviceChoice
from rq_broker.domain.traits import Instance
from rq_broker.planner.packing.devices import (
    DeviceRow,
    all_choices,
    count_fitting,
    take,
    take_fullest,
)

STEPS = 300
"""Choices that one assignment may try: bounds it to about a millisecond. With fewer, jobs of
different instances wait although their devices could be told apart in another way."""


class _OutOfSteps(Exception):
    """No assignment was found in time."""


def assign(row: DeviceRow, instances: Sequence[Instance]) -> list[DeviceChoice] | None:
    """Choose the devices of each instance; None if some find none, or the steps are used up."""
    choices = _one_after_the_other(row, instances)
    if choices is not None or len(instances) < 2:
        return choices
    steps = iter(range(STEPS))
    try:
        return _others(row, instances, steps)
    except _OutOfSteps:
        return None


def _one_after_the_other(
    row: DeviceRow, instances: Sequence[Instance]
) -> list[DeviceChoice] | None:
    left, choices = row.copy(), list[DeviceChoice]()
    for instance in instances:
        if not count_fitting(left, instance, 1):
            return None
        choices.append(take_fullest(left, instance))
    return choices


def _others(
    row: DeviceRow, instances: Sequence[Instance], steps: Iterator[int]
) -> list[DeviceChoice] | None:
    if not instances:
        return []
    first, *others = instances
    if not count_fitting(row, first, 1):
        return None
    for choice in all_choices(row, first):
        if next(steps, None) is None:
            raise _OutOfSteps
        left = row.copy()
        take(left, first, choice)
        rest = _others(left, others, steps)
        if rest is not None:
            return [choice, *rest]
    return None
