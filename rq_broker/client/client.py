"""The Python client, sync and async: one method for each function of `calls`.

`client.read("vm", "r1")` sends what `calls.read("vm", "r1")` describes and returns its result.
A refusal raises the class of domain/errors/ that its code names; a connection that still fails
after the last attempt raises httpx's own exceptions.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import httpx

from rq_broker.client import calls
from rq_broker.client.arguments import JobFilter
from rq_broker.client.call import Call, Json, credential, envelope_of
from rq_broker.client.repeating import LOST, RETRIES, Attempts

TIMEOUT_SECONDS = 10.0
"""How long connecting, sending and each wait for an answer may take; `http` may set another."""
KEEP_ALIVE_SECONDS = 30.0
"""How long an idle connection is kept. Less than `--keep-alive` of the API, 75 s, and than proxies
keep it, 60 s: a call that is sent while the other side closes is lost."""
LIMITS = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_SECONDS
)
"""Connections of one client; the numbers are those of httpx."""

Args = ParamSpec("Args")
Result = TypeVar("Result")


def _sync(call: Callable[Args, Call[Result]]) -> Callable[Concatenate[Client, Args], Result]:
    """Make the method of Client that sends a call; its arguments are those of the call."""

    @functools.wraps(call)
    def method(client: Client, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return client._send(call(*args, **kwargs))

    return method


def _async(
    call: Callable[Args, Call[Result]],
) -> Callable[Concatenate[AsyncClient, Args], Coroutine[Any, Any, Result]]:
    """Make the method of AsyncClient that sends a call; its arguments are those of the call."""

    @functools.wraps(call)
    async def method(client: AsyncClient, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return await client._send(call(*args, **kwargs))

    return method


class Client:
    """The sync client of the API at `url`; jobs, hosts and policies are JSON as the API has them.

    Args:
        url: Where the API serves, such as `http://127.0.0.1:8080`.
        token: Sent as `Authorization: Bearer …`, where the API asks who calls.
        http: The httpx client to send with, in place of a new one. Leaving the `with` closes it.
        retries: How often a call is sent again whose answer was lost, or that the API could not
            serve for the moment. A submit and a withdrawal carry an Idempotency-Key for it.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        http: httpx.Client | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._retries = retries
        self._credential = credential(token)
        self._http = http or httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, limits=LIMITS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _send(self, call: Call[Result]) -> Result:
        attempts = Attempts(call, self._retries)
        while True:
            try:
                response = self._http.request(
                    call.method,
                    call.path,
                    json=call.body,
                    params=call.query,
                    headers=call.headers | self._credential,
                )
            except LOST:
                if (pause := attempts.pause()) is None:
                    raise
            else:
                if (pause := attempts.pause(response)) is None:
                    return call.extract(envelope_of(response))
            time.sleep(pause)

    def jobs(self, type_: str, **filters: Unpack[JobFilter]) -> Iterator[Json]:
        """Iterate over the jobs in priority order; reads the next page when needed."""
        cursor: str | None = ""
        while cursor is not None:
            jobs, cursor = self._send(calls.page(type_, cursor, **filters))
            yield from jobs

    submit = _sync(calls.submit)
    read = _sync(calls.read)
    reorder = _sync(calls.reorder)
    transition = _sync(calls.transition)
    set_expected = _sync(calls.set_expected)
    withdraw = _sync(calls.withdraw)
    attempts = _sync(calls.attempts)
    types = _sync(calls.types)
    policy = _sync(calls.policy)
    set_policy = _sync(calls.set_policy)
    drop_type = _sync(calls.drop_type)
    audit_log = _sync(calls.audit_log)
    hosts = _sync(calls.hosts)
    host = _sync(calls.host)
    set_host = _sync(calls.set_host)
    drop_host = _sync(calls.drop_host)
    destinations = _sync(calls.destinations)
    reset = _sync(calls.reset)
    requeue = _sync(calls.requeue)
    keys = _sync(calls.keys)
    set_keys = _sync(calls.set_keys)


class AsyncClient:
    """The async client of the API at `url`: as Client, with methods to be awaited.

    Args:
        url: Where the API serves, such as `http://127.0.0.1:8080`.
        token: As for Client.
        http: The httpx client to send with, in place of a new one. Leaving the `with` closes it.
        retries: As for Client.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        http: httpx.AsyncClient | None = None,
        retries: int = RETRIES,
    ) -> None:
        self._retries = retries
        self._credential = credential(token)
        self._http = http or httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS, limits=LIMITS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, call: Call[Result]) -> Result:
        attempts = Attempts(call, self._retries)
        while True:
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    json=call.body,
                    params=call.query,
                    headers=call.headers | self._credential,
                )
            except LOST:
                if (pause := attempts.pause()) is None:
                    raise
            else:
                if (pause := attempts.pause(response)) is None:
                    return call.extract(envelope_of(response))
            await asyncio.sleep(pause)

    async def jobs(self, type_: str, **filters: Unpack[JobFilter]) -> AsyncIterator[Json]:
        """Iterate over the jobs in priority order; reads the next page when needed."""
        cursor: str | None = ""
        while cursor is not None:
            jobs, cursor = await self._send(calls.page(type_, cursor, **filters))
            for job in jobs:
                yield job

    submit = _async(calls.submit)
    read = _async(calls.read)
    reorder = _async(calls.reorder)
    transition = _async(calls.transition)
    set_expected = _async(calls.set_expected)
    withdraw = _async(calls.withdraw)
    attempts = _async(calls.attempts)
    types = _async(calls.types)
    policy = _async(calls.policy)
    set_policy = _async(calls.set_policy)
    drop_type = _async(calls.drop_type)
    audit_log = _async(calls.audit_log)
    hosts = _async(calls.hosts)
    host = _async(calls.host)
    set_host = _async(calls.set_host)
    drop_host = _async(calls.drop_host)
    destinations = _async(calls.destinations)
    reset = _async(calls.reset)
    requeue = _async(calls.requeue)
    keys = _async(calls.keys)
    set_keys = _async(calls.set_keys)
