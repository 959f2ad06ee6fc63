"""The order of an admission pass while the policy shares: who used least for its weight is first.

A job has a *priority of its own* if its client gave it one, or an operator moved it. Such jobs keep
their places in the queue, with one exception: those of equal priority are ordered by their owners'
shares among themselves. The places in between belong to all other jobs together. Each is filled by
the job whose owner's share is the smallest now, and of equal ones by the one that comes first in
the queue. A job's turn takes one place. A shape that has to wait takes at once as many places as it
has such jobs left, for none of them will be granted in this pass.

An owner's *share* is what it held on average until now (domain/sharing.py), plus what this pass
grants it; of the resource of which that is the largest part of the capacity; divided by its weight.
The average moves with time only, so grants of this pass count in full: otherwise one owner would be
granted all that is free at once. What an owner holds since earlier passes counts by its average
alone: added in full, it makes the order change with each end of a job, and reservations with it. On
a log with two heavy owners that cost six points of utilisation (docs/measured.md).

The order is that of the jobs a snapshot shows. While more shapes wait than one shows, each round
over the queue begins with another window, so that an owner far behind is first to see what came
free as often as others are (admission/granter.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from rq_broker.domain.planning import WaitingShape
from rq_broker.planner.owner_usage import OwnerUsage
from rq_broker.planner.turns import Turn


class _OwnerTurn(NamedTuple):
    """When the next sharing job of an owner is considered; the smallest comes first."""

    share: float
    priority: int
    job_id: int
    owner: str


class ShareOrder:
    """The shown jobs in the order of places and shares.

    Both heaps are corrected when their first entry is read: within a pass shares only grow, and an
    owner's next job only gets later, so no entry behind the first can come before it.
    """

    def __init__(self, shapes: Sequence[WaitingShape], usage: OwnerUsage) -> None:
        self._shapes = shapes
        self._usage = usage
        self._fixed: list[Turn] = []
        """Jobs with a priority of their own, as a heap."""
        self._sharing: list[Sequence[int]] = []
        """For each shape the numbers of its other heads."""
        self._next = [0] * len(shapes)
        """For each shape how many of these were considered."""
        self._left = [len(waiting.heads) for waiting in shapes]
        """For each shape how many of all its heads were not considered."""
        self._lines: dict[str, list[Turn]] = {}
        """Owner → its shapes' next sharing jobs, as a heap."""
        self._gone: set[int] = set()
        """Numbers of the shapes that wait for the rest of the pass."""
        for number, waiting in enumerate(shapes):
            self._add_shape(number, waiting)
        heapify(self._fixed)
        for line in self._lines.values():
            heapify(line)
        self._owners = [self._owner_turn(owner) for owner in self._lines]
        heapify(self._owners)
        self._places = self._sharing_places() if self._fixed else []
        """Priority and ID of the places that sharing jobs fill."""
        self._filled = 0
        self._turn: Turn | None = None
        """The first turn, as last read."""

    def _add_shape(self, number: int, waiting: WaitingShape) -> None:
        heads, owner = waiting.heads, waiting.shape.owner
        fixed = [index for index, head in enumerate(heads) if head.own_priority]
        sharing: Sequence[int] = range(len(heads))
        if fixed:
            share = self._usage.share(owner)
            for index in fixed:
                head = heads[index]
                self._fixed.append(Turn(head.priority, share, head.id, number, index))
            sharing = sorted({*sharing}.difference(fixed))
        self._sharing.append(sharing)
        if sharing:
            self._lines.setdefault(owner, []).append(self._sharing_turn(number))

    def _sharing_turn(self, number: int) -> Turn:
        """Return the turn of the next sharing job of a shape."""
        index = self._sharing[number][self._next[number]]
        head = self._shapes[number].heads[index]
        return Turn(head.priority, 0.0, head.id, number, index)

    def _owner_turn(self, owner: str) -> _OwnerTurn:
        first = self._lines[owner][0]
        return _OwnerTurn(self._usage.share(owner), first.priority, first.job_id, owner)

    def _sharing_places(self) -> list[tuple[int, int]]:
        return sorted(
            (waiting.heads[index].priority, waiting.heads[index].id)
            for waiting, sharing in zip(self._shapes, self._sharing, strict=True)
            for index in sharing
        )

    def first(self) -> Turn | None:
        """Return the next turn and leave it in the queue; None when no shape has more jobs."""
        fixed, sharing = self._first_fixed(), self._first_sharing()
        if fixed and sharing:
            is_before = (fixed.priority, fixed.job_id) < self._places[self._filled]
            self._turn = fixed if is_before else sharing
        else:
            self._turn = fixed or sharing
        return self._turn

    def _first_fixed(self) -> Turn | None:
        while self._fixed:
            turn = self._fixed[0]
            if turn.shape_number in self._gone:
                heappop(self._fixed)
                continue
            share = self._usage.share(self._shapes[turn.shape_number].shape.owner)
            if share == turn.owner_share:
                return turn
            heapreplace(self._fixed, turn._replace(owner_share=share))
        return None

    def _first_sharing(self) -> Turn | None:
        while self._owners:
            owner = self._owners[0].owner
            line = self._lines[owner]
            while line and line[0].shape_number in self._gone:
                heappop(line)
            if not line:
                heappop(self._owners)
                continue
            turn = self._owner_turn(owner)
            if turn == self._owners[0]:
                return line[0]
            heapreplace(self._owners, turn)
        return None

    def drop_shape(self) -> None:
        """Take the first turn's shape out of the queue."""
        assert self._turn is not None
        number = self._turn.shape_number
        self._gone.add(number)
        self._filled += len(self._sharing[number]) - self._next[number]

    def queue_next_of_shape(self, turn: Turn) -> bool:
        """Queue the next job of the first turn's shape.

        Returns: whether the snapshot shows another job of the shape.
        """
        number = turn.shape_number
        self._left[number] -= 1
        if self._shapes[number].heads[turn.head_number].own_priority:
            heappop(self._fixed)
        else:
            self._fill_place(number)
        return self._left[number] > 0

    def _fill_place(self, number: int) -> None:
        """Count a sharing job as considered."""
        self._filled += 1
        self._next[number] += 1
        line = self._lines[self._shapes[number].shape.owner]
        if self._next[number] < len(self._sharing[number]):
            heapreplace(line, self._sharing_turn(number))
        else:
            heappop(line)
