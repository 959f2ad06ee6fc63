"""The choice among the alternatives of a job: the one to grant, and the one to reserve for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rq_broker.planner.blocked import Option
from rq_broker.planner.owner_usage import ExceededLimit
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.start_times import StartTime

Choice = tuple[int, Placer, list[int]]
"""What a job is granted: the number of the alternative, its placer, and the hosts."""


class OptionStart(NamedTuple):
    """When an alternative can start, for the choice of the one to reserve for."""

    start: StartTime
    placer: Placer


def earliest(starts: Iterable[OptionStart]) -> OptionStart | None:
    """Return the alternative that can start first; of equal ones the one that is preferred."""
    return min(starts, key=lambda option: option.start.seconds, default=None)


def least_exceeded(options: Sequence[Option]) -> tuple[Placer, ExceededLimit]:
    """Return the first alternative that is not over a limit for ever, else the first one."""
    over = [(option.placer, option.exceeded) for option in options if option.exceeded]
    return next((pair for pair in over if not pair[1].is_for_ever), over[0])
