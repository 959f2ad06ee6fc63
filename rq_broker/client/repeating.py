"""When a call is sent again: its answer was lost, or the API could not serve for the moment."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from rq_broker.client.call import Call, envelope_of
from rq_broker.domain import errors

RETRIES = 3
"""How often a call is sent again. With more, a caller waits longer to learn that the API is gone;
with none, every restart of a proxy, of the API or of Redis reaches the caller."""
RETRY_FOR = 60.0
"""Seconds after its first attempt in which a call may be sent again. An API that asks for a longer
pause than is left (Retry-After) is not asked again: the caller learns at once."""
FIRST_PAUSE = 0.2
"""Seconds before the first repetition, doubled from one to the next; half of it is random, so that
clients that failed together do not come back together."""
LONGEST_PAUSE = 5.0
"""Seconds of the longest pause that the API did not ask for: so late a client that waits for long
notices that the API is back."""
_LOST = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
)
"""What httpx raises where an answer did not come: the call may have been carried out."""
_PASSING = (429, 502, 503, 504)
"""Statuses by which the API, or a proxy before it, says that it cannot serve for the moment."""

Told = Callable[[Exception | None], None]
"""Is called with what went wrong before a call is repeated, with None once it was answered."""


def is_lost(trouble: Exception) -> bool:
    """Tell whether an exception means that no answer came: the call may have been carried out."""
    return isinstance(trouble, _LOST)


def is_passing(trouble: Exception) -> bool:
    """Tell whether an exception may soon be over: no answer, or one that asks to come again."""
    if isinstance(trouble, errors.BrokerError):
        is_full = isinstance(trouble, errors.QueueFull | errors.TooManyTypes | errors.TooManyHosts)
        return trouble.status in _PASSING and not is_full
    return is_lost(trouble)


@dataclass(frozen=True, slots=True)
class Repeating:
    """How long a client tries.

    Args:
        retries: Most repetitions of a call; None for any number.
        seconds: How long after its first attempt a call may be repeated; math.inf without end.
        told: Is told of each repetition.
        warned: Is called with each warning of an answer.
    """

    retries: int | None = RETRIES
    seconds: float = RETRY_FOR
    told: Told | None = None
    warned: Callable[[str], None] | None = None


ONCE = Repeating(retries=0)


class Attempts:
    """Counts the attempts at one call."""

    def __init__(self, call: Call[Any], rules: Repeating) -> None:
        self._rules = rules
        self._is_repeatable = call.repeatable
        self._waits = call.wait > 0
        self._made = 0
        self._pause = FIRST_PAUSE
        self._ends = time.monotonic() + rules.seconds

    def pause_after(self, outcome: httpx.Response | Exception) -> float | None:
        """Return the seconds to wait before the next attempt, None if there is to be none.

        Args:
            outcome: The answer; or why there was none.
        """
        asked = ""
        if isinstance(outcome, httpx.Response):
            asked = outcome.headers.get("retry-after", "")
            if not _passes(outcome.status_code, asked):
                return None
            if outcome.status_code == 429 and self._waits:
                return None  # whoever may not wait looks without waiting
        # A 429 says that nothing was carried out, so any call may follow it.
        is_safe = self._is_repeatable or (
            isinstance(outcome, httpx.Response) and outcome.status_code == 429
        )
        most = math.inf if self._rules.retries is None else self._rules.retries
        seconds = max(self._pause * random.uniform(0.5, 1.0), _seconds(asked))
        if not is_safe or self._made >= most or time.monotonic() + seconds > self._ends:
            return None
        self._made += 1
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if self._rules.told:
            self._rules.told(_trouble(outcome))
        return seconds

    def succeeded(self) -> None:
        """Tell that the call was answered in the end."""
        if self._made and self._rules.told:
            self._rules.told(None)


def _passes(status: int, asked: str) -> bool:
    """Tell whether what the API could not do may soon be done; a queue stays full for long."""
    return status in _PASSING and (status != 429 or bool(asked))


def _seconds(asked: str) -> float:
    """Return the seconds of a Retry-After, which is a number or a date; 0 for none."""
    if asked.isdecimal():
        return float(asked)
    try:
        moment = parsedate_to_datetime(asked)
    except ValueError:
        return 0.0
    return max(0.0, (moment - datetime.now(moment.tzinfo or UTC)).total_seconds())


def _trouble(outcome: httpx.Response | Exception) -> Exception:
    """Return the exception that tells what went wrong."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        envelope_of(outcome)
    except errors.BrokerError as refusal:
        return refusal
    return errors.BrokerError(f"HTTP {outcome.status_code}")
