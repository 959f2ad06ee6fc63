"""The order of one admission pass: which of the first jobs of all shapes is considered next."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from rq_broker.domain.planning import WaitingShape


class Turn(NamedTuple):
    """When the next job of a shape is considered; the smallest turn comes first."""

    priority: int
    owner_share: float
    """What its owner used for its weight; 0 where that does not count."""
    job_id: int
    shape_number: int
    """The shape's index in the snapshot."""
    head_number: int
    """The job's index in its shape's heads."""


class TurnQueue:
    """The waiting shapes as a heap, each by its next job: priority, then ID."""

    def __init__(self, shapes: Sequence[WaitingShape]) -> None:
        self._shapes = shapes
        self._heap: list[Turn] = []
        for number, waiting in enumerate(shapes):
            if waiting.heads:
                head = waiting.heads[0]
                self._heap.append(Turn(head.priority, 0.0, head.id, number, 0))
        heapify(self._heap)

    def first(self) -> Turn | None:
        """Return the next turn and leave it in the queue; None when no shape has more jobs."""
        return self._heap[0] if self._heap else None

    def drop_shape(self) -> None:
        """Take the first turn's shape out of the queue."""
        heappop(self._heap)

    def queue_next_of_shape(self, turn: Turn) -> bool:
        """Queue the next job of the first turn's shape; without one, drop the shape.

        Returns: whether the snapshot shows another job of the shape.
        """
        heads, number = self._shapes[turn.shape_number].heads, turn.head_number + 1
        if number == len(heads):
            self.drop_shape()
            return False
        head = heads[number]
        following = Turn(head.priority, 0.0, head.id, turn.shape_number, number)
        heapreplace(self._heap, following)
        return True
