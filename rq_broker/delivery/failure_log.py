"""Tells operators of callbacks that fail: a line when it begins, now and then, and when it ends.

A line holds the receiver, counts and the cause; nothing of what a receiver sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from rq_broker.delivery.outcome import Outcome
from rq_broker.domain.deliveries import ReceiverChange

log = logging.getLogger(__name__)

REPEAT_S = 60.0
"""Seconds between two lines about one receiver that keeps failing. With less, a dead receiver fills
the log; with more, nobody sees that it is still dead."""
MAX_FAILING = 1000
"""Receivers with failures that are remembered: bounds the memory. Of the others a failure that goes
on is logged as if it began again."""


@dataclass(slots=True)
class _Failing:
    """Failures of one receiver since its last answer."""

    failures: int
    since: float
    logged: float
    """When the last line was written; both in seconds of the monotonic clock."""


class FailureLog:
    """The failing receivers of one type, as one process sees them."""

    def __init__(self, type_: str, now: Callable[[], float] = time.monotonic) -> None:
        self._type = type_
        self._now = now
        self._failing: dict[tuple[str, str], _Failing] = {}
        self._unsigned_due = self._no_url_due = float("-inf")

    def note(self, destination: str, owner: str, outcome: Outcome) -> None:
        """Take the outcome of one attempt, and log what changes; none if nothing was sent."""
        if outcome.kind == "unsent":
            return
        receiver = (destination, owner)
        if outcome.kind in ("ok", "gone"):
            if self._failing and receiver in self._failing:
                self._log_end(receiver)
        elif receiver in self._failing:
            self._log_more(receiver, outcome.error or outcome.cause)
        else:
            self._log_begin(receiver, outcome.error or outcome.cause)

    def note_unsigned(self, error: Exception) -> None:
        """Log that callbacks wait because they cannot be signed, at most once in a minute."""
        if self._now() >= self._unsigned_due:
            self._unsigned_due = self._now() + REPEAT_S
            log.error("callbacks of type %s wait, as none is sent unsigned: %s", self._type, error)

    def note_no_base(self, error: Exception) -> None:
        """Log that jobs end in error as their callback cannot be made a URL, once in a minute."""
        if self._now() >= self._no_url_due:
            self._no_url_due = self._now() + REPEAT_S
            log.error(
                "jobs of type %s end in error: %s; does this notifier lack --callback-base?",
                self._type, error,
            )  # fmt: skip

    def note_change(self, change: ReceiverChange) -> None:
        """Log that a breaker opened or closed, or that a receiver asked for time."""
        name = self._name((change.destination, change.owner))
        if change.change == "open":
            log.warning(
                "%s: breaker opened after %d failures; no callbacks and no grants for %d s",
                name,
                change.failures,
                change.seconds,
            )
        elif change.change == "closed":
            log.info("%s: breaker closed after %d failures", name, change.failures)
        else:
            log.warning("%s: it asked to wait for %d s (Retry-After)", name, change.seconds)

    def _name(self, receiver: tuple[str, str]) -> str:
        """Return how a line begins. Only ascii() keeps an owner's name from breaking the line."""
        destination, owner = receiver
        of_owner = f" (owner {owner!a})" if owner else ""
        return f"callbacks of type {self._type} to {destination}{of_owner}"

    def _log_begin(self, receiver: tuple[str, str], cause: str) -> None:
        now = self._now()
        if len(self._failing) >= MAX_FAILING:
            del self._failing[next(iter(self._failing))]
        self._failing[receiver] = _Failing(1, now, now)
        log.warning("%s fail: %s", self._name(receiver), cause)

    def _log_more(self, receiver: tuple[str, str], cause: str) -> None:
        failing, now = self._failing[receiver], self._now()
        failing.failures += 1
        if now - failing.logged >= REPEAT_S:
            failing.logged = now
            log.warning(
                "%s still fail: %d times in %.0f s, last with %s",
                self._name(receiver),
                failing.failures,
                now - failing.since,
                cause,
            )

    def _log_end(self, receiver: tuple[str, str]) -> None:
        failing = self._failing.pop(receiver)
        log.info(
            "%s are taken again, after %d failures in %.0f s",
            self._name(receiver),
            failing.failures,
            self._now() - failing.since,
        )
