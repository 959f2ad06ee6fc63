"""What `run` says on standard error: a line written anew on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rq_broker.cli.output.text import harmless, span

LOOK_ON_TERMINAL = 5.0
"""Seconds between two looks where somebody watches."""
LOOK_ELSEWHERE = 30.0
ETA_SECONDS = 15.0
"""Seconds between two questions for the ETA: each costs the broker a simulation."""

Explain = Callable[[], dict[str, Any] | None]
"""Returns what the broker explains of the job; None if it does not answer."""


class Progress:
    """Tells how a job comes on. Threads may call it.

    Args:
        name: Type and request_id of the job, as people are to read it.
        explain: Asks for the ETA.
        quiet: Say nothing but what went wrong.
    """

    def __init__(self, name: str, explain: Explain, *, quiet: bool) -> None:
        self._name = name
        self._explain = explain
        self._quiet = quiet
        self._is_terminal = sys.stderr.isatty()
        self._has_line = False
        self._said: tuple[object, ...] = ()
        self._eta = ""
        self._asked = -ETA_SECONDS
        self.is_away = False
        """Whether the broker does not answer."""
        self._lock = threading.Lock()

    @property
    def look_every(self) -> float:
        """Seconds between two looks at a waiting job."""
        return LOOK_ON_TERMINAL if self._is_terminal else LOOK_ELSEWHERE

    def waiting(self, job: dict[str, Any]) -> None:
        """Tell the place of a waiting job, when it starts, and why it waits."""
        if self._quiet:
            return
        place = job.get("Position")
        shown = (place, job.get("Reason"))
        if (self._is_terminal or shown != self._said) and self._is_time_to_ask(shown):
            self._eta = eta_of(self._explain())
        words = [
            "waits" if place is None else f"place {place} in line",
            *([f"starts {self._eta}"] if self._eta else []),
            *([job["Reason"]] if job.get("Reason") else []),
        ]
        line = f"{self._name} " + "; ".join(words)
        if self._is_terminal:
            self._rewrite(line)
        elif shown != self._said:
            self.say(line)
        self._said = shown

    def _is_time_to_ask(self, shown: tuple[object, ...]) -> bool:
        now = time.monotonic()
        if now - self._asked < ETA_SECONDS and shown[:1] == self._said[:1]:
            return False
        self._asked = now
        return True

    def trouble(self, error: Exception | None) -> None:
        """Tell once that the broker does not answer, and once that it does again."""
        with self._lock:
            was_away, self.is_away = self.is_away, error is not None
        if error is not None and not was_away:
            self.say(f"the broker does not answer, waiting for it: {error or type(error).__name__}")
        elif error is None and was_away:
            self.say("the broker answers again")

    def tell(self, sentence: str) -> None:
        """Tell something, unless it is to be quiet."""
        if not self._quiet:
            self.say(sentence)

    def say(self, sentence: str) -> None:
        """Write a line that stays."""
        self._write(f"rq-broker: {harmless(sentence)}\n")

    def fail(self, sentence: str) -> None:
        """Write why it ends, as all commands do."""
        self._write(f"Error: {harmless(sentence)}\n")

    def clear(self) -> None:
        """Take the line away that is written anew."""
        self._write("")

    def _rewrite(self, sentence: str) -> None:
        text = harmless(sentence)
        self._write(text[: shutil.get_terminal_size().columns - 1], stays=False)

    def _write(self, text: str, *, stays: bool = True) -> None:
        with self._lock:
            begin = "\r\x1b[2K" if self._has_line else ""
            self._has_line = not stays
            try:
                sys.stderr.write(begin + text)
                sys.stderr.flush()
            except OSError:  # nobody reads any more: the job goes on
                self._quiet = True


def eta_of(explanation: dict[str, Any] | None) -> str:
    """Return when a job starts, in words; '' if that is not known."""
    eta = (explanation or {}).get("eta") or {}
    if eta.get("p50") is None:
        return ""
    latest = eta.get("p90")
    words = f"in about {span(eta['p50'])}"
    return words + (f", most likely within {span(latest)}" if latest else "")
