"""A log of events that clients can cause as often as they like."""

from __future__ import annotations

import logging

INTERVAL_SECONDS = 10.0
"""Least time between two lines of one kind. A flood of refused connections writes one line in ten
seconds, with their number, not one for each."""


class SparseLog:
    """Logs the first event of a kind at once, and later ones as a number every ten seconds."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next: dict[str, float] = {}
        self._omitted: dict[str, int] = {}

    def warning(self, kind: str, sentence: str, now: float) -> None:
        """Log an event, or count it if one of its kind was logged just now.

        Args:
            kind: The same for events that are alike; one of a few, since each is kept.
            sentence: The line.
            now: Seconds of a monotonic clock.
        """
        if now < self._next.get(kind, now):
            self._omitted[kind] = self._omitted.get(kind, 0) + 1
            return
        self._next[kind] = now + INTERVAL_SECONDS
        self._logger.warning("%s", sentence)

    def flush(self, now: float) -> None:
        """Log how many events were left out, for each kind whose interval is over."""
        for kind, count in list(self._omitted.items()):
            if now >= self._next[kind]:
                del self._omitted[kind]
                self._next[kind] = now + INTERVAL_SECONDS
                self._logger.warning(
                    "%s: %d more in the last %.0f s", kind, count, INTERVAL_SECONDS
                )
