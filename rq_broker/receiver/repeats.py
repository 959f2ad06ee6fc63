"""Remembers which messages were taken, so that a repeat of one does nothing.

The broker sends a message again whose answer it did not read, with the same id.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from hashlib import sha256
from typing import Protocol

MOST_REMEMBERED = 100_000
"""Messages that a process remembers, at some 250 bytes each: 25 MB. A repeat comes within the
policy's `offer`; a receiver that takes more messages in that time takes a repeat for a new one."""
UNDER_WAY = 425
"""The answer to a repeat of a message that is being taken. The broker tries again after it, and
counts no failure."""


LEASE = 300.0
"""Seconds after which a message that is under way is claimed anew: the function that takes it was
cut off without a word. The longest `--timeout` of a notifier; until then repeats wait."""


class Repeats(Protocol):
    """What all processes of a receiver remember together: a Redis, or a table of a database.

    Both methods are called in a thread, and may block. What an implementation raises becomes the
    framework's error, and the broker tries again.
    """

    def begin(self, message_id: str) -> int | None:
        """Claim a message, atomically.

        Returns:
            None if it is new: it is under way from now on, until `end`, or until LEASE has passed.
            Else the status that it was answered with, or UNDER_WAY.
        """

    def end(self, message_id: str, status: int | None) -> None:
        """Remember how a message was answered; None: forget it, as it was not taken."""


class InMemory:
    """Remembers in this process alone: another process, and the next start, know nothing of it."""

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        """`most`: messages that are remembered; the oldest are forgotten first."""
        self._most = most
        self._answers: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, message_id: str) -> int | None:
        """Claim a message, see Repeats."""
        key = _key(message_id)
        with self._lock:
            status, since = self._answers.get(key, (None, 0.0))
            if status is None or (status == UNDER_WAY and time.monotonic() > since + LEASE):
                self._remember(key, UNDER_WAY)
                return None
            return status

    def end(self, message_id: str, status: int | None) -> None:
        """Remember how a message was answered, see Repeats."""
        key = _key(message_id)
        with self._lock:
            if status is None:
                self._answers.pop(key, None)
            else:
                self._remember(key, status)

    def _remember(self, key: bytes, status: int) -> None:
        self._answers[key] = (status, time.monotonic())
        self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)


def _key(message_id: str) -> bytes:
    """Return what is kept of an id, which may be long: its bound would be none for the memory."""
    return sha256(message_id.encode(errors="surrogatepass")).digest()
