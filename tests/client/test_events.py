"""Events in both clients: resumed behind the last one, and gaps are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from rq_broker.client import AsyncClient, Client, Event
from rq_broker.domain import errors

pytestmark = pytest.mark.usefixtures("pauses")


def frame(number: int, kind: str, retry: str = "") -> str:
    return f'{retry}id: {number}-0\nevent: {kind}\ndata: {{"n": {number}}}\n\n'


class Streams:
    """Answers each connection with the next body; bodies end as a broken connection does."""

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            body = {"ok": False, "error": "x", "code": "job_not_found"}
            return httpx.Response(answer, json=body)
        return httpx.Response(200, text=answer, headers={"content-type": "text/event-stream"})


@pytest.fixture(params=["sync", "async"])
def read(request: pytest.FixtureRequest) -> Any:
    """Return what reads the events of a job until they end, on either client."""

    async def read(streams: Streams, **options: Any) -> list[Event]:
        transport = httpx.MockTransport(streams)
        if request.param == "sync":
            with Client("", http=httpx.Client(transport=transport, base_url="http://a")) as broker:
                return list(broker.events("vm", "r", **options))
        http = httpx.AsyncClient(transport=transport, base_url="http://a")
        async with AsyncClient("", http=http) as own:
            return [event async for event in own.events("vm", "r", **options)]

    return read


async def test_a_broken_stream_is_resumed(read: Any, pauses: list[float]) -> None:
    """Each event comes once over all connections; the last of a job ends the iteration."""
    streams = Streams(
        ": ping\n\n" + frame(1, "job.queued", "retry: 3000\n"),
        httpx.ConnectError("x"),
        frame(2, "lost") + frame(3, "job.done"),
    )
    events = await read(streams)
    assert [(event.id, event.kind, event.data["n"]) for event in events] == [
        ("1-0", "job.queued", 1),
        ("2-0", "lost", 2),
        ("3-0", "job.done", 3),
    ]
    assert [event.is_gap for event in events] == [False, True, False]
    sent = [request.headers.get("last-event-id") for request in streams.requests]
    assert sent == [None, "1-0", "1-0"]
    assert min(pauses) == 3.0  # as the API asks
    assert streams.requests[0].url.path == "/v1/vm/r/events"


async def test_a_reader_goes_on_where_another_has_ended(read: Any) -> None:
    """`after` is sent as the last event that was seen."""
    streams = Streams(frame(8, "job.error"))
    (event,) = await read(streams, after="7-0", owner_id="o")
    assert event.id == "8-0"
    assert streams.requests[0].headers["last-event-id"] == "7-0"
    assert streams.requests[0].url.params["owner_id"] == "o"


async def test_a_stream_that_is_refused(read: Any) -> None:
    """A refusal raises its class; so does trouble that lasts."""
    with pytest.raises(errors.JobNotFound):
        await read(Streams(404))
    with pytest.raises(httpx.ConnectError):
        await read(Streams(*[httpx.ConnectError("x")] * 4))
