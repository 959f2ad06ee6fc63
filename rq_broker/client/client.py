"""The Python client, sync and async: one method for each function of calls, bulk and so on.

`client.read("vm", "r1")` sends what `calls.read("vm", "r1")` describes and returns its result.
A refusal raises the class of domain/errors/ that its code names; a connection that still fails
after the last attempt raises httpx's own exceptions. What takes several calls is a flow, see flows.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
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
from rq_broker.client.holds import held
from rq_broker.client.repeating import ONCE, RETRIES, RETRY_FOR, Repeating, Told
from rq_broker.client.wishes import HoldOptions, wish
from rq_broker.domain.api_url import checked_url

Args = ParamSpec("Args")
Result = TypeVar("Result")


def _sync(call: Callable[Args, Call[Result]]) -> Callable[Concatenate[Client, Args], Result]:
    """Make the method of Client that sends a call; its arguments are those of the call."""

    @functools.wraps(call)
    def method(client: Client, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return client._send(call(*args, **kwargs))

    return method


def _sync_flow(flow: Callable[Args, Flow[Result]]) -> Callable[Concatenate[Client, Args], Result]:
    """Make the method of Client that carries out a flow."""

    @functools.wraps(flow)
    def method(client: Client, /, *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return client._run(flow(*args, **kwargs))

    return method


class Client:
    """The sync client of the API at `url`; jobs, hosts and policies are JSON as the API has them.

    Threads may share it.

    Args:
        url: Where the API serves, such as `http://127.0.0.1:8080`.
        token: Sent as `Authorization: Bearer …`, where the API asks who calls.
        http: The httpx client to send with, in place of a new one. Leaving the `with` closes it.
        retries: How often a call is sent again whose answer was lost, or that the API could not
            serve for the moment; None for any number. A submit and a withdrawal carry an
            Idempotency-Key for it.
        retry_for: Seconds after its first attempt in which a call may be sent again; math.inf
            without end.
        on_trouble: Is called with what went wrong before a call is sent again, and with None once
            it was answered.
        on_warning: Is called with each `Warning` that the API answers to a change, or of a type.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        http: httpx.Client | None = None,
        retries: int | None = RETRIES,
        retry_for: float = RETRY_FOR,
        on_trouble: Told | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._rules = Repeating(retries, retry_for, on_trouble, on_warning)
        self._credential = credential(token)
        self._is_anonymous = token is None and http is None
        self._http = http or httpx.Client(
            base_url=checked_url(url),
            timeout=connections.TIMEOUT_SECONDS,
            limits=connections.LIMITS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _exchange(self, call: Call[Any]) -> httpx.Response:
        """Send a call once."""
        return self._http.request(
            call.method,
            call.path,
            json=call.body,
            params=call.query,
            headers=call.headers | self._credential,
            timeout=connections.timeouts(self._http, call),
        )

    def _carry_out(
        self,
        flow: Generator[Call[Any] | Pause, Any, Result],
        perform: Callable[[Call[Any]], Any],
        pause: Callable[[float], None] | None = None,
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
                (pause or time.sleep)(step.seconds)
                continue
            try:
                outcome = perform(step)
            except Exception as error:
                trouble = error

    def _send(self, call: Call[Result], rules: Repeating | None = None) -> Result:
        """Send a call, repeated as the rules say."""
        return self._carry_out(repeated(call, rules or self._rules), self._exchange)

    def _run(
        self,
        flow: Flow[Result],
        pause: Callable[[float], None] | None = None,
        rules: Repeating | None = None,
    ) -> Result:
        """Carry out a flow; each of its calls is repeated as the rules say."""
        return self._carry_out(flow, lambda call: self._send(call, rules), pause)

    def _keep(self, grant: Grant, pause: Callable[[float], None]) -> HoldLost:
        """Renew a grant until it is lost."""
        return self._run(keep(grant, self._rules.told), pause, rules=ONCE)

    def jobs(self, type_: str, **filters: Unpack[JobFilter]) -> Iterator[Json]:
        """Iterate over the jobs in priority order; reads the next page when needed."""
        cursor: str | None = ""
        while cursor is not None:
            jobs, cursor = self._send(calls.page(type_, cursor, **filters))
            yield from jobs

    def audit_lines(
        self, type_: str | None, cursor: str = "", **filters: Unpack[LogFilter]
    ) -> Iterator[Json]:
        """Iterate over the lines of an audit log, as `audit_log` pages through them."""
        following: str | None = cursor
        while following is not None:
            lines, following = self._send(calls.audit_log(type_, following, **filters))
            yield from lines

    def events(
        self,
        type_: str | Sequence[str] | None = None,
        request_id: str | None = None,
        *,
        owner_id: str = "",
        after: str = "",
    ) -> Iterator[Event]:
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
                with self._http.stream(
                    "GET",
                    stream.call.path,
                    params=stream.call.query,
                    headers=stream.headers | self._credential,
                    timeout=connections.stream_timeouts(self._http),
                ) as response:
                    if stream.is_open(response):
                        source = EventSource(response)
                        for received in source.iter_sse():
                            if (event := stream.read(received)) is not None:
                                yield event
                    else:
                        response.read()
                        outcome = response
            except httpx.HTTPError as trouble:
                outcome = trouble
            if outcome is None and stream.is_over:
                return
            time.sleep(stream.pause_after(outcome))

    def hold(
        self,
        type_: str,
        need: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        **options: Unpack[HoldOptions],
    ) -> AbstractContextManager[Grant]:
        """Hold capacity while the body of the `with` runs.

        Entering submits a job without callback, waits for its grant and takes it; what is held is
        renewed until the end of the body, which gives it back: as `done`, or, after an exception,
        in `error` with its text. A job that is not granted in the end is withdrawn.

        A hold that is lost, because the job is gone, has ended or was granted anew, sets `lost` of
        the grant, and the `with` ends with HoldLost. A broker that does not answer ends no hold.

        Args:
            type_: The queue's name.
            need: An instance, resource → amount; or a list of them.
            **options: What else the job says, and how to wait: see HoldOptions.

        Raises:
            NotGranted: The job failed or was withdrawn while it waited.
            HoldTimeout: It was not granted in time.
            HoldLost: It was lost before the body ended.
            BrokerError: The API refuses the job.
        """
        wanted = wish(type_, need, is_anonymous=self._is_anonymous, **options)
        return held(self._run, self._keep, wanted)

    wait = _sync_flow(holding.wait)
    explain = _sync(questions.explain)
    what_if = _sync(questions.what_if)
    report = _sync(questions.report)
    waiting_now = _sync(questions.waiting_now)
    late_holders = _sync(questions.late_holders)
    submit = _sync(calls.submit)
    submit_many = _sync(bulk.submit_many)
    act = _sync(bulk.act)
    read = _sync(calls.read)
    reorder = _sync(calls.reorder)
    transition = _sync(calls.transition)
    set_expected = _sync(calls.set_expected)
    withdraw = _sync(calls.withdraw)
    attempts = _sync(calls.attempts)
    types = _sync(calls.types)
    policy = _sync(calls.policy)
    set_policy = _sync(calls.set_policy)
    patch_policy = _sync(patches.patch_policy)
    drop_type = _sync(calls.drop_type)
    audit_log = _sync(calls.audit_log)
    hosts = _sync(calls.hosts)
    host = _sync(calls.host)
    set_host = _sync(calls.set_host)
    patch_host = _sync(patches.patch_host)
    drop_host = _sync(calls.drop_host)
    destinations = _sync(receivers.destinations)
    reset = _sync(receivers.reset)
    requeue = _sync(receivers.requeue)
    send_test = _sync(receivers.send_test)
    receiver_test = _sync(receivers.receiver_test)
    keys = _sync(receivers.keys)
    set_keys = _sync(receivers.set_keys)
