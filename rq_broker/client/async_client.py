"""The async client: as Client, from the same calls and flows."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import httpx
from httpx_sse import EventSource

from rq_broker.client import bulk, calls, connections, holding, patches, questions, receivers
from rq_broker.client.arguments import JobFilter, LogFilter
from rq_broker.client.call import Call, Json, credential
from rq_broker.client.events import Event, EventStream
from rq_broker.client.flows import Flow, Pause, repeated
from rq_broker.client.grants import Grant, HoldLost
from rq_broker.client.holding import keep
from rq_broker.client.holds import held_async
from rq_broker.client.repeating import ONCE, RETRIES, RETRY_FOR, Repeating, Told
from rq_broker.client.wishes import HoldOptions, wish
from rq_broker.domain.api_url import checked_url

Args = ParamSpec("Args")
Result = TypeVar("Result")


def _async(
    call: Callable[Args, Call[Result]],
) -> Callable[Concatenate[AsyncClient, Args], Coroutine[Any, Any, Result]]:
    """Make the method of AsyncClient that sends a call; its arguments are those of the call."""

    @functools.wraps(call)
    async def method(client: AsyncClient, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return await client._send(call(*args, **kwargs))

    return method


def _async_flow(
    flow: Callable[Args, Flow[Result]],
) -> Callable[Concatenate[AsyncClient, Args], Coroutine[Any, Any, Result]]:
    """Make the method of AsyncClient that carries out a flow."""

    @functools.wraps(flow)
    async def method(client: AsyncClient, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return await client._run(flow(*args, **kwargs))

    return method


class AsyncClient:
    """The async client of the API at `url`: as Client, with methods to be awaited.

    Args:
        url: Where the API serves, such as `http://127.0.0.1:8080`.
        token: As for Client.
        http: The httpx client to send with, in place of a new one. Leaving the `with` closes it.
        retries: As for Client.
        retry_for: As for Client.
        on_trouble: As for Client.
        on_warning: As for Client.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        http: httpx.AsyncClient | None = None,
        retries: int | None = RETRIES,
        retry_for: float = RETRY_FOR,
        on_trouble: Told | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._rules = Repeating(retries, retry_for, on_trouble, on_warning)
        self._credential = credential(token)
        self._is_anonymous = token is None and http is None
        self._http = http or httpx.AsyncClient(
            base_url=checked_url(url),
            timeout=connections.TIMEOUT_SECONDS,
            limits=connections.LIMITS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _exchange(self, call: Call[Any]) -> httpx.Response:
        """Send a call once."""
        return await self._http.request(
            call.method,
            call.path,
            json=call.body,
            params=call.query,
            headers=call.headers | self._credential,
            timeout=connections.timeouts(self._http, call),
        )

    async def _carry_out(
        self,
        flow: Generator[Call[Any] | Pause, Any, Result],
        perform: Callable[[Call[Any]], Awaitable[Any]],
    ) -> Result:
        """Carry out a flow; `perform` returns what it is resumed with after a call."""
        outcome: Any = None
        trouble: Exception | None = None
        while True:
            try:
                step = flow.throw(trouble) if trouble else flow.send(outcome)
            except StopIteration as end:
                result: Result = end.value
                return result
            outcome = trouble = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                outcome = await perform(step)
            except Exception as error:
                trouble = error

    async def _send(self, call: Call[Result], rules: Repeating | None = None) -> Result:
        """Send a call, repeated as the rules say."""
        return await self._carry_out(repeated(call, rules or self._rules), self._exchange)

    async def _run(self, flow: Flow[Result], rules: Repeating | None = None) -> Result:
        """Carry out a flow; each of its calls is repeated as the rules say."""
        return await self._carry_out(flow, lambda call: self._send(call, rules))

    async def _keep(self, grant: Grant) -> HoldLost:
        """Renew a grant until it is lost."""
        return await self._run(keep(grant, self._rules.told), rules=ONCE)

    async def jobs(self, type_: str, **filters: Unpack[JobFilter]) -> AsyncIterator[Json]:
        """Iterate over the jobs in priority order; reads the next page when needed."""
        cursor: str | None = ""
        while cursor is not None:
            jobs, cursor = await self._send(calls.page(type_, cursor, **filters))
            for job in jobs:
                yield job

    async def audit_lines(
        self, type_: str | None, cursor: str = "", **filters: Unpack[LogFilter]
    ) -> AsyncIterator[Json]:
        """Iterate over the lines of an audit log, as `audit_log` pages through them."""
        following: str | None = cursor
        while following is not None:
            lines, following = await self._send(calls.audit_log(type_, following, **filters))
            for line in lines:
                yield line

    async def events(
        self,
        type_: str | Sequence[str] | None = None,
        request_id: str | None = None,
        *,
        owner_id: str = "",
        after: str = "",
    ) -> AsyncIterator[Event]:
        """Iterate over what happens; a connection that breaks is made again.

        Args:
            type_: The queue's name; or several, or None for all, over one connection. Each event's
                `data` has its `type`.
            request_id: Only what happens to this job.
            owner_id: As of `read`.
            after: The id of the last event that was seen, to go on behind it; else from now on.

        Returns:
            The events, each one once. One whose `is_gap` is true says that some are missing. Those
            of a job end with its `done` or `error`, or when it is gone.
        """
        stream = EventStream(type_, request_id, owner_id, after, self._rules)
        while True:
            outcome: httpx.Response | Exception | None = None
            try:
                async with self._http.stream(
                    "GET",
                    stream.call.path,
                    params=stream.call.query,
                    headers=stream.headers | self._credential,
                    timeout=connections.stream_timeouts(self._http),
                ) as response:
                    if stream.is_open(response):
                        source = EventSource(response)
                        async for received in source.aiter_sse():
                            if (event := stream.read(received)) is not None:
                                yield event
                    else:
                        await response.aread()
                        outcome = response
            except httpx.HTTPError as trouble:
                outcome = trouble
            if outcome is None and stream.is_over:
                return
            await asyncio.sleep(stream.pause_after(outcome))

    def hold(
        self,
        type_: str,
        need: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        **options: Unpack[HoldOptions],
    ) -> AbstractAsyncContextManager[Grant]:
        """Hold capacity while the body of the `async with` runs: as Client.hold.

        A hold that is lost cancels the body, and the `async with` ends with HoldLost. `on_lost` is
        called in the event loop.
        """
        wanted = wish(type_, need, is_anonymous=self._is_anonymous, **options)
        return held_async(self._run, self._keep, wanted)

    wait = _async_flow(holding.wait)
    explain = _async(questions.explain)
    what_if = _async(questions.what_if)
    report = _async(questions.report)
    waiting_now = _async(questions.waiting_now)
    late_holders = _async(questions.late_holders)
    submit = _async(calls.submit)
    submit_many = _async(bulk.submit_many)
    act = _async(bulk.act)
    read = _async(calls.read)
    reorder = _async(calls.reorder)
    transition = _async(calls.transition)
    set_expected = _async(calls.set_expected)
    withdraw = _async(calls.withdraw)
    attempts = _async(calls.attempts)
    types = _async(calls.types)
    policy = _async(calls.policy)
    set_policy = _async(calls.set_policy)
    patch_policy = _async(patches.patch_policy)
    drop_type = _async(calls.drop_type)
    audit_log = _async(calls.audit_log)
    hosts = _async(calls.hosts)
    host = _async(calls.host)
    set_host = _async(calls.set_host)
    patch_host = _async(patches.patch_host)
    drop_host = _async(calls.drop_host)
    destinations = _async(receivers.destinations)
    reset = _async(receivers.reset)
    requeue = _async(receivers.requeue)
    send_test = _async(receivers.send_test)
    receiver_test = _async(receivers.receiver_test)
    keys = _async(receivers.keys)
    set_keys = _async(receivers.set_keys)
