"""What became of one attempt to deliver a callback.

Clients read the cause of an outcome, so it is one of a few words and holds nothing of what the
receiver sent: no body, no reason phrase, no address.
"""

from __future__ import annotations

import re
import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

from rq_broker.delivery.http.errors import ForbiddenAddress, MalformedResponse, NameLookupFailed
from rq_broker.domain.errors import CallbackForbidden

Kind = Literal["ok", "gone", "retry", "rejected", "fail", "unsent"]

_MAX_RETRY_AFTER_S = 86400.0
"""Seconds (a day) that a receiver can postpone its callback at most. Without a limit one that sends
nonsense could postpone it for decades."""
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""The 4xx that say nothing against the callback itself: it is tried again, as after a 5xx."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt."""

    kind: Kind
    """ok: 2xx. gone: 410. rejected: any other 4xx but 408, 425, 429. retry: these, 5xx, and every
    failure below HTTP. fail: a redirect or a forbidden address, which a retry does not change.
    unsent: nothing was sent, by a fault of this process."""
    cause: str
    """A word for clients: http_<status>, redirect, forbidden, timeout, tls, dns, unreachable,
    connection_refused, connection_reset, protocol. Nobody sees that of an unsent one."""
    milliseconds: int
    """How long the attempt took."""
    unhealthy: bool = False
    """Whether the attempt counts as a failure of its destination."""
    retry_after: float | None = None
    """Seconds the receiver asks us to wait, at most a day; only for retry."""
    error: str = ""
    """A sentence for the job's error, where the cause alone does not say what to do; of a URL that
    the rules refuse it is the one that the API gives at a submit."""


def outcome_of_response(status: int, retry_after: str | None, milliseconds: int) -> Outcome:
    """Classify a response by its status; `retry_after` is that header's text."""
    kind, cause, unhealthy = _classify_status(status)
    delay = _parse_retry_after(retry_after) if kind == "retry" and retry_after else None
    return Outcome(kind, cause, milliseconds, unhealthy, delay)


def _classify_status(status: int) -> tuple[Kind, str, bool]:
    """Return kind, cause, and whether it counts as a failure of the destination."""
    cause = f"http_{status}"
    if 200 <= status < 300:
        return "ok", cause, False
    if 300 <= status < 400:
        return "fail", "redirect", False
    if status == 410:
        return "gone", cause, False
    if 400 <= status < 500:
        return ("retry" if status in _TRANSIENT_STATUSES else "rejected"), cause, False
    return "retry", (cause if 500 <= status < 600 else "protocol"), True


def _parse_retry_after(text: str) -> float | None:
    """Return the seconds that Retry-After asks for, None if it is neither seconds nor a date."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_S)


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
    (NameLookupFailed, "dns"),
    (ConnectionRefusedError, "connection_refused"),
    (ConnectionError, "connection_reset"),
    (OSError, "unreachable"),
    (MalformedResponse, "protocol"),
)
"""Error → cause; the first class that fits counts, so a subclass stands before its base."""


_COARSE = {
    "timeout": "timeout",
    "tls": "tls",
    "redirect": "status",
    "courier_lost": "courier_lost",
    "gave_up": "gave_up",
    "offer_missed": "offer_missed",
    "dependency_failed": "dependency_failed",
    **dict.fromkeys(
        (
            "connection_refused",
            "connection_reset",
            "dns",
            "forbidden",
            "protocol",
            "unreachable",
        ),
        "refused",
    ),
}
"""Cause → what those are told of it who may submit callbacks. The causes themselves would show
which ports of a network are open, and what listens there."""
FORBIDDEN_ADDRESS = (
    "the notifier does not call it: an address of its host is the broker's own, or the notifier's "
    "--callback-allow and --callback-deny do not open it"
)
"""The error of a job whose callback is refused at the dial, once its host name is resolved."""
_FAILED = re.compile(r"(offer expired: )?([a-z_0-9]+)")
"""The error of a job whose callback failed: the cause, and before it why it is not tried again."""


def coarse_cause(cause: str) -> str:
    """Return the class of a cause: delivered, status, timeout, tls, refused.

    >>> coarse_cause("http_204"), coarse_cause("http_503"), coarse_cause("dns")
    ('delivered', 'status', 'refused')
    """
    if re.fullmatch("http_2[0-9][0-9]", cause):
        return "delivered"
    return "status" if cause.startswith("http_") else _COARSE.get(cause, "refused")


def coarse_error(error: str) -> str:
    """Return the error of a job with the class of its cause; one that its client gave stays.

    >>> coarse_error("offer expired: http_503"), coarse_error("no disk")
    ('offer expired: status', 'no disk')
    """
    if error == FORBIDDEN_ADDRESS:  # would show which addresses a private name has
        return coarse_cause("forbidden")
    match = _FAILED.fullmatch(error)
    if match is None or not (match[2] in _COARSE or re.fullmatch("http_[0-9]{3}", match[2])):
        return error
    return f"{match[1] or ''}{coarse_cause(match[2])}"


def outcome_of_error(error: Exception, milliseconds: int) -> Outcome:
    """Classify what ended an attempt before its response was complete."""
    if isinstance(error, CallbackForbidden):
        sentence = f"the notifier does not call it: {error}"
        return Outcome("fail", "forbidden", milliseconds, error=sentence)
    if isinstance(error, ForbiddenAddress):
        return Outcome("fail", "forbidden", milliseconds, error=FORBIDDEN_ADDRESS)
    causes = (cause for class_, cause in _CAUSES if isinstance(error, class_))
    return Outcome("retry", next(causes, "protocol"), milliseconds, unhealthy=True)


def unsent(milliseconds: int) -> Outcome:
    """Return the outcome of an attempt that this process could not make."""
    return Outcome("unsent", "no_descriptor", milliseconds)
