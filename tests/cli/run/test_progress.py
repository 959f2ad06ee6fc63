"""What `run` says while it waits, on a terminal and elsewhere."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from rq_broker.cli.run.progress import Progress, eta_of


class Screen(io.StringIO):
    """Standard error, a terminal or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def job(position: int | None, reason: str) -> dict[str, Any]:
    return {"Position": position, "Reason": reason}


def shown(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, quiet: bool = False
) -> tuple[Progress, Screen]:
    screen = Screen(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    explained = {"eta": {"p50": 90.0, "p90": 300.0, "reason": None}}
    return Progress("vm/r", lambda: explained, quiet=quiet), screen


def test_lines_only_where_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on a terminal a line tells place, ETA and reason, once for each change."""
    progress, screen = shown(monkeypatch, is_terminal=False)
    for position, reason in ((2, "a"), (2, "a"), (1, "b\x1b[2J"), (None, "")):
        progress.waiting(job(position, reason))
    eta = "starts in about 1m30s, most likely within 5m"
    assert screen.getvalue().splitlines() == [
        f"rq-broker: vm/r place 2 in line; {eta}; a",
        f"rq-broker: vm/r place 1 in line; {eta}; b\\x1b[2J",
        f"rq-broker: vm/r waits; {eta}",
    ]


def test_one_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the line is written anew, never wider than it; what stays clears it first."""
    progress, screen = shown(monkeypatch, is_terminal=True)
    monkeypatch.setenv("COLUMNS", "30")
    for _ in range(2):
        progress.waiting(job(1, "x" * 100))
    progress.say("done")
    first, second, said = screen.getvalue().split("\r\x1b[2K")
    assert first == second == "vm/r place 1 in line; starts "
    assert said == "rq-broker: done\n"


def test_trouble_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it repeats, the trouble is one line, and its end another; also when quiet."""
    progress, screen = shown(monkeypatch, is_terminal=False, quiet=True)
    for error in (OSError("x"), OSError("x"), None, None):
        progress.trouble(error)
    progress.waiting(job(1, "a"))
    progress.tell("b")
    assert screen.getvalue().splitlines() == [
        "rq-broker: the broker does not answer, waiting for it: x",
        "rq-broker: the broker answers again",
    ]


@pytest.mark.parametrize(
    ("explanation", "text"),
    [
        (None, ""),
        ({"eta": None}, ""),
        ({"eta": {"p50": None, "p90": None, "reason": "too little history"}}, ""),
        ({"eta": {"p50": 5.0, "p90": None}}, "in about 5s"),
    ],
)
def test_an_eta_that_is_not_known(explanation: dict[str, Any] | None, text: str) -> None:
    """Without a forecast the line says nothing about it."""
    assert eta_of(explanation) == text
