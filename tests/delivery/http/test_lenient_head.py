"""A whole status line counts, whatever follows it; its connection is then closed."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rq_broker.delivery.http.connection import Response
from tests.loops import (
    CHUNKED,
    END,
    GONE,
    HEAD,
    OK,
    REQUEST,
    LoopbackDialler,
    Run,
    both_loops,
    exchange,
    in_ten_seconds,
)

PLAIN_BUT_ODD: list[tuple[bytes, int]] = [
    (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200),
    (b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", 200),
    (b"HTTP/1.1 200\n\n", 200),
    (b"HTTP/1.1  200  OK\r\nContent-Length: 0\r\n\r\n", 200),
    (b"HTTP/1.1\t200\tOK\r\nContent-Length: 0\r\n\r\n", 200),
    (b"HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
    (b"HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Hints\nX : y\n\n" + GONE, 410),
    (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + END, 200),
    (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + END, 200),
    (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200),
    (HEAD + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\nok", 200),
    (HEAD + b"Content-Length: 2, 2\r\n\r\nok", 200),
    (HEAD + b"Content-Length: +2\r\n\r\nok", 200),
    (HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok", 200),
    (HEAD + b"X: folded\r\n line\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b"X\x00: a\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b"X : a\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b"no colon\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b": no name\r\nContent-Length: 0\r\n\r\n", 200),
    (HEAD + b" first line folded\r\nContent-Length: 0\r\n\r\n", 200),
    (CHUNKED + b"x\r\n" + END, 200),
    (CHUNKED + b"ffffffffffffffffff\r\n" + END, 200),
    (CHUNKED + b"1\r\nxy\r\n" + END, 200),
    (CHUNKED + b"1\nx\n0\n\n", 200),
]


@both_loops
@pytest.mark.parametrize(("raw", "status"), PLAIN_BUT_ODD)
def test_a_plain_status_counts_whatever_follows(run: Run, raw: bytes, status: int) -> None:
    """A whole status line counts though the rest is malformed; its connection is closed."""

    async def main() -> None:
        assert await exchange(raw) == (Response(status, None), False)

    run(main())


@both_loops
@pytest.mark.parametrize(
    "raw", [HEAD, HEAD + b"X", OK[:-1], CHUNKED + b"1\r\nx\r\n", CHUNKED + b"0\r\nX: y\r\n"]
)
def test_a_response_that_ends_early_has_its_status(run: Run, raw: bytes) -> None:
    """After its status line, a response may end anywhere, by an end or by a reset."""

    async def main() -> None:
        assert await exchange(raw) == (Response(200, None), False)
        with LoopbackDialler() as dialler:
            connection = await dialler.dial()
            post = asyncio.ensure_future(connection.post(REQUEST, in_ten_seconds()))
            end = await dialler.read_request(0)
            end.send(raw)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            end.close()  # with a reset
            assert await post == Response(200, None)
            assert not connection.is_open

    run(main())


@both_loops
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (HEAD + b"X: y\r\n", Response(200, None)),
        (HEAD + b"X : y\r\n", Response(200, None)),
        (OK[:-1], Response(200, None)),
        (b"HTTP/1.1 503 No\nRetry-After: 60\nRetry-After", Response(503, "60")),
        (b"HTTP/1.1 503 No\nRetry-After: 60", Response(503, None)),
        (HEAD[:-1], TimeoutError),
        (b"", TimeoutError),
    ],
)
def test_a_status_counts_at_the_deadline(
    run: Run, raw: bytes, expected: Response | type[Exception]
) -> None:
    """If the rest of a response does not come in time, its status counts, if it has one."""

    async def main() -> None:
        with LoopbackDialler() as dialler:
            connection = await dialler.dial()
            deadline = asyncio.get_running_loop().time() + 0.1
            post = asyncio.ensure_future(connection.post(REQUEST, deadline))
            (await dialler.read_request(0)).send(raw)
            (result,) = await asyncio.gather(post, return_exceptions=True)
            assert (result if isinstance(result, Response) else type(result)) == expected
            assert not connection.is_open

    run(main())


@both_loops
def test_a_body_that_does_not_end_holds_no_slot(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the head is complete, its status counts long before the deadline."""
    monkeypatch.setattr("rq_broker.delivery.http.connection._BODY_TIMEOUT_S", 0.05)

    async def main() -> None:
        with LoopbackDialler() as dialler:
            connection = await dialler.dial()
            deadline = asyncio.get_running_loop().time() + 600
            post = asyncio.ensure_future(connection.post(REQUEST, deadline))
            (await dialler.read_request(0)).send(OK[:-1])
            assert await post == Response(200, None)
            assert not connection.is_open

    run(main())


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        (b"X : y\r\nRetry-After: 5\r\nRetry-After: 7\r\n", "5"),
        (b"RETRY-AFTER : 5 \n", "5"),
        (b"Retry-After:\r\n\t5\r\n", "5"),
        (b"X : y\r\nX-Retry-After: 5\r\n", None),
        (b"X : y\r\n Retry-After: 5\r\n", None),
    ],
)
async def test_retry_after_counts_among_malformed_headers(
    headers: bytes, retry_after: str | None
) -> None:
    """Retry-After counts if another header, or its own line, is malformed."""
    raw = b"HTTP/1.1 503 No\r\n" + headers + b"\r\nRetry-After: 9\r\n\r\n"
    assert await exchange(raw) == (Response(503, retry_after), False)
