"""The order in which a simulated pass considers the kinds of jobs, each by its first batch."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol

from rq_broker.planner.forecasting.simulated_jobs import Batch

Queues = Sequence[deque[Batch]]
"""The waiting batches in order, by the number of their kind."""


class Turns(Protocol):
    """An order of kinds, which the pass takes one by one."""

    def first(self) -> int | None:
        """Return the number of the next kind, and leave it there; None when none is left."""

    def drop(self) -> None:
        """Take the next kind out for the rest of the pass."""

    def requeue(self) -> None:
        """Put the next kind where its next batch belongs; without one, take it out."""


class LineTurns:
    """The order of the line. It lasts for all passes of a future: little changes between them."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._order = sorted((queue[0].order, n) for n, queue in enumerate(queues) if queue)
        """Of the first batch of each kind, with the kind's number."""
        self._next = 0
        """Index of the next kind; those before it are out for the rest of the pass."""

    def begin_pass(self) -> None:
        """Put the kinds back that the last pass took out."""
        self._next = 0

    def add(self, number: int) -> None:
        """Put a kind in that had no batch until now; between passes only."""
        insort(self._order, (self._queues[number][0].order, number))

    def first(self) -> int | None:
        """Return the number of the next kind."""
        order, index = self._order, self._next
        return order[index][1] if index < len(order) else None

    def drop(self) -> None:
        """Take the next kind out."""
        self._next += 1

    def requeue(self) -> None:
        """Put the next kind where its next batch belongs."""
        _, number = self._order.pop(self._next)
        if queue := self._queues[number]:
            insort(self._order, (queue[0].order, number), lo=self._next)


class SharedTurns:
    """The order by shares: who used least comes first, but own priorities keep their places.

    A job with a priority of its own comes before all others once none of them stands before it.
    """

    def __init__(self, queues: Queues, share: Callable[[str], float]) -> None:
        """Order kinds; `share` returns what an owner uses now."""
        self._queues = queues
        self._share = share
        waiting = [(queue[0], number) for number, queue in enumerate(queues) if queue]
        self._fixed = LineTurns([queue if _is_fixed(queue) else deque() for queue in queues])
        self._sharing = [
            (share(batch.kind.owner), batch.order, number)
            for batch, number in waiting
            if not batch.kind.own_priority
        ]
        heapify(self._sharing)
        self._places = LineTurns([deque() if _is_fixed(queue) else queue for queue in queues])
        self._gone: set[int] = set()
        """Numbers of the sharing kinds that were taken out."""
        self._is_fixed_first = False

    def first(self) -> int | None:
        """Return the number of the next kind."""
        self._requeue_grown_shares()
        fixed = self._fixed.first()
        self._is_fixed_first = fixed is not None and (
            not self._sharing or self._queues[fixed][0].order < self._first_place()
        )
        if self._is_fixed_first:
            return fixed
        return self._sharing[0][2] if self._sharing else None

    def _requeue_grown_shares(self) -> None:
        """Correct the first entries: within a pass shares only grow."""
        while self._sharing:
            share, order, number = self._sharing[0]
            now = self._share(self._queues[number][0].kind.owner)
            if now <= share:
                return
            heapreplace(self._sharing, (now, order, number))

    def _first_place(self) -> float:
        """Return where the first sharing batch stands that is not taken out."""
        while (number := self._places.first()) is not None:
            if number in self._gone:
                self._places.drop()
            else:
                return self._queues[number][0].order
        return float("inf")

    def drop(self) -> None:
        """Take the next kind out."""
        if self._is_fixed_first:
            self._fixed.drop()
        else:
            self._gone.add(heappop(self._sharing)[2])

    def requeue(self) -> None:
        """Put the next kind where its next batch belongs."""
        if self._is_fixed_first:
            self._fixed.requeue()
            return
        share, _, number = self._sharing[0]
        queue = self._queues[number]
        if queue:
            heapreplace(self._sharing, (share, queue[0].order, number))
        else:
            self.drop()


def _is_fixed(queue: deque[Batch]) -> bool:
    return bool(queue) and queue[0].kind.own_priority
