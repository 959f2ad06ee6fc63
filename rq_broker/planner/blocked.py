"""What an admission pass notes of a shape that waits after it."""

from __future__ import annotations

from dataclasses import dataclass

from rq_broker.domain.planning import Head, WaitingShape
from rq_broker.domain.reasons.reason import Reason
from rq_broker.planner.owner_usage import ExceededLimit
from rq_broker.planner.packing.placer import Placer
from rq_broker.planner.share_leads import ShareLead


@dataclass(frozen=True, slots=True)
class Option:
    """An alternative that was not granted at the job's turn."""

    placer: Placer
    exceeded: ExceededLimit | None
    """The limit of its owner that it would exceed; None: there is no room."""


@dataclass(frozen=True, slots=True)
class BlockedShape:
    """A shape that waits after this pass, and its first job that was not granted."""

    waiting: WaitingShape
    placer: Placer
    head: Head
    reason: Reason | None = None
    """Why it waits, where that is known without a search."""
    closed_hosts: int = 0
    """Mask of the hosts that strict order had closed before its turn."""
    share: float = 0.0
    """What its owner had used for its weight at its turn, where the policy shares."""
    lead: ShareLead | None = None
    """A job that came later and had its turn before, where the policy shares."""
    options: tuple[Option, ...] = ()
    """Of a job with alternatives those that count now, in order; `placer` is of one of them."""

    @property
    def placers(self) -> list[Placer]:
        """Those of all its alternatives that count now."""
        return [option.placer for option in self.options] or [self.placer]

    @property
    def usable_hosts(self) -> int:
        """Mask of the hosts that it may use."""
        mask = 0
        for placer in self.placers:
            mask |= placer.usable_hosts
        return mask

    @property
    def alternative(self) -> int | None:
        """Which alternative `placer` is of; None for a job without any."""
        return self.placers.index(self.placer) if self.options else None
