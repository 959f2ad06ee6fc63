"""When a call is sent again: its answer was lost, or the API could not serve for the moment."""

from __future__ import annotations

import random
from typing import Any

import httpx

from rq_broker.client.call import Call

RETRIES = 3
"""How often a call is sent again. With more, a caller waits longer to learn that the API is gone;
with none, every restart of a proxy, of the API or of Redis reaches the caller."""
FIRST_PAUSE = 0.2
"""Seconds before the first repetition, doubled from one to the next; half of it is random, so that
clients that failed together do not come back together."""
LONGEST_PAUSE = 5.0
"""Seconds that a client waits at most where the API asks for more (Retry-After)."""
LOST = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
)
"""What httpx raises where an answer did not come: the call may have been carried out."""
_PASSING = (429, 502, 503, 504)
"""Statuses by which the API, or a proxy before it, says that it cannot serve for the moment."""


def _passes(status: int, asked: str) -> bool:
    """Tell whether what the API could not do may soon be done; a queue stays full for long."""
    return status in _PASSING and (status != 429 or bool(asked))


class Attempts:
    """Counts the attempts at one call."""

    def __init__(self, call: Call[Any], retries: int) -> None:
        self._left = retries if call.repeatable else 0
        self._pause = FIRST_PAUSE

    def pause(self, response: httpx.Response | None = None) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is to be none.

        Args:
            response: The answer; None if it was lost.
        """
        asked = "" if response is None else response.headers.get("retry-after", "")
        if self._left <= 0 or not (response is None or _passes(response.status_code, asked)):
            return None
        self._left -= 1
        seconds = self._pause * random.uniform(0.5, 1.0)
        self._pause *= 2
        return min(max(seconds, float(asked)), LONGEST_PAUSE) if asked.isdecimal() else seconds
