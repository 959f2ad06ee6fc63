"""The order of one admission pass: which of the first jobs of all shapes is considered next."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from rq_broker.domain.planning import WaitingShape
from rq_broker.planner.owner_usage import OwnerUsage


class Turn(NamedTuple):
    """When the next job of a shape is considered; the smallest turn comes first."""

    priority: int
    owner_share: float
    """The owner's dominant share; 0 where order is not fair."""
    job_id: int
    shape_number: int
    """The shape's index in the snapshot."""
    head_number: int
    """The job's index in its shape's heads."""


class TurnQueue:
    """The waiting shapes as a heap, each by its next job: priority, then owner's share, then ID."""

    def __init__(self, shapes: Sequence[WaitingShape], usage: OwnerUsage) -> None:
        self._shapes = shapes
        self._usage = usage
        self._heap: list[Turn] = []
        for number, waiting in enumerate(shapes):
            if waiting.heads:
                head, share = waiting.heads[0], usage.dominant_share(waiting.shape.owner)
                self._heap.append(Turn(head.priority, share, head.id, number, 0))
        heapify(self._heap)

    def first(self) -> Turn | None:
        """Return the next turn and leave it in the queue; None when no shape has more jobs."""
        if self._usage.fair_order:
            self._requeue_grown_shares()
        return self._heap[0] if self._heap else None

    def _requeue_grown_shares(self) -> None:
        """Put back each first turn whose owner's share grew since; no share shrinks in a pass."""
        heap = self._heap
        while heap:
            priority, queued_share, job_id, shape_number, head_number = heap[0]
            share = self._usage.dominant_share(self._shapes[shape_number].shape.owner)
            if share <= queued_share:
                return
            heapreplace(heap, Turn(priority, share, job_id, shape_number, head_number))

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
        following = Turn(head.priority, turn.owner_share, head.id, turn.shape_number, number)
        heapreplace(self._heap, following)
        return True
