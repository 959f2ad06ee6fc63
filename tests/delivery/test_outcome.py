"""How responses and errors are classified."""

from __future__ import annotations

import ssl
import time
from email.utils import formatdate

import pytest

from rq_broker.delivery.http.errors import ForbiddenAddress, MalformedResponse, NameLookupFailed
from rq_broker.delivery.outcome import (
    FORBIDDEN_ADDRESS,
    Outcome,
    outcome_of_error,
    outcome_of_response,
)
from rq_broker.delivery.retry import settlement
from rq_broker.domain.errors import CallbackForbidden


@pytest.mark.parametrize(
    ("code", "kind", "cause", "unhealthy"),
    [
        (200, "ok", "http_200", False),
        (204, "ok", "http_204", False),
        (299, "ok", "http_299", False),
        (301, "fail", "redirect", False),
        (304, "fail", "redirect", False),
        (400, "rejected", "http_400", False),
        (401, "rejected", "http_401", False),
        (404, "rejected", "http_404", False),
        (408, "retry", "http_408", False),
        (410, "gone", "http_410", False),
        (425, "retry", "http_425", False),
        (429, "retry", "http_429", False),
        (500, "retry", "http_500", True),
        (503, "retry", "http_503", True),
        (599, "retry", "http_599", True),
        (999, "retry", "protocol", True),
    ],
)
def test_a_response_is_classified_by_its_status(
    code: int, kind: str, cause: str, unhealthy: bool
) -> None:
    """Each status has a kind, a cause and a meaning for its destination's health."""
    outcome = outcome_of_response(code, None, 7)
    assert (outcome.kind, outcome.cause, outcome.unhealthy) == (kind, cause, unhealthy)
    assert (outcome.milliseconds, outcome.retry_after) == (7, None)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("999999999", 86400, 86400),
        (formatdate(0, usegmt=True), 0, 0),
        ("9" * 400, None, None),
        ("-1", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, low: float | None, high: float | None) -> None:
    """Seconds and dates are read, up to a day; anything else counts as no Retry-After."""
    delay = outcome_of_response(503, text, 7).retry_after
    if low is None or high is None:
        assert delay is None
    else:
        assert delay is not None
        assert low <= delay <= high


def test_retry_after_may_be_a_date() -> None:
    """A date counts from now."""
    in_an_hour = formatdate(time.time() + 3600, usegmt=True)
    delay = outcome_of_response(503, in_an_hour, 7).retry_after
    assert delay is not None
    assert 3000 <= delay <= 3600


@pytest.mark.parametrize("code", [200, 301, 404, 410])
def test_retry_after_counts_only_if_there_is_a_retry(code: int) -> None:
    """A response that ends the delivery, or is counted as rejected, asks for no delay."""
    assert outcome_of_response(code, "7", 1).retry_after is None


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TimeoutError(), "timeout"),
        (ssl.SSLCertVerificationError(), "tls"),
        (NameLookupFailed(), "dns"),
        (ConnectionRefusedError(), "connection_refused"),
        (ConnectionResetError(), "connection_reset"),
        (BrokenPipeError(), "connection_reset"),
        (OSError("no route to host"), "unreachable"),
        (MalformedResponse(), "protocol"),
        (ValueError("a bug"), "protocol"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_is_retried_and_counts_against_health(error: Exception, cause: str) -> None:
    """Whatever ends an attempt before its response is retried, with the narrowest cause."""
    assert outcome_of_error(error, 7) == Outcome("retry", cause, 7, unhealthy=True)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ForbiddenAddress("x"), FORBIDDEN_ADDRESS),
        (CallbackForbidden("x"), "the notifier does not call it: x"),
    ],
)
def test_what_the_egress_rules_forbid_is_not_retried(error: Exception, sentence: str) -> None:
    """A forbidden URL or address fails at once, in words, and not against the receiver's health."""
    assert outcome_of_error(error, 7) == Outcome("fail", "forbidden", 7, error=sentence)
    assert settlement(1, outcome_of_error(error, 7)).error == sentence
