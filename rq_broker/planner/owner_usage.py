"""What each owner holds: its limits, and its dominant share for fair order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class ExceededLimit:
    """The limit a job would exceed: it `needs` more than `limit` − `held` − `kept`."""

    resource: str
    limit: int
    held: int
    kept: int
    """Kept below the limit for an earlier job of the same owner."""
    needs: int


class OwnerUsage:
    """What each owner holds, the grants of this pass included."""

    __slots__ = ("_capacity", "_kept", "_limits", "_shares", "_usage", "fair_order")

    def __init__(self, hosts: Iterable[Host], policy: Policy, usage: Mapping[str, Amounts]) -> None:
        self.fair_order = policy.share == "owner"
        self._limits = policy.limits
        self._usage = {owner: dict(amounts) for owner, amounts in usage.items()}
        self._kept: dict[str, Amounts] = {}
        self._shares: dict[str, float] = {}
        """Owner → its dominant share, once computed, until its next grant."""
        self._capacity: dict[str, int] = {}
        """All hosts' capacity together, which shares are parts of; filled for fair order only."""
        if self.fair_order:
            for host in hosts:
                if not host.dropped:
                    add_amounts(self._capacity, host.capacity)

    def dominant_share(self, owner: str) -> float:
        """Return the owner's largest part of any resource, 0 to 1; 0 without fair order."""
        if not self.fair_order:
            return 0.0
        share = self._shares.get(owner)
        if share is None:
            capacity, usage = self._capacity, self._usage.get(owner, {})
            parts = (amount / capacity[r] for r, amount in usage.items() if capacity.get(r))
            share = self._shares[owner] = max(parts, default=0.0)
        return share

    def exceeded_limit(self, owner: str, amounts: Amounts) -> ExceededLimit | None:
        """Return the first limit that `amounts` more would exceed, or None."""
        limits = self._limits.get(owner, self._limits.get("*"))
        if not limits:
            return None
        usage, kept = self._usage.get(owner, {}), self._kept.get(owner, {})
        for resource, needs in amounts.items():
            limit = limits.get(resource)
            held, kept_amount = usage.get(resource, 0), kept.get(resource, 0)
            if limit is not None and needs and held + kept_amount + needs > limit:
                return ExceededLimit(resource, limit, held, kept_amount, needs)
        return None

    def add_grant(self, owner: str, amounts: Amounts) -> None:
        """Count a grant."""
        if self.fair_order or self._limits:
            add_amounts(self._usage.setdefault(owner, {}), amounts)
            self._shares.pop(owner, None)

    def keep_room(self, owner: str, amounts: Amounts) -> None:
        """Keep room below the owner's limit for its earliest job that was passed too long."""
        self._kept.setdefault(owner, amounts)


def add_amounts(into: dict[str, int], amounts: Amounts) -> None:
    """Add amounts in place."""
    for resource, amount in amounts.items():
        into[resource] = into.get(resource, 0) + amount
