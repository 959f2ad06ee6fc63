"""What has become of one job's grant: what is held, what is used instead, and its servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rq_broker.domain.capacity import Amounts
from rq_broker.domain.jobs import Status
from rq_broker.domain.reasons.values import Unserved

OVERDUE_FACTOR = 3.0
"""A job is overdue after this many times its `expected`. A smaller factor names jobs that are only
a little late; with a larger one a dead client is noticed later."""


@dataclass(frozen=True, slots=True)
class FailedCallback:
    """A granted job's callback that failed, and is tried again."""

    destination: str
    """Where it goes: scheme://host:port."""
    attempts: int
    """How often it failed."""
    cause: str
    """Why, the last time, in a word."""
    next_try: float | None
    """When it is tried again, seconds since 1970; None while it is being tried."""
    now: float
    """When this was read, likewise."""
    unserved: Unserved | None = None
    """That no notifier is there to try it."""


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
    running_for: float | None = None
    """Seconds since it began to run, or its client last renewed that; None if it does not run."""
    expected: float | None = None
    """Seconds that it says it holds."""
    missed_by: str = ""
    """A source that did not show one of `unseen` in time; '' for none."""
    callback: FailedCallback | None = None
    """Its callback, if that failed so far."""

    @property
    def is_overdue(self) -> bool:
        """Whether it runs, without a word of its client, for several times what it said."""
        return self.running_for is not None and is_overdue(self.running_for, self.expected)


def is_overdue(seconds: float, expected: float | None) -> bool:
    """Return whether a hold lasts for over OVERDUE_FACTOR times what its job said it would."""
    return expected is not None and seconds > OVERDUE_FACTOR * expected
