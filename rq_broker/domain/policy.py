"""The policy: how a type is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rq_broker.domain.capacity import Amounts


@dataclass(frozen=True, slots=True)
class Policy:
    """How a type is run. Spans are seconds; None means without end."""

    patience: float | None = 300.0
    offer: float | None = 300.0
    running: float | None = None
    retention: float | None = 7 * 86400.0
    paused: bool = False
    concurrency: int = 32
    """Callbacks on their way to one destination at once, from all notifiers together."""
    share: str | None = None
    """None, or "owner": at equal priority the owner with the smallest dominant share goes first."""
    limits: Mapping[str, Amounts] = field(default_factory=dict)
    """Owner, or "*" for every owner not named → the most its jobs may hold of each resource."""
    holds: str = "until_done"
    """Or "until_seen": a running job's hold ends as far as a source's `used` shows its servers."""
    settle: float = 60.0
    """Under until_seen, seconds until a running job without known servers counts as seen."""
