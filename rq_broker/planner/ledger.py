"""Who holds how much: the owners' caps, and their dominant shares for fair order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rq_broker.domain.capacity import Amounts, Host
from rq_broker.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Cap:
    """The limit a job runs into: `needs` more than the owner `holds`, `kept` for an earlier job."""

    resource: str
    limit: int
    holds: int
    kept: int
    needs: int


class Ledger:
    """What each owner holds, the grants of this pass included."""

    __slots__ = ("_kept", "_limits", "_totals", "_usage", "fair")

    def __init__(self, hosts: Iterable[Host], policy: Policy, usage: Mapping[str, Amounts]) -> None:
        self.fair = policy.share == "owner"
        self._limits = policy.limits
        self._usage = {owner: dict(amounts) for owner, amounts in usage.items()}
        self._kept: dict[str, Amounts] = {}
        self._totals: dict[str, int] = {}
        if self.fair:
            for host in hosts:
                if not host.dropped:
                    add(self._totals, host.capacity)

    def share(self, owner: str) -> float:
        """The owner's largest part of any resource; 0 when order is not fair."""
        if not self.fair:
            return 0.0
        totals = self._totals
        usage = self._usage.get(owner, {})
        return max((n / totals[r] for r, n in usage.items() if totals.get(r)), default=0.0)

    def cap(self, owner: str, total: Amounts) -> Cap | None:
        """Find the limit that `total` more would exceed; what is kept for an earlier job counts."""
        limits = self._limits.get(owner, self._limits.get("*"))
        if not limits:
            return None
        usage, kept = self._usage.get(owner, {}), self._kept.get(owner, {})
        for resource, needs in total.items():
            limit = limits.get(resource)
            holds, set_aside = usage.get(resource, 0), kept.get(resource, 0)
            if limit is not None and needs and holds + set_aside + needs > limit:
                return Cap(resource, limit, holds, set_aside, needs)
        return None

    def add(self, owner: str, total: Amounts) -> None:
        """Count a grant."""
        if self.fair or self._limits:
            add(self._usage.setdefault(owner, {}), total)

    def keep(self, owner: str, total: Amounts) -> None:
        """Leave room below the owner's cap for its earliest job that was passed too long."""
        self._kept.setdefault(owner, total)


def add(into: dict[str, int], amounts: Amounts) -> None:
    """Add amounts in place."""
    for resource, amount in amounts.items():
        into[resource] = into.get(resource, 0) + amount
