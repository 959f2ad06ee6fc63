"""Which calls the clients send again, when, and how often."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from rq_broker.client import AsyncClient, Client, calls, receivers, repeating
from rq_broker.client.call import Call
from rq_broker.domain import errors

pytestmark = pytest.mark.usefixtures("pauses")

LOST = [
    httpx.ConnectError("x"),
    httpx.ReadError("x"),
    httpx.ReadTimeout("x"),
    httpx.RemoteProtocolError("x"),
    503,
    502,
]
"""What an attempt may meet that does not prove that the call was not carried out."""
Script = Iterator[Exception | int]


def answering(outcomes: list[Any], requests: list[httpx.Request]) -> httpx.MockTransport:
    """Return a transport that meets one outcome after the other, and then answers."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        outcome = outcomes.pop(0) if outcomes else 200
        if isinstance(outcome, Exception):
            raise outcome
        headers = {"retry-after": "2"} if outcome == 503 else {}
        if outcome >= 500:
            refusal = {"error": "Redis is away", "code": "redis_unavailable", "ok": False}
            return httpx.Response(outcome, json=refusal, headers=headers)
        return httpx.Response(outcome, json={"data": {"requeued": 0}, "ok": True})

    return httpx.MockTransport(handle)


def send(verb: str, outcomes: list[Any], *args: Any, **kwargs: Any) -> list[httpx.Request]:
    """Call a method of both clients; both make the same requests, which are returned."""
    requests: tuple[list[httpx.Request], list[httpx.Request]] = ([], [])
    transport = answering([*outcomes], requests[0])
    with Client("http://a", http=httpx.Client(transport=transport, base_url="http://a")) as sync:
        getattr(sync, verb)(*args, **kwargs)

    async def ask() -> None:
        http = httpx.AsyncClient(transport=answering([*outcomes], requests[1]), base_url="http://a")
        async with AsyncClient("http://a", http=http) as client:
            await getattr(client, verb)(*args, **kwargs)

    asyncio.run(ask())
    assert len(requests[0]) == len(requests[1])
    return requests[0]


JOB = {"request_id": "d", "owner_id": "y", "data": {}, "callback": "cb"}


@pytest.mark.parametrize("outcome", LOST, ids=str)
def test_a_lost_answer_is_asked_for_again_with_the_same_key(outcome: Any) -> None:
    """A submit and a withdrawal are sent again unchanged, with one key for all attempts."""
    for verb, args, fields in (("submit", ("vm",), JOB), ("withdraw", ("vm", "d"), {})):
        first, *again = send(verb, [outcome, outcome], *args, **fields)
        assert len(again) == 2
        assert all(request.content == first.content for request in again)
        key = first.headers["idempotency-key"]
        assert [request.headers["idempotency-key"] for request in again] == [key, key]


def test_each_call_has_a_key_of_its_own() -> None:
    """Two submits are two calls; a caller that gives its own key has that one sent."""
    keys = {send("submit", [], "vm", **JOB)[0].headers["idempotency-key"] for _ in range(3)}
    assert len(keys) == 3
    (request,) = send("submit", [], "vm", idempotency_key='a"b\\', **JOB)
    assert request.headers["idempotency-key"] == r'"a\"b\\"'
    assert b"idempotency" not in request.content


@pytest.mark.parametrize(
    ("verb", "args", "fields"),
    [
        ("transition", ("vm", "d", "queued"), {}),
        ("requeue", ("vm", "http://h:80"), {}),
    ],
)
def test_a_call_that_is_not_safe_to_repeat_is_sent_once(
    verb: str, args: tuple[str, ...], fields: dict[str, Any]
) -> None:
    """Such a call might undo what happened in between: its caller decides."""
    with pytest.raises(httpx.ReadError):
        send(verb, [httpx.ReadError("x")], *args, **fields)


def test_queued_with_its_fence_is_safe() -> None:
    """The fence refuses the repetition where the job was granted again."""
    assert len(send("transition", [503], "vm", "d", "queued", fence=3)) == 2


