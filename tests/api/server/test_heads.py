"""Heads of requests as old clients and proxies send them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from rq_broker.api.responses import ok
from rq_broker.api.server.heads import take_host
from tests.api.server.serving import serving
from tests.raw_http import RawConnection, connected

OLD = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


async def _pieces() -> AsyncIterator[bytes]:
    for piece in (b"one,", b"", b"two"):
        yield piece
        await asyncio.sleep(0)


async def _streamed(_: Request) -> Response:
    return StreamingResponse(_pieces(), media_type="text/event-stream")


async def _whole(_: Request) -> Response:
    return ok("whole")


async def _all(connection: RawConnection) -> tuple[bytes, bytes]:
    async with asyncio.timeout(20):
        head, _, body = (await connection.reader.read()).partition(b"\r\n\r\n")
    return head.lower(), body


async def test_a_stream_to_an_old_client_ends_with_the_connection() -> None:
    """HTTP/1.0 has no chunks: the bytes come as they are, and the connection closes behind them."""
    async with serving(answering=_streamed) as served, connected(served.port, OLD) as connection:
        head, body = await _all(connection)
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"one,two"


async def test_a_stream_to_a_new_client_is_chunked() -> None:
    """HTTP/1.1 tells a whole stream from one that broke off."""
    new = b"GET /a HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n"
    async with serving(answering=_streamed) as served, connected(served.port, new) as connection:
        head, body = await _all(connection)
    assert b"transfer-encoding: chunked" in head
    assert body == b"4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_a_whole_answer_to_an_old_client_has_its_length() -> None:
    """Where the length is known it is told, to HTTP/1.0 too."""
    async with serving(answering=_whole) as served, connected(served.port, OLD) as connection:
        head, body = await _all(connection)
    assert f"content-length: {len(body)}".encode() in head
    assert b"whole" in body


@pytest.mark.parametrize(
    ("url", "path"), [("http://rebound.test:80", "/"), ("http://u@rebound.test:80/a?q=1", "/a")]
)
async def test_the_host_of_an_absolute_url_counts(url: str, path: str) -> None:
    """What allows hosts sees that of the URL, whatever Host says beside it."""
    sent = f"GET {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    async with serving() as served, connected(served.port, sent) as connection:
        assert (await connection.answer()).status == 200
    assert [asked for _, asked, _ in served.requests] == [path]
    assert served.headers[0]["host"] == "rebound.test:80"


@pytest.mark.parametrize("url", [b"/a", b"/x://b", b"*"])
def test_other_urls_leave_the_host(url: bytes) -> None:
    """A path names no host, even one that looks like an absolute URL."""
    headers = [(b"host", b"api")]
    assert (take_host(url, headers), headers) == (url, [(b"host", b"api")])
