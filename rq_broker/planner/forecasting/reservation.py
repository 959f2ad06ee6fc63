"""A reservation in a simulated future: when a job will fit, and what is kept for it until then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rq_broker.planner.forecasting.room import Need, Room, Vector
from rq_broker.planner.forecasting.simulated_jobs import NEVER, Batch, Kind, RunningHold
from rq_broker.planner.promising import Binding, missed_since
from rq_broker.planner.reservations import Care, care_for, span_before


@dataclass(eq=False, slots=True)
class Reservation:
    """What is kept for a job that does not fit, from the time at which it will."""

    batch: Batch
    kinds: tuple[Kind, ...]
    """What will do for it: its kind and, of a job with alternatives, those that count."""
    start: float = NEVER
    care: Care = Care.USUAL
    binding: Binding = Binding.MOVING
    """Whether hosts are kept for the job, and how firmly."""
    is_resolved: bool = False
    """Whether `start` is known: it is found only where a later job would go first."""
    groups: frozenset[int] = field(init=False)
    """Groups of hosts that its job may use."""
    withheld: dict[int, Vector] = field(default_factory=dict)
    """Host → what is free there and later jobs may not use, unless they end in time."""

    def __post_init__(self) -> None:
        self.groups = frozenset().union(*(kind.groups for kind in self.kinds))

    def binds(self, kind: Kind, now: float) -> bool:
        """Return whether the kind might not end before the reservation begins."""
        if not self.is_resolved:
            return False
        span = span_before(kind.prediction, self.binding, self.care)
        return now + span > self.start

    def release(self, room: Room) -> None:
        """Make what is withheld usable."""
        room.give(self.withheld.items())

    def withhold_rest(self, room: Room, taken: Mapping[int, Vector]) -> None:
        """Withhold again, but for what was taken since from those hosts."""
        for host, amounts in self.withheld.items():
            used = taken.get(host, (0,) * len(amounts))
            self.withheld[host] = rest = tuple(
                [max(amount - part, 0) for amount, part in zip(amounts, used, strict=True)]
            )
            room.take(host, rest)

    def resolve(
        self,
        room: Room,
        ends: Callable[[], Iterable[tuple[float, RunningHold]]],
        now: float,
        mean_hold: float,
    ) -> None:
        """Find the first time at which the job fits, and withhold what it needs then.

        Args:
            room: what is free now.
            ends: returns all holds with their expected ends, the earliest first.
            now: seconds from the beginning of the future.
            mean_hold: the mean holding time.
        """
        self.is_resolved, batch = True, self.batch
        rising = _RisingRoom(room, self.kinds[0])
        self.start = rising.release_until_fit(ends())
        for kind in self.kinds[1:]:
            other = _RisingRoom(room, kind)
            start = other.release_until_fit(ends())
            if start < self.start:
                self.start, rising = start, other
        batch.start = self.start
        if self.start == NEVER:
            return
        self.care = care_for(now, batch.passed, mean_hold, wide=rising.kind.is_wide)
        kept = batch.kept
        missed = missed_since(kept.promise, now, mean_hold) if kept else None
        if kept and missed is not None:
            awaits_earlier = any(
                hold.began < missed and hold.is_on(kept.needs) for _, hold in ends()
            )
            self.binding = Binding.FIXED if awaits_earlier else Binding.CLOSED
            self.withheld = kept.free_on(room)
        else:
            rising.reserve()
            self.withheld = rising.withheld()
        for host, amounts in self.withheld.items():
            room.take(host, amounts)


class _RisingRoom:
    """What hosts have free while holds end, for one kind of job."""

    def __init__(self, room: Room, kind: Kind) -> None:
        self._room = room
        self.kind = kind
        self._counts = [room.count(need, need.instances) for need in kind.needs]
        """For each need how many instances fit."""
        self._rows: dict[int, Vector] = {}
        """Host → what will be free there, of the hosts where something ends."""

    def release_until_fit(self, ends: Iterable[tuple[float, RunningHold]]) -> float:
        """Let holds end until the job fits; returns when that is, or NEVER."""
        start, needs = NEVER, self.kind.needs
        for seconds, hold in ends:
            if seconds > start:
                break
            self._release(hold)
            if start == NEVER and all(
                count >= need.instances for count, need in zip(self._counts, needs, strict=True)
            ):
                start = seconds
        return start

    def _release(self, hold: RunningHold) -> None:
        room, rows = self._room, self._rows
        for host, amounts in hold.placement:
            group = room.group(host)
            if group not in self.kind.groups:
                continue
            before = rows.get(host) or room.row(host)
            after = tuple([free + amount for free, amount in zip(before, amounts, strict=True)])
            rows[host] = after
            for index, need in enumerate(self.kind.needs):
                if group in need.groups:
                    self._counts[index] += self._fitting(need, host, after)
                    self._counts[index] -= self._fitting(need, host, before)

    def _fitting(self, need: Need, host: int, row: Vector) -> int:
        room = self._room
        times = max(room.fitting(need, room.group(host), row), 0)
        return min(times, room.size(host)) if room.is_spread(need, room.group(host)) else times

    def reserve(self) -> None:
        """Place the job: on hosts where holds end last, then on those that are free now."""
        risen = list(reversed(self._rows))
        for need in self.kind.needs:
            left = need.instances
            for host in risen:
                left -= self._place(need, host, left)
                if not left:
                    break
            if left:
                left = self._place_elsewhere(need, left)

    def _place_elsewhere(self, need: Need, left: int) -> int:
        for host in self._room.hosts_for(need):
            if host not in self._rows:
                left -= self._place(need, host, left)
                if not left:
                    break
        return left

    def _place(self, need: Need, host: int, most: int) -> int:
        if self._room.group(host) not in need.groups:
            return 0
        row = self._rows.get(host) or self._room.row(host)
        times = min(self._fitting(need, host, row), most)
        if times:
            taken = self._room.amounts(need, host, row, times)
            self._rows[host] = tuple(
                [free - amount for free, amount in zip(row, taken, strict=True)]
            )
        return times

    def withheld(self) -> dict[int, Vector]:
        """Return what is free now but will not be beside the job: host → amounts."""
        withheld = {}
        for host, later in self._rows.items():
            now = self._room.row(host)
            amounts = tuple(
                [
                    max(free, 0) - max(min(free, rest), 0)
                    for free, rest in zip(now, later, strict=True)
                ]
            )
            if any(amounts):
                withheld[host] = amounts
        return withheld
