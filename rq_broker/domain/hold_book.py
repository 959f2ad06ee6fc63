"""The running holds of one type, ordered by when they are expected to end."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import replace

from rq_broker.domain.holding_times import HoldingTimes
from rq_broker.domain.planning import Hold


class HoldBook:
    """Holds by request_id; a hold that outlives its prediction is given a longer one."""

    def __init__(self) -> None:
        self._holds: dict[str, Hold] = {}
        self._order: list[tuple[float, str]] = []
        """(expected end, request_id), sorted."""
        self._in_order: tuple[Hold, ...] | None = None
        """The holds as they were returned last; None since one has changed."""

    def __len__(self) -> int:
        return len(self._holds)

    def add(self, hold: Hold) -> None:
        """Add a hold, or replace the one of the same job."""
        self.remove(hold.request_id)
        self._holds[hold.request_id] = hold
        self._in_order = None
        insort(self._order, (hold.ends, hold.request_id))

    def remove(self, request_id: str) -> Hold | None:
        """Remove a job's hold and return it; None if it has none."""
        hold = self._holds.pop(request_id, None)
        if hold is not None:
            del self._order[bisect_left(self._order, (hold.ends, request_id))]
            self._in_order = None
        return hold

    def in_order(self, now: float, history: HoldingTimes) -> tuple[Hold, ...]:
        """Return the holds, the earliest expected end first, all after `now`.

        A hold whose end has passed was outlived: its prediction is corrected from `history`.
        """
        while self._order and self._order[0][0] <= now:
            hold = self._holds[self._order[0][1]]
            predicted, age = hold.ends - hold.granted, now - hold.granted
            corrected = history.corrected(predicted, age, hold.owner, hold.demand)
            self.add(replace(hold, ends=hold.granted + corrected))
        if self._in_order is None:
            self._in_order = tuple([self._holds[request_id] for _, request_id in self._order])
        return self._in_order
