"""One admission pass of a simulated future: who starts now, who waits, and what is kept for whom.

The rules are those of the planner: jobs in order, a reservation for the first that does not fit
once it was passed for `patience`, later jobs where they end before it or leave what it needs. The
last resort of a reservation that was missed by far is simulated where it has begun already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rq_broker.planner.forecasting.reservation import Reservation
from rq_broker.planner.forecasting.room import Room
from rq_broker.planner.forecasting.simulated_jobs import NEVER, Batch, Kind, Rules
from rq_broker.planner.forecasting.simulated_turns import Queues, Turns

BACKFILL_DEPTH = 100
"""Kinds of jobs tried behind the first that has a reservation: bounds the cost of one pass."""


class SimulatedPass:
    """The state of one pass."""

    def __init__(
        self,
        room: Room,
        rules: Rules,
        queues: Queues,
        turns: Turns,
        now: float,
        *,
        start: Callable[[Batch, Kind, int], int],
        resolve: Callable[[Reservation], None],
        startable: Callable[[Batch, Kind], int],
    ) -> None:
        """Begin a pass.

        Args:
            room: what is free.
            rules: of the type.
            queues: the waiting batches, by the number of their kind.
            turns: the order in which kinds are considered.
            now: seconds from the beginning of the future.
            start: starts up to so many jobs of a batch, as a kind, as there is room; returns how
                many.
            resolve: finds when a reservation begins.
            startable: returns how many jobs of a batch may start, as a kind, were there room.
        """
        self._room = room
        self._rules = rules
        self._queues = queues
        self._turns = turns
        self._now = now
        self._start = start
        self._resolve = resolve
        self._startable = startable
        self._patience = NEVER if rules.patience is None else rules.patience
        self._reservations: list[Reservation] = []
        self._claimed: frozenset[int] = frozenset()
        """Groups of hosts that some reservation is about."""
        self._closed: frozenset[int] = frozenset()
        """Groups of hosts that strict order closed to later jobs."""
        self._waiting: list[Batch] = []
        """Those that do not fit and that no later job has passed in this pass."""
        self._failed: set[int] = set()
        """Demands that do not fit at all."""
        self._failed_late: set[int] = set()
        """Demands that do not fit beside the reservations."""

    def run(self) -> None:
        """Consider the first jobs of all kinds in order."""
        turns, queues, consider, tried = self._turns, self._queues, self._consider, 0
        first, drop = turns.first, turns.drop
        while tried < BACKFILL_DEPTH and (number := first()) is not None:
            queue = queues[number]
            if self._claimed:
                tried += 1
            if not consider(queue[0]):
                drop()
            elif not queue[0].count:
                queue.popleft()
                turns.requeue()
        for reservation in self._reservations:
            reservation.release(self._room)

    def _consider(self, batch: Batch) -> int:
        """Start jobs of a batch; returns how many. With 0 its kind waits for the next pass."""
        kind = batch.kind
        if kind.others:
            return self._consider_each(batch)
        if not kind.can_start or kind.groups & self._closed:
            return 0
        most = self._startable(batch, kind)
        if most < 0:  # its owner holds as much as it may
            return 0
        if most and kind.demand not in self._failed:
            started = self._start_beside_reservations(batch, kind, most)
            if started:
                self._note_start(batch, started)
                return started
        self._wait(batch, (kind,))
        return 0

    def _consider_each(self, batch: Batch) -> int:
        """Do the same for jobs with alternatives: the first of these that fits starts."""
        lacking = []
        for kind in batch.kinds(self._now):
            if not kind.can_start or kind.groups & self._closed:
                continue
            most = self._startable(batch, kind)
            if most < 0:
                continue
            started = self._start_beside_reservations(batch, kind, most) if most else 0
            if started:
                self._note_start(batch, started)
                return started
            lacking.append(kind)
        if lacking:
            self._wait(batch, tuple(lacking))
        return 0

    def _note_start(self, batch: Batch, started: int) -> None:
        batch.count -= started
        for earlier in self._waiting:
            if earlier.passed is None:
                earlier.passed = self._now
        self._waiting.clear()

    def _start_beside_reservations(self, batch: Batch, kind: Kind, most: int) -> int:
        if kind.demand in self._failed:
            return 0
        reservations = [r for r in self._reservations if r.groups & kind.groups]
        if not reservations:
            return self._start_or_fail(batch, kind, most, self._failed)
        # 1. Find when the reservations begin, unless the job does not fit anyway.
        if not self._resolve_all(reservations, kind):
            self._failed.add(kind.demand)
            return 0
        # 2. A job that might not end in time may use what the reserved jobs will not need.
        if any(reservation.binds(kind, self._now) for reservation in reservations):
            if kind.demand in self._failed_late:
                return 0
            return self._start_or_fail(batch, kind, most, self._failed_late)
        # 3. Any other may use everything, and first what is withheld.
        for reservation in reservations:
            reservation.release(self._room)
        before = {host: self._room.row(host) for made in reservations for host in made.withheld}
        started = self._start_or_fail(batch, kind, most, self._failed)
        taken = {
            host: tuple([was - now for was, now in zip(row, self._room.row(host), strict=True)])
            for host, row in before.items()
        }
        for reservation in reservations:
            reservation.withhold_rest(self._room, taken)
        return started

    def _resolve_all(self, reservations: Sequence[Reservation], kind: Kind) -> bool:
        """Find when reservations begin; returns False if the kind does not fit anyway."""
        unresolved = [r for r in reservations if not r.is_resolved]
        if unresolved and any(
            self._room.count(need, need.instances) < need.instances for need in kind.needs
        ):
            return False
        for reservation in unresolved:
            self._resolve(reservation)
        return True

    def _start_or_fail(self, batch: Batch, kind: Kind, most: int, failed: set[int]) -> int:
        started = self._start(batch, kind, most)
        if not started:
            failed.add(kind.demand)
        return started

    def _wait(self, batch: Batch, kinds: tuple[Kind, ...]) -> None:
        """Let a batch wait for room, as any of these kinds; reserve for it where it is due."""
        if self._rules.strict_order:
            for kind in kinds:
                self._closed |= kind.groups
            return
        self._waiting.append(batch)
        # A batch is due once it was passed for as long as patience allows.
        patience, passed = self._patience, batch.passed
        if patience <= 0 or (passed is not None and self._now - passed >= patience):
            self._reserve(batch, kinds)

    def _reserve(self, batch: Batch, kinds: tuple[Kind, ...]) -> None:
        """Reserve for a batch, unless others have claimed all groups of hosts before it."""
        free = tuple([kind for kind in kinds if not self._claimed & kind.groups])
        if not free:
            batch.kept = None  # the pass that gives it no reservation forgets its promise
        else:
            self._reservations.append(Reservation(batch, free))
            for kind in kinds:
                self._claimed |= kind.groups
