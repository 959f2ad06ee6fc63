"""What has become of one job's grant: what is held, what is used instead, and its servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.jobs import Status


@dataclass(frozen=True, slots=True)
class JobHold:
    """The grant of a granted or running job, at one moment."""

    request_id: str
    status: Status
    hosts: tuple[str, ...]
    """The host of each instance."""
    held: Mapping[str, Amounts]
    """Host → what is held there for the job."""
    seen: Mapping[str, Amounts]
    """Host → what of the grant a source counts as used, so that it is not held too."""
    unheld: Mapping[str, Amounts] = field(default_factory=dict)
    """Host → what of the grant is neither held nor used: others filled the host meanwhile."""
    lost_for: float | None = None
    """Seconds since it was told that some is unheld; None if it was not told."""
    servers: tuple[str, ...] = ()
    """The servers that it runs as."""
    unseen: tuple[str, ...] = ()
    """Those of them that no snapshot has shown since they were named."""
    named_for: float = 0.0
    """Seconds since it last named a server."""
    missed_by: str = ""
    """A source that did not show one of `unseen` in time; '' for none."""
