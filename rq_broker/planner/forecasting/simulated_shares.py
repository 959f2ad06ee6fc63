"""What owners use of a type that shares, while a simulated future goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rq_broker.domain.sharing import Average, Share
from rq_broker.planner.forecasting.room import Vector


class SimulatedShares:
    """The share of each owner: what it held on average plus what it holds, by its weight."""

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
            usage: owner → what its jobs hold; read again whenever a share is asked for.
            averages: owner → what its jobs held on average; if missing, what they hold now.
        """
        self._sharing = sharing
        self._capacity = capacity
        self._usage = usage
        self._averages = {
            owner: [Average(amount, 0.0) for amount in averages.get(owner, held)]
            for owner, held in usage.items()
        }

    def settle(self, owner: str, now: float) -> None:
        """Bring an owner's average up to date, before what it holds changes."""
        self._averages[owner] = [Average(amount, now) for amount in self._average(owner, now)]

    def share(self, owner: str, now: float) -> float:
        """Return what an owner uses of its dominant resource, by its weight."""
        parts = [
            (held + average) / most
            for held, average, most in zip(
                self._usage[owner], self._average(owner, now), self._capacity, strict=True
            )
            if most
        ]
        return max(parts, default=0.0) / self._sharing.weight(owner)

    def _average(self, owner: str, now: float) -> list[float]:
        return [
            average.at(now, held, self._sharing.half_life)
            for average, held in zip(self._averages[owner], self._usage[owner], strict=True)
        ]
