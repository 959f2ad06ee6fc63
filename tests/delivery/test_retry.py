"""When a callback is tried again, and what an outcome means for its destination."""

from __future__ import annotations

import pytest

from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.retry import DELAYS, LAST_DELAY, retry_delay, settlement
from tests.couriers import DOWN, REJECTED


def test_the_delays_are_the_table() -> None:
    """Attempts come 0, 1, 3, 8, 20 and 45 s after the grant, then every 60 s."""
    delays = [retry_delay(attempts, DOWN, lambda: 0.5) for attempts in range(1, 9)]
    assert [round(sum(delays[:count]), 6) for count in range(6)] == [0, 1, 3, 8, 20, 45]
    assert delays[5:] == [LAST_DELAY] * 3 == [60.0] * 3


def test_a_delay_varies_by_a_fifth_either_way() -> None:
    """The smallest and the largest random number give 20% less and 20% more than the table."""
    for attempts, delay in enumerate((*DELAYS, LAST_DELAY, LAST_DELAY), 1):
        assert retry_delay(attempts, DOWN, lambda: 0.0) == pytest.approx(0.8 * delay)
        assert retry_delay(attempts, DOWN, lambda: 1.0) == pytest.approx(1.2 * delay)
        assert 0.8 * delay <= retry_delay(attempts, DOWN) <= 1.2 * delay


def test_retry_after_only_lengthens_a_delay() -> None:
    """A receiver can ask for more time than the table gives, never for less."""
    longer = Outcome("retry", "http_429", 1, retry_after=30.0)
    shorter = Outcome("retry", "http_429", 1, retry_after=0.1)
    assert retry_delay(1, longer, lambda: 0.5) == 30.0
    assert retry_delay(1, shorter, lambda: 0.5) == 1.0
    assert retry_delay(6, longer, lambda: 0.5) == 60.0


def test_a_rejection_fails_the_job_at_the_third_attempt() -> None:
    """A 404 is retried twice, as a receiver may be starting up."""
    outcomes = [settlement(attempts, REJECTED).outcome for attempts in (1, 2, 3, 4)]
    assert outcomes == ["retry", "retry", "failed", "failed"]


def test_a_429_slows_its_receiver_down() -> None:
    """A 429 that names no time slows its receiver down for a second."""
    outcome = settlement(1, Outcome("retry", "http_429", 1))
    assert (outcome.slow_down, outcome.pause) == (1.0, 0.0)
    assert settlement(1, DOWN).slow_down == 0.0


@pytest.mark.parametrize("cause", ["http_429", "http_503", "http_408", "http_500"])
def test_a_receiver_that_asks_for_time_is_neither_healthy_nor_not(cause: str) -> None:
    """Retry-After pauses a receiver for as long as it asks, and counts as no failure."""
    asked = Outcome("retry", cause, 1, cause >= "http_5", retry_after=7.0)
    decision = settlement(1, asked)
    assert (decision.pause, decision.slow_down, decision.health) == (7.0, 0.0, "")


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
