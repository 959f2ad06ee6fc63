"""What the log says of callbacks that fail."""

from __future__ import annotations

import logging

import pytest

from rq_broker.delivery import failure_log
from rq_broker.delivery.failure_log import REPEAT_S, FailureLog
from rq_broker.delivery.outcome import unsent
from rq_broker.domain.deliveries import ReceiverChange
from tests.couriers import DOWN, GONE, OK, REJECTED, TIMEOUT

HERE = "http://x:80"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock: Clock, caplog: pytest.LogCaptureFixture) -> FailureLog:
    caplog.set_level(logging.INFO)
    return FailureLog("vm", clock)


def test_failures_are_logged_as_they_begin_and_end(
    failures: FailureLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A line when they begin, one a minute with counts, one when they end; none for success."""
    failures.note(HERE, "", OK)
    failures.note(HERE, "", unsent(1))  # a fault of this process
    for second in range(int(REPEAT_S) + 1):
        clock.now = second
        failures.note(HERE, "", TIMEOUT)
    failures.note(HERE, "", OK)
    failures.note(HERE, "", OK)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", f"callbacks of type vm to {HERE} fail: timeout"),
        (
            "WARNING",
            f"callbacks of type vm to {HERE} still fail: 61 times in 60 s, last with timeout",
        ),
        ("INFO", f"callbacks of type vm to {HERE} are taken again, after 61 failures in 60 s"),
    ]


def test_owners_fail_apart(failures: FailureLog, caplog: pytest.LogCaptureFixture) -> None:
    """Each owner's failures have a line of their own, and no name breaks a line."""
    failures.note(HERE, "lab\n7", DOWN)
    failures.note(HERE, "lab-8", GONE)
    failures.note(HERE, "lab-8", REJECTED)
    assert [record.message for record in caplog.records] == [
        f"callbacks of type vm to {HERE} (owner 'lab\\n7') fail: http_503",
        f"callbacks of type vm to {HERE} (owner 'lab-8') fail: http_404",
    ]


def test_few_failing_receivers_are_remembered(
    failures: FailureLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that names many dead receivers takes no more memory than the limit."""
    monkeypatch.setattr(failure_log, "MAX_FAILING", 3)
    for number in range(10):
        failures.note(f"http://x{number}:80", "", DOWN)
    assert len(failures._failing) == 3


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("open", 5, 5), "breaker opened after 5 failures; no callbacks and no grants for 5 s"),
        (("closed", 9, 0), "breaker closed after 9 failures"),
        (("asked", 0, 600), "it asked to wait for 600 s (Retry-After)"),
    ],
)
def test_changes_of_a_receiver_are_logged(
    failures: FailureLog,
    caplog: pytest.LogCaptureFixture,
    change: tuple[str, int, int],
    line: str,
) -> None:
    """A breaker that opens or closes, and a receiver that asks for time, are a line each."""
    failures.note_change(ReceiverChange(HERE, "lab-7", *change))
    (record,) = caplog.records
    assert record.message == f"callbacks of type vm to {HERE} (owner 'lab-7'): {line}"
