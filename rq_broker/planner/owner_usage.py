"""What each owner holds and used: its limits, and its share, by which jobs are ordered."""

from __future__ import annotations

from dataclasses import dataclass

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.planning import Snapshot
from rq_broker.domain.traits import Instance


@dataclass(frozen=True, slots=True)
class ExceededLimit:
    """The limit a job would exceed: it `needs` more than `limit` − `held` − `kept`."""

    resource: str
    limit: int
    held: int
    kept: int
    """Kept below the limit for an earlier job of the same owner."""
    needs: int

    @property
    def is_for_ever(self) -> bool:
        """Whether it exceeds the limit whatever its owner holds."""
        return self.needs > self.limit


class OwnerUsage:
    """What each owner holds, the grants of this pass included."""

    __slots__ = ("_capacity", "_kept", "_limits", "_shares", "_sharing", "_usage", "_used")

    def __init__(self, snapshot: Snapshot) -> None:
        self._sharing = snapshot.policy.sharing
        self._limits = snapshot.policy.limits
        self._usage = {owner: dict(amounts) for owner, amounts in snapshot.usage.items()}
        self._used: dict[str, dict[str, float]] = {}
        """Owner → resource → what it held on average, and was granted in this pass."""
        self._kept: dict[str, Amounts] = {}
        self._shares: dict[str, float] = {}
        """Owner → its share, once computed, until its next grant."""
        self._capacity: dict[str, int] = {}
        """All hosts' capacity together, which shares are parts of; filled if the policy shares."""
        if self._sharing:
            self._used = {owner: dict(past) for owner, past in snapshot.past_usage.items()}
            for host in snapshot.hosts.values():
                if not host.dropped:
                    add_amounts(self._capacity, host.capacity)

    @property
    def shares(self) -> bool:
        """Whether the policy orders jobs by what their owners used."""
        return self._sharing is not None

    def share(self, owner: str) -> float:
        """Return what an owner used of its dominant resource, by its weight.

        That is the largest part of the capacity, of any resource, that it held on average, the
        grants of this pass added in full.
        """
        assert self._sharing is not None
        share = self._shares.get(owner)
        if share is None:
            capacity, used = self._capacity, self._used.get(owner, {})
            parts = (amount / capacity[r] for r, amount in used.items() if capacity.get(r))
            share = max(parts, default=0.0) / self._sharing.weight(owner)
            self._shares[owner] = share
        return share

    def exceeded_limit(self, owner: str, amounts: Amounts) -> ExceededLimit | None:
        """Return the first limit that `amounts` more would exceed, or None.

        A limit that `amounts` alone exceed goes before the others: it will never be kept.
        """
        limits = self._limits.get(owner, self._limits.get("*"))
        if not limits:
            return None
        usage, kept = self._usage.get(owner, {}), self._kept.get(owner, {})
        first_exceeded = None
        for resource, needs in amounts.items():
            limit = limits.get(resource)
            held, kept_amount = usage.get(resource, 0), kept.get(resource, 0)
            if limit is not None and needs and held + kept_amount + needs > limit:
                exceeded = ExceededLimit(resource, limit, held, kept_amount, needs)
                if exceeded.is_for_ever:
                    return exceeded
                first_exceeded = first_exceeded or exceeded
        return first_exceeded

    def count_within(self, owner: str, amounts: Amounts, instance: Instance, most: int) -> int:
        """Count how often an owner may have an instance beside `amounts`, up to `most`."""
        limits = self._limits.get(owner, self._limits.get("*"))
        if not limits:
            return most
        usage, kept = self._usage.get(owner, {}), self._kept.get(owner, {})
        for resource, amount in instance:
            if resource in limits:
                taken = usage.get(resource, 0) + kept.get(resource, 0) + amounts.get(resource, 0)
                most = min(most, (limits[resource] - taken) // amount)
        return max(most, 0)

    def add_grant(self, owner: str, amounts: Amounts) -> None:
        """Count a grant."""
        if self._limits:
            add_amounts(self._usage.setdefault(owner, {}), amounts)
        if self._sharing:
            used = self._used.setdefault(owner, {})
            for resource, amount in amounts.items():
                used[resource] = used.get(resource, 0.0) + amount
            self._shares.pop(owner, None)

    def keep_room(self, owner: str, amounts: Amounts) -> None:
        """Keep room below the owner's limit for its earliest job that was passed too long."""
        self._kept.setdefault(owner, amounts)


def add_amounts(into: dict[str, int], amounts: Amounts) -> None:
    """Add amounts in place."""
    for resource, amount in amounts.items():
        into[resource] = into.get(resource, 0) + amount
