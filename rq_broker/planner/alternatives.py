"""The choice among the alternatives of a job: the one to grant, and the one to reserve for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.start_times import StartTime


class Choice(NamedTuple):
    """What a job is granted."""

    alternative: int
    """Its number among those of the job; 0 of a job that has no alternatives."""
    placer: Placer
    """Of that alternative."""
    hosts: list[int]


class OptionStart(NamedTuple):
    """When an alternative can start, for the choice of the one to reserve for."""

    start: StartTime
    placer: Placer


def earliest(starts: Iterable[OptionStart]) -> OptionStart | None:
    """Return the alternative that can start first; of equal ones the one that is preferred."""
    return min(starts, key=lambda option: option.start.seconds, default=None)