def test_pauses_grow_and_heed_retry_after(pauses: list[float]) -> None:
    """A pause is at least what the API asks for, and else doubles from a fifth of a second."""
    send("types", [503])
    assert pauses == [2.0, 2.0]
    pauses.clear()
    send("types", [httpx.ReadError("x")] * 3)
    for made in (pauses[:3], pauses[3:]):
        assert all(0.1 <= pause / 2**number <= 0.2 for number, pause in enumerate(made))
    assert len(pauses) == 6


def test_attempts_end() -> None:
    """After the last attempt the caller gets httpx's exception, or the API's refusal."""
    with pytest.raises(httpx.ConnectError):
        send("types", [httpx.ConnectError("x")] * (repeating.RETRIES + 1))
    with pytest.raises(errors.Unavailable):
        send("types", [503] * (repeating.RETRIES + 1))
    with pytest.raises(httpx.UnsupportedProtocol):
        send("types", [httpx.UnsupportedProtocol("x")])


def test_retries_can_be_turned_off() -> None:
    """With `retries=0` each call is sent once."""
    requests: list[httpx.Request] = []
    http = httpx.Client(transport=answering([503], requests), base_url="http://a")
    with Client("http://a", http=http, retries=0) as client, pytest.raises(errors.Unavailable):
        client.types()
    assert len(requests) == 1


def test_every_call_that_is_no_put_or_get_was_thought_about() -> None:
    """A POST or DELETE is repeatable by its meaning, or has a key, or is sent once."""
    known: dict[str, Callable[[], Call[Any]]] = {
        "submit": lambda: calls.submit("vm", **JOB),  # type: ignore[arg-type]  # a plain dict
        "withdraw": lambda: calls.withdraw("vm", "d"),
        "reorder": lambda: calls.reorder("vm", "d", priority=1),
        "transition": lambda: calls.transition("vm", "d", "done"),
        "set_expected": lambda: calls.set_expected("vm", "d", 1.0),
        "reset": lambda: receivers.reset("vm", "x"),
        "requeue": lambda: receivers.requeue("vm", "x"),
        "drop_type": lambda: calls.drop_type("vm"),
        "drop_host": lambda: calls.drop_host("vm", "h"),
    }
    changing = {
        name
        for name, function in (vars(calls) | vars(receivers)).items()
        if inspect.isfunction(function)
        and ('"POST"' in inspect.getsource(function) or '"DELETE"' in inspect.getsource(function))
    }
    assert changing == known.keys()
    for name in ("submit", "withdraw"):
        assert known[name]().idempotency_key


@pytest.mark.parametrize(
    ("retry_after", "pauses_made"),
    [
        ("20", [20.0]),
        ("61", []),
        ("Thu, 01 Jan 1970 00:00:00 GMT", [pytest.approx(0.15, abs=0.06)]),
    ],
)
def test_the_total_is_bounded(
    retry_after: str, pauses_made: list[float], pauses: list[float]
) -> None:
    """An API that asks for a pause gets it, seconds or a date; not if it ends after `retry_for`."""
    refusal = {"error": "slowly", "code": "rate_limited", "ok": False}
    answers = [
        httpx.Response(429, json=refusal, headers={"retry-after": retry_after}),
        httpx.Response(200, json={"data": {"requeued": 0}, "ok": True}),
    ]
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    told: list[Exception | None] = []
    http = httpx.Client(transport=transport, base_url="http://a")
    with Client("http://a", http=http, retry_for=60, on_trouble=told.append) as client:
        if pauses_made:  # a 429 was not carried out, so even this call is safe to repeat
            assert client.requeue("vm", "http://h:80") == 0
            assert [type(trouble) for trouble in told] == [errors.RateLimited, type(None)]
        else:
            with pytest.raises(errors.RateLimited):
                client.requeue("vm", "http://h:80")
    assert pauses == pauses_made
