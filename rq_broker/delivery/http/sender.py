"""Sends callbacks: one POST each, within the egress rules and one timeout, ending in an outcome."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import Self

from rq_broker.delivery.http.descriptors import Descriptors
from rq_broker.delivery.http.dialler import CaresResolver, Dialler, Resolver
from rq_broker.delivery.http.pool import Pool
from rq_broker.delivery.outcome import Outcome, outcome_of_error, outcome_of_response, unsent
from rq_broker.egress.rules import Egress
from rq_broker.egress.url import Target

_DEFAULT_PORT = {"http": ":80", "https": ":443"}
"""What the Host header leaves out."""


class Sender:
    """Sends callbacks within the egress rules. Use it as an async context manager."""

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
        self._common_headers = (
            f"User-Agent: {user_agent}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
            "Content-Type: application/json\r\n"
        )
        self._tls = tls
        self._descriptors = Descriptors()
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        resolver = self._resolver or CaresResolver(self._timeout_s)
        tls = self._tls or ssl.create_default_context()
        self._dialler = Dialler(self._egress, resolver, tls)
        self._pool = Pool(self._dialler.dial)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.close()
        await self._dialler.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """POST one JSON body to an absolute URL and read the response.

        Only cancellation is raised: whatever a receiver provokes becomes an outcome.
        """
        started = time.perf_counter()
        try:
            # 1. Parse the URL, and check it against the egress rules.
            target = self._egress.check_url(url)
            # 2. Write the request.
            request = self._render(target, body, headers)
            # 3. Send it. One timeout covers look-up, dial, request and response.
            deadline = asyncio.get_running_loop().time() + self._timeout_s
            response = await self._pool.post(target.destination, request, deadline)
            self._descriptors.note_success()
            # 4. Classify the response, or the error that ended the attempt.
            return outcome_of_response(response.status, response.retry_after, _ms_since(started))
        except Exception as error:
            if self._descriptors.caused(error):
                self._pool.close_idle()
                return unsent(_ms_since(started))
            return outcome_of_error(error, _ms_since(started))

    def _render(self, target: Target, body: bytes, headers: Mapping[str, str]) -> bytes:
        scheme, _, authority = target.destination.partition("://")
        host = authority.removesuffix(_DEFAULT_PORT[scheme])
        path = target.url[len(target.destination) :]
        own_headers = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{self._common_headers}{own_headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


def _ms_since(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
