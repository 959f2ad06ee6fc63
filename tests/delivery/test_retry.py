"""When a callback is tried again, and what an outcome means for its destination."""

from __future__ import annotations

import pytest

from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.retry import settlement


@pytest.mark.parametrize(
    ("outcome", "health"),
    [
        (Outcome("ok", "http_200", 1), "healthy"),
        (Outcome("rejected", "http_404", 1), "healthy"),
        (Outcome("gone", "http_410", 1), "healthy"),
        (Outcome("retry", "http_408", 1), "healthy"),
        (Outcome("retry", "http_429", 1), ""),
        (Outcome("fail", "redirect", 1), ""),
        (Outcome("fail", "forbidden", 1), ""),
        (Outcome("retry", "http_503", 1, True), "unhealthy"),
        (Outcome("retry", "timeout", 1, True), "unhealthy"),
    ],
    ids=lambda value: value.cause if isinstance(value, Outcome) else value or "neither",
)
def test_an_outcome_shows_the_destinations_health(outcome: Outcome, health: str) -> None:
    """2xx and 4xx prove health, 5xx and silence its loss, 429 and redirects neither."""
    assert settlement(1, outcome).health == health
