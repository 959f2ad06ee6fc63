"""What the server refuses before a route sees it: sizes and malformed requests."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from starlette.requests import Request
from starlette.responses import Response

from rq_broker.api.request_body import BODY_LIMIT
from rq_broker.api.responses import ok
from rq_broker.api.server.limits import HEAD_BYTES, PIPELINED, URL_BYTES
from tests.api.server.serving import serving
from tests.raw_http import connected, request

GET = request("GET", "/a")
LONG = b"x" * HEAD_BYTES
CHUNKED = b"POST /p HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "a method that is none": b"FOO / HTTP/1.1\r\n\r\n",
    "another case": b"get / HTTP/1.1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"GET / HTTP/1.9\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\n\r\n",
    "a path in UTF-8": "GET /v1/虛擬機/ HTTP/1.1\r\nHost: api\r\n\r\n".encode(),
    "a query in UTF-8": "GET /v1/vm?owner_id=ä HTTP/1.1\r\nHost: api\r\n\r\n".encode(),
    "a path of Latin-1": b"GET /\xe4 HTTP/1.1\r\nHost: api\r\n\r\n",
    "a control character": b"GET /\x01 HTTP/1.1\r\nHost: api\r\n\r\n",
    "no path": b"GET a HTTP/1.1\r\nHost: api\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : api\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "a header without a name": b"GET / HTTP/1.1\r\n: b\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: api\n\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 1\r\n"
    + CHUNKED.split(b"\r\n", 1)[1],
    "a coding that is not the last": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"
    ),
    "no host": b"GET / HTTP/1.1\r\nA: b\r\n\r\n",
    "no host beside an absolute URL": b"GET http://api/ HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: api\r\nHost: other\r\n\r\n",
    "another coding before chunks": CHUNKED.replace(b"chunked", b"identity, chunked"),
    "chunks in chunks": CHUNKED.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "chunks in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a chunk without a size": CHUNKED + b"zz\r\n",
    "a chunk that is longer": CHUNKED + b"1\r\nabc\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_no_http_gets_the_envelope(case: str) -> None:
    """The answer is JSON with the code `malformed_request`, also behind another's answer."""
    async with serving() as served:
        for before in ((), (GET,)):
            async with connected(served.port, *before, MALFORMED[case]) as connection:
                for _ in before:
                    assert (await connection.answer()).status == 200
                answer = await connection.answer()
                assert (answer.status, answer.code) == (400, "malformed_request")
                assert answer.headers["content-type"] == "application/json"
                assert answer.headers["connection"] == "close"
                assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
                assert await connection.ended()
    assert {path for _, path, _ in served.requests} <= {"/a"}


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    """What is malformed behind requests under way is answered after them, in one packet or not."""
    go_on = asyncio.Event()

    async def slowly(request: Request) -> Response:
        await go_on.wait()
        return ok({"path": request.url.path})

    bad = MALFORMED["a chunk without a size"]
    async with serving(answering=slowly) as served:
        for pieces in ((GET, request("POST", "/b", body=b"x"), bad), (GET + GET + bad,)):
            async with connected(served.port, *pieces) as connection:
                go_on.set()
                answers = await connection.answers(3)
                assert await connection.ended()
            assert [answer.status for answer in answers] == [200, 200, 400]
            go_on.clear()


async def test_a_refusal_has_the_id_of_its_request() -> None:
    """What is refused in its headers, or in its body, is answered with the X-Request-ID it has."""
    in_body = CHUNKED[:-2] + b"X-Request-ID: r-1\r\n\r\nzz\r\n"
    in_head = b"GET / HTTP/1.1\r\nX-Request-ID: r-1\r\nA: %b\r\n\r\n" % LONG
    async with serving() as served:
        for data in (in_body, in_head):
            async with connected(served.port, data) as connection:
                answer = await connection.answer()
                assert answer.status in (400, 431)
                assert answer.headers["x-request-id"] == "r-1"


LONG_HEADS = {
    "a header": b"GET / HTTP/1.1\r\nA: %b\r\n\r\n" % LONG,
    "a header that does not end": b"GET / HTTP/1.1\r\nA: %b" % LONG,
    "a name": b"GET / HTTP/1.1\r\n%b: a\r\n\r\n" % LONG,
    "many headers": b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    "a trailer": CHUNKED + b"1\r\na\r\n0\r\nA: " + LONG,
    "an extension of a chunk": CHUNKED + b"1;" + LONG,
    "empty lines": b"\r\n" * HEAD_BYTES,
}


