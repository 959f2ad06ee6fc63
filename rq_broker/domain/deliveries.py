"""Callbacks: claimed deliveries, attempts to send them, and the destinations they go to."""

from __future__ import annotations

from dataclasses import dataclass

from rq_broker.domain.jobs import Job

GONE = "http_410"
"""Cause of an attempt whose receiver does not want the job any more."""
WITHDRAWN = "withdrawn by the client (410)"
"""The error that its job keeps."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed callback."""

    job: Job
    attempt: int
    """Number of this attempt for the grant, from 1."""
    keys: tuple[str, ...] = ()
    """The keys to sign it with, the newest first."""
    unproven: bool = False
    """Whether its destination is not known to answer promptly."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to deliver a callback, after it ended."""

    ended: int
    """µs since 1970."""
    fence: int
    """Number of the grant that the callback announced."""
    attempt: int
    """Number of the attempt for that grant, from 1."""
    cause: str
    """`http_` and the status of the answer, or a word for why there was none, such as `timeout`."""
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Destination:
    """A receiver: the scheme://host:port of callbacks as one owner's jobs see it."""

    name: str
    owner: str
    """Whose jobs; '' for those without an owner."""
    state: str
    """closed (healthy), open (no callbacks), or half-open (one probe at a time)."""
    failures: int
    """Consecutive failures that count against its health."""
    opens_for: float
    """Seconds until the breaker becomes half-open."""
    asked_for: float
    """Seconds for which it still asks not to be called."""
    in_flight: int
    """Callbacks being sent."""
    parked: int
    """Callbacks that wait for the receiver, apart from those of others."""


@dataclass(frozen=True, slots=True)
class ReceiverChange:
    """A receiver whose breaker opened or closed, or that asked for time."""

    destination: str
    owner: str
    change: str
    """open, closed or asked."""
    failures: int
    """Failures in a row that led to it, or that it ends."""
    seconds: int
    """For how long; 0 for closed."""


@dataclass(frozen=True, slots=True)
class ReceiverTest:
    """A message that an operator has sent to see whether a receiver answers."""

    test: str
    """Its name, as its caller gave it."""
    destination: str
    owner: str
    """Whose keys it is signed with; '' for those of every owner."""
    is_sent: bool = False
    """Whether a notifier has taken it."""
    cause: str | None = None
    """What became of it, as of an attempt; None until that is known."""
    milliseconds: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimedTest:
    """A receiver test that a notifier has taken to send it."""

    test: str
    callback: str
    owner: str
    keys: tuple[str, ...]
    """The keys to sign it with, the newest first."""
