"""What owners use of a type that shares, while a simulated future goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rq_broker.domain.sharing import Average, Share
from rq_broker.planner.forecasting.room import Vector, add


class SimulatedShares:
    """The share of each owner: what it held on average plus what a pass grants, by its weight."""

    def __init__(
        self,
        sharing: Share,
        capacity: Vector,
        usage: Mapping[str, Vector],
        averages: Mapping[str, Sequence[float]],
    ) -> None:
        """Begin with what owners hold now, and held on average until now.

        Args:
            sharing: the policy's.
            capacity: of all hosts.
            usage: owner → what its jobs hold; read again whenever an average is needed.
            averages: owner → what its jobs held on average; if missing, what they hold now.
        """
        self._sharing = sharing
        self._capacity = capacity
        self._usage = usage
        self._now = 0.0
        self._granted: dict[str, Vector] = {}
        """Owner → what this pass grants it."""
        self._averages = {
            owner: [Average(amount, 0.0) for amount in averages.get(owner, held)]
            for owner, held in usage.items()
        }

    def begin_pass(self, now: float) -> None:
        """Forget what the last pass granted: its time is part of the averages."""
        self._now = now
        self._granted.clear()

    def settle(self, owner: str, now: float) -> None:
        """Bring an owner's average up to date, before what it holds changes."""
        self._averages[owner] = [Average(amount, now) for amount in self._average(owner, now)]

    def grant(self, owner: str, amounts: Vector) -> None:
        """Count what this pass grants an owner."""
        granted = self._granted.get(owner)
        self._granted[owner] = amounts if granted is None else add(granted, amounts)

    def share(self, owner: str) -> float:
        """Return what an owner used of its dominant resource, by its weight."""
        granted = self._granted.get(owner, (0,) * len(self._capacity))
        parts = [
            (average + new) / most
            for average, new, most in zip(
                self._average(owner, self._now), granted, self._capacity, strict=True
            )
            if most
        ]
        return max(parts, default=0.0) / self._sharing.weight(owner)

    def _average(self, owner: str, now: float) -> list[float]:
        return [
            average.at(now, held, self._sharing.half_life)
            for average, held in zip(self._averages[owner], self._usage[owner], strict=True)
        ]