@pytest.mark.parametrize("case", LONG_HEADS)
async def test_long_headers_are_refused(case: str, caplog: pytest.LogCaptureFixture) -> None:
    """More than 64 KiB beside a body are answered 431, however many packets bring them."""
    data = LONG_HEADS[case] + LONG[:9]
    async with serving() as served:
        for size in (len(data), 50_000, 8_000):
            pieces = [data[start : start + size] for start in range(0, len(data), size)]
            async with connected(served.port, *pieces, LONG, LONG, LONG) as connection:
                answer = await connection.answer()
                assert (answer.status, answer.code) == (431, "headers_too_large")
                assert await connection.ended()
    assert served.requests == []
    assert "a request is refused: the URL and headers" in caplog.text


@pytest.mark.parametrize("end", [b"", b" HTTP/1.1\r\n\r\n"], ids=["no end", "an end"])
async def test_a_long_url_is_refused(end: bytes) -> None:
    """More than 16 KiB are answered 414, before the URL ends or after."""
    data = b"GET /" + b"x" * URL_BYTES + end
    async with serving() as served:
        for pieces in ((data,), (data[:9000], data[9000:])):
            async with connected(served.port, *pieces) as connection:
                answer = await connection.answer()
                assert (answer.status, answer.code) == (414, "uri_too_long")
    assert served.requests == []


async def test_what_is_within_the_limits_is_served() -> None:
    """A head of 60 KB is served, behind a large body on the same connection too."""
    head = request("GET", "/" + "x" * 16_000, "A: " + "x" * 44_000)
    body = request("POST", "/b", body=b"x" * 900_000)
    async with serving() as served:
        for pieces in ((head,), (head[:20_000], head[20_000:]), (body, head), (body + head, head)):
            async with connected(served.port, *pieces) as connection:
                answers = await connection.answers(1 if pieces[0][:3] == b"GET" else 2)
                assert {answer.status for answer in answers} == {200}


async def test_trailers_are_no_headers() -> None:
    """What follows the last chunk is dropped, and the connection goes on."""
    data = CHUNKED + b"2\r\n{}\r\n0\r\nX-Admin: yes\r\nUpgrade: h2c\r\n\r\n"
    async with serving() as served, connected(served.port, data, GET) as connection:
        assert [answer.status for answer in await connection.answers(2)] == [200, 200]
    assert [sorted(headers) for headers in served.headers] == [
        ["host", "transfer-encoding"],
        ["host"],
    ]


async def test_a_body_is_read_to_its_end_after_its_refusal() -> None:
    """A client that sends a body that is too large reads the 413, and may go on."""
    async with serving() as served:
        data = request("POST", "/b", body=b"x" * (BODY_LIMIT + 100_000))
        async with connected(served.port, data, GET) as connection:
            assert [answer.status for answer in await connection.answers(2)] == [413, 200]


async def test_a_refusal_instead_of_100_continue_closes() -> None:
    """A client that never was told to go on may not send its body: the connection closes."""

    async with serving() as served:
        head = b"POST /b HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 40\r\nHost: a\r\n\r\n"
        async with connected(served.port, head.replace(b"POST", b"PATCH")) as connection:
            assert (await connection.answer()).status == 405
            await connection.send(request("DELETE", "/victim"))
            assert await connection.ended()
    assert served.requests == []


async def test_only_so_many_requests_may_wait() -> None:
    """A connection may send 256 requests ahead; those before one too many are answered."""
    go_on = asyncio.Event()

    async def slowly(_: Request) -> Response:
        await go_on.wait()
        return ok({})

    async with (
        serving(answering=slowly) as served,
        connected(served.port, GET * (PIPELINED + 2)) as connection,
    ):
        go_on.set()
        answers = await connection.answers(PIPELINED + 2)
        assert await connection.ended()
    assert [answer.status for answer in answers] == [200] * (PIPELINED + 1) + [400]


async def test_a_flood_of_refusals_is_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A hundred malformed requests write one line."""
    async with serving() as served:
        for _ in range(100):
            async with connected(served.port, MALFORMED["garbage"]) as connection:
                await connection.answer()
    lines = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "from 127.0.0.1" in lines[0].getMessage()
