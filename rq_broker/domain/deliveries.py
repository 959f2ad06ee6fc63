"""Callbacks: claimed deliveries, attempts, and the receivers they go to."""

from __future__ import annotations

from dataclasses import dataclass

from rq_broker.domain.jobs import Job


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed callback: the job as it is, and which attempt this is (from 1)."""

    job: Job
    attempt: int
    keys: tuple[str, ...] = ()
    """What to sign it with, the newest first."""
    unproven: bool = False
    """Whether its destination is not known to answer promptly."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to call back. `ended` is µs since 1970; `cause` a class word, ok if heard."""

    ended: int
    fence: int
    attempt: int
    cause: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Destination:
    """What is known of a receiver. `state` is closed (well), open, or half-open (being probed)."""

    name: str
    state: str
    failures: int
    """Health failures in a row."""
    opens_for: float
    """Seconds it stays open yet."""
    in_flight: int
    parked: int
    """Callbacks that wait for it, out of the way of others."""
