"""Posts callbacks: the one place that speaks HTTP to the outside, and is lied to there.

What came of it is told in class words: clients see those, and never an answer's body or an address.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Self

from aiodns.error import DNSError

from rq_broker.delivery.http.connection import Answer, Garbage
from rq_broker.delivery.http.dialler import Cares, Dialler, Forbidden, Resolver
from rq_broker.delivery.http.pool import Pool
from rq_broker.delivery.outcome import Kind, Outcome
from rq_broker.domain.errors import CallbackForbidden
from rq_broker.egress.rules import Egress
from rq_broker.egress.url import Target

_MAX_RETRY_AFTER_S = 86400.0
_AGAIN = frozenset({408, 425, 429})
_DEFAULT_PORT = {"http": ":80", "https": ":443"}


class Sender:
    """Posts callbacks within the egress rules. Use it as an async context manager."""

    def __init__(
        self,
        egress: Egress,
        *,
        timeout_s: float = 10.0,
        user_agent: str = "rq-broker",
        tls: ssl.SSLContext | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._egress = egress
        self._timeout_s = timeout_s
        self._headers = (
            f"User-Agent: {user_agent}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            "Content-Type: application/json\r\n"
        )
        self._tls = tls
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        names = self._resolver or Cares(self._timeout_s)
        self._dialler = Dialler(self._egress, names, self._tls or ssl.create_default_context())
        self._pool = Pool(self._dialler.dial)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.close()
        await self._dialler.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send one callback and drain its answer, in `timeout_s` from DNS to the last byte."""
        started = time.perf_counter()
        try:
            target = self._egress.check_url(url)
            request = self._request(target, body, headers)
            async with asyncio.timeout(self._timeout_s):
                answer = await self._pool.post(target.destination, request)
            kind, cause, health, after = _judge(answer)
        except Exception as error:  # whatever a receiver provokes is an outcome, not our end
            (kind, cause, health), after = _classify(error), None
        return Outcome(kind, cause, int((time.perf_counter() - started) * 1000), health, after)

    def _request(self, target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
        scheme, _, authority = target.destination.partition("://")
        host = authority.removesuffix(_DEFAULT_PORT[scheme])
        path = target.url[len(target.destination) :]
        ours = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{self._headers}{ours}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


def _judge(answer: Answer) -> tuple[Kind, str, bool, float | None]:
    """Answer → kind, cause, health, and seconds the receiver asks us to wait."""
    kind, cause, health = _judge_status(answer.status)
    asked = answer.retry_after if kind == "retry" else None
    return kind, cause, health, _seconds(asked) if asked else None


def _judge_status(status: int) -> tuple[Kind, str, bool]:
    """Status of an answer → kind, cause, health."""
    cause = f"http_{status}"
    if 200 <= status < 300:
        return "ok", cause, False
    if 300 <= status < 400:
        return "fail", "redirect", False
    if status == 410:
        return "gone", cause, False
    if 400 <= status < 500:
        return ("retry" if status in _AGAIN else "rejected"), cause, False
    return "retry", (cause if 500 <= status < 600 else "protocol"), True


_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (ssl.SSLError, "tls"),
    (DNSError, "dns"),
    (ConnectionRefusedError, "connection_refused"),
    (ConnectionError, "connection_reset"),
    (OSError, "unreachable"),
    (Garbage, "protocol"),
)
"""In this order: the first class that fits names the cause."""


def _classify(error: Exception) -> tuple[Kind, str, bool]:
    """Map what went wrong below HTTP to kind, cause, health."""
    if isinstance(error, (Forbidden, CallbackForbidden)):
        return "fail", "forbidden", False
    found = (cause for one, cause in _CAUSES if isinstance(error, one))
    return "retry", next(found, "protocol"), True


def _seconds(text: str) -> float | None:
    """Read Retry-After, seconds or an HTTP date; None if it is neither."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        wait = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(wait, 0.0), _MAX_RETRY_AFTER_S)
