"""When a callback is tried again, and what an outcome means for its delivery."""

from __future__ import annotations

import random
from collections.abc import Callable

from rq_broker.delivery.outcome import Outcome
from rq_broker.store.deliveries import Settlement

DELAYS = (1.0, 2.0, 5.0, 12.0, 25.0)
"""Seconds between attempts: 0, 1, 3, 8, 20, 45 after the grant, then every DELAY_AFTER."""


DELAY_AFTER = 60.0


JITTER = 0.2


REJECTED_TRIES = 3
"""A 4xx that is no 408, 410, 425 or 429 is believed after so many attempts."""


SLOW_DOWN = 1.0
"""Seconds a destination is slowed for that answers 429 and names none."""


def delay(tries: int, outcome: Outcome, jitter: Callable[[], float] = random.random) -> float:
    """Seconds until the try after so many: the table, ±20%, Retry-After being a floor."""
    base = DELAYS[tries - 1] if tries <= len(DELAYS) else DELAY_AFTER
    spread = base * (1 + JITTER * (2 * jitter() - 1))
    return max(spread, outcome.retry_after or 0.0)


def settlement(tries: int, outcome: Outcome) -> Settlement:
    """Decide what the newest of so many tries means for its delivery and for its destination."""
    kind, cause = outcome.kind, outcome.cause
    if kind == "rejected":
        kind = "fail" if tries >= REJECTED_TRIES else "retry"
    answered = kind == "ok" or (cause.startswith("http_") and cause != "http_429")
    return Settlement(
        outcome={"ok": "delivered", "retry": "retry"}.get(kind, "failed"),
        cause="withdrawn by the client (410)" if kind == "gone" else cause,
        milliseconds=outcome.milliseconds,
        delay=delay(tries, outcome) if kind == "retry" else 0.0,
        health="unhealthy" if outcome.unhealthy else "healthy" if answered else "",
        slow_down=outcome.retry_after or SLOW_DOWN if cause == "http_429" else 0.0,
    )
