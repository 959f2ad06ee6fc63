"""Posts callbacks: the one place that speaks HTTP to the outside, and is lied to there.

Names are resolved by c-ares, not by getaddrinfo: a look-up is then a datagram and a timer instead
of a thread that hangs, so a thousand dead names wait side by side and delay nobody. The egress
rules are asked for every answer of a name, and again by the socket factory for the very address
dialled, literals included; a pooled connection therefore leads to an address that was judged.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Literal, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from rq_broker.egress import Egress
from rq_broker.errors import CallbackForbidden

MAX_BODY = 16 * 1024
"""Bytes of an answer that are read, at most; nothing in them is used."""
_IDLE_S = 4.0  # servers close idle connections after 5 s or more: never send into a closing one
_MAX_RETRY_AFTER_S = 86400.0
_AGAIN = frozenset({408, 425, 429})

Kind = Literal["ok", "gone", "retry", "rejected", "fail"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt."""

    kind: Kind
    """ok 2xx; gone 410; retry 408, 425, 429, 5xx and all below HTTP; rejected other 4xx; fail:
    a redirect or a forbidden address, which trying again does not mend."""
    cause: str
    """A class word for clients: http_<status>, timeout, connection_refused, connection_reset,
    unreachable, tls, dns, redirect, forbidden, protocol."""
    milliseconds: int
    health: bool = False
    """Whether it counts against the destination's health."""
    retry_after: float | None = None
    """Seconds the receiver asks us to wait, at most a day; only with retry."""


class Forbidden(OSError):
    """The address may not be dialled. An OSError, as aiohttp expects of resolvers and sockets."""


class Sender:
    """Posts callbacks within the egress rules. Use it as an async context manager."""

    def __init__(
        self,
        egress: Egress,
        *,
        timeout_s: float = 10.0,
        user_agent: str = "rq-broker",
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._egress = egress
        self._timeout_s = timeout_s
        self._headers = {
            "User-Agent": user_agent,
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        }
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        guard = _Guard(self._egress, self._resolver or self._cares())
        connector = aiohttp.TCPConnector(
            resolver=guard,
            socket_factory=guard.dial,
            ssl=self._tls or ssl.create_default_context(),
            limit=0,  # the courier and the destination's own limit decide
            keepalive_timeout=_IDLE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # ours spans it all
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=MAX_BODY,
        )
        self._guard = guard
        return self

    def _cares(self) -> AbstractResolver:
        # A look-up outlives a caller that timed out, others may share it; three tries, each
        # twice as long as the one before, end it soon after.
        return aiohttp.AsyncResolver(timeout=self._timeout_s / 4, tries=3)

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._guard.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Send one callback and drain its answer, in `timeout_s` from DNS to the last byte."""
        started = time.perf_counter()
        try:
            target = self._egress.check_url(url)
            _dialled.set(target.host)
            async with asyncio.timeout(self._timeout_s):
                kind, cause, health, after = await self._exchange(target.url, body, headers)
        except Exception as error:  # whatever a receiver provokes is an outcome, not our end
            (kind, cause, health), after = _classify(error), None
        return Outcome(kind, cause, int((time.perf_counter() - started) * 1000), health, after)

    async def _exchange(
        self, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[Kind, str, bool, float | None]:
        sent = URL(url, encoded=True)
        async with self._session.post(
            sent, data=body, headers=headers, allow_redirects=False
        ) as answer:
            await _drain(answer)
            kind, cause, health = _judge(answer.status)
            after = answer.headers.get("Retry-After") if kind == "retry" else None
            return kind, cause, health, _seconds(after) if after else None


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read the body, so that the connection can serve again; close it if there is too much."""
    left = MAX_BODY
    while chunk := await answer.content.readany():
        left -= len(chunk)
        if left < 0:
            answer.close()
            return


def _judge(status: int) -> tuple[Kind, str, bool]:
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
    (aiohttp.ClientSSLError, "tls"),
    (ssl.SSLError, "tls"),
    (aiohttp.ClientConnectorDNSError, "dns"),
    (ConnectionRefusedError, "connection_refused"),
    (ConnectionError, "connection_reset"),
    (aiohttp.ClientPayloadError, "connection_reset"),
    (aiohttp.ServerDisconnectedError, "connection_reset"),
    (aiohttp.ClientResponseError, "protocol"),
    (OSError, "unreachable"),
)
"""In this order: the first class that fits names the cause."""


def _classify(error: BaseException) -> tuple[Kind, str, bool]:
    """Map what went wrong below HTTP to kind, cause, health."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, (Forbidden, CallbackForbidden)):
        return "fail", "forbidden", False
    found = (cause for one, cause in _CAUSES for each in (error, inner) if isinstance(each, one))
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


_dialled: ContextVar[str] = ContextVar("dialled", default="")
"""The host this task calls: rules may speak of names, and a socket factory sees only addresses."""


class _Guard(AbstractResolver):
    """Stands between aiohttp and the network: no answer and no dial passes it unjudged."""

    def __init__(self, egress: Egress, names: AbstractResolver) -> None:
        self._egress = egress
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name, all of whose answers must be allowed."""
        answers = await self._names.resolve(host, port, family)
        for answer in answers:
            self._check(answer["host"], port, host)
        return answers

    def dial(self, info: Any) -> socket.socket:
        """Make the socket for one (family, type, proto, name, address), if it may be dialled."""
        family, type_, proto, _, (address, port, *_) = info
        self._check(address, port, _dialled.get())
        return socket.socket(family, type_, proto)

    def _check(self, address: str, port: int, host: str) -> None:
        parsed = ip_address(address)
        if not self._egress.permits(parsed, port, host).allowed:
            raise Forbidden("forbidden address")
        if port in self._egress.everywhere and _is_local(address, parsed.version):
            raise Forbidden("forbidden address")

    async def close(self) -> None:
        """Close the resolver."""
        await self._names.close()


def _is_local(address: str, version: int) -> bool:
    """Is it an address of this machine? Only those can be bound."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
