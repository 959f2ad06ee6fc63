"""Decides when a callback is retried, and what an attempt means for its job and destination."""

from __future__ import annotations

import random
from collections.abc import Callable

from rq_broker.delivery.outcome import Outcome
from rq_broker.domain.deliveries import WITHDRAWN
from rq_broker.store.deliveries import Health, Settlement

DELAYS = (1.0, 2.0, 5.0, 12.0, 25.0)
"""Seconds between the first attempts, which come 0, 1, 3, 8, 20 and 45 s after the grant. So a
receiver that restarts is called soon after; longer delays would keep its capacity idle."""
LAST_DELAY = 60.0
"""Seconds between all later attempts. A shorter delay spends more attempts on a dead receiver, a
longer one lets offers end before a receiver that was away is called again."""
JITTER = 0.2
"""Part by which a delay varies either way. Without it, callbacks that failed together would all be
retried at the same moment."""
REJECTED_ATTEMPTS = 3
"""Attempts after which a 4xx fails the job (410 does at once, 408, 425 and 429 never). With fewer,
a receiver that answers 404 while it starts up loses its jobs; with more, a callback that nobody
serves holds its capacity for longer."""
SLOW_DOWN = 1.0
"""Seconds for which a receiver gets one callback at a time after a 429 without Retry-After. With
less, it gets its full concurrency again before it has recovered."""


def retry_delay(
    attempts: int, outcome: Outcome, jitter: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait after the newest of `attempts`, at least those of Retry-After.

    Args:
        attempts: how many there have been, from 1.
        outcome: of the newest.
        jitter: a random number from 0 to 1; 0.5 stands for no deviation.
    """
    delay = DELAYS[attempts - 1] if attempts <= len(DELAYS) else LAST_DELAY
    varied = delay * (1 + JITTER * (2 * jitter() - 1))
    return max(varied, outcome.retry_after or 0.0)


def settlement(attempts: int, outcome: Outcome) -> Settlement:
    """Decide what the newest of `attempts` means for its delivery and its destination."""
    kind, cause = outcome.kind, outcome.cause
    if kind == "unsent":
        return Settlement("release")
    if kind == "rejected":
        kind = "fail" if attempts >= REJECTED_ATTEMPTS else "retry"
    return Settlement(
        outcome={"ok": "delivered", "retry": "retry"}.get(kind, "failed"),
        cause=cause,
        error=WITHDRAWN if kind == "gone" else outcome.error,
        milliseconds=outcome.milliseconds,
        delay=retry_delay(attempts, outcome) if kind == "retry" else 0.0,
        health=_health(outcome),
        slow_down=SLOW_DOWN if cause == "http_429" and not outcome.retry_after else 0.0,
        pause=outcome.retry_after or 0.0,
    )


def _health(outcome: Outcome) -> Health:
    """Return what an outcome shows; nothing of a receiver that asks for time: it works."""
    if outcome.retry_after:
        return ""
    if outcome.unhealthy:
        return "unhealthy"
    answered = outcome.cause.startswith("http_") and outcome.cause != "http_429"
    return "healthy" if answered else ""
