"""Which bytes are parsed as a response, however they are split, on both event loops."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st

from rq_broker.delivery.http.connection import MAX_BODY, Response
from rq_broker.delivery.http.errors import MalformedResponse
from tests.delivery.http.test_lenient_head import PLAIN_BUT_ODD
from tests.loops import CHUNKED, END, GONE, HEAD, OK, Run, both_loops, exchange

CLOSE = b"Connection: close\r\n"


VALID: list[tuple[bytes, int, bool]] = [
    (OK, 200, True),
    (HEAD + b"X-Empty:\r\ncontent-LENGTH: 2\r\n\r\nok", 200, True),
    (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, True),
    (b"HTTP/1.1 200 \xff\x00\r\nContent-Length: 0\r\n\r\n", 200, True),
    (HEAD + CLOSE + b"Content-Length: 2\r\n\r\nok", 200, False),
    (HEAD + b"\r\nuntil the end", 200, False),
    (HEAD + CLOSE + b"\r\nuntil the end", 200, False),
    (HEAD + b"\r\n", 200, False),
    (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, True),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nuntil the end", 200, False),
    (b"HTTP/1.1 204 No\r\n\r\n", 204, True),
    (b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\n", 204, True),
    (b"HTTP/1.1 304 Same\r\nContent-Length: 20\r\n\r\n", 304, True),
    (CHUNKED + b"1\r\nx\r\n" + END, 200, True),
    (CHUNKED + b'1;a=b;c="d"\r\nx\r\n0;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n', 200, True),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + END, 200, True),
    (HEAD + b"Transfer-Encoding: gzip\r\n\r\nuntil the end", 200, False),
    (HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\nuntil the end", 200, False),
    (HEAD + b"Upgrade: h2,h2c\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n", 200, True),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, True),
    (b"HTTP/1.1 103 Hints\r\nContent-Length: 9\r\nRetry-After: 9\r\n\r\n" + GONE, 410, True),
    (b"HTTP/1.1 102 Wait\r\nX: y\r\n\r\n" * 20 + HEAD + b"\r\nuntil the end", 200, False),
    (HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY + b"x" * MAX_BODY, 200, True),
    (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1) + b"x" * (MAX_BODY + 1), 200, False),
]


@both_loops
@pytest.mark.parametrize(("raw", "status", "kept"), VALID)
def test_a_valid_response_is_parsed(run: Run, raw: bytes, status: int, kept: bool) -> None:
    """However a response marks its end, its status is read, and its connection kept if allowed."""

    async def main() -> None:
        assert await exchange(raw) == (Response(status, None), kept)

    run(main())


MALFORMED: list[bytes] = [
    b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 000 Low\r\n\r\n",
    b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 20O OK\r\n\r\n",
    b"HTTP/1.1 -200 OK\r\n\r\n",
    b"HTTP/1.1 OK 200\r\n\r\n",
    b"HTTP/3.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + OK,
    b"220 mail.test ESMTP\r\n",
    b"\x16\x03\x01\x02\x00",
]


@both_loops
@pytest.mark.parametrize("raw", MALFORMED)
def test_a_malformed_response_is_an_error(run: Run, raw: bytes) -> None:
    """A malformed response fails at once, without waiting for more, and closes its connection."""

    async def main() -> None:
        assert await exchange(raw) == (MalformedResponse, False)

    run(main())


@both_loops
@pytest.mark.parametrize("raw", [HEAD[:-1], GONE[:10], b"HTTP/1.1 100 Continue\r\n\r\n", b"H", b""])
def test_an_end_before_the_status_is_an_error(run: Run, raw: bytes) -> None:
    """A response that ends before its status line does is an error."""

    async def main() -> None:
        assert await exchange(raw) == (OSError, False)

    run(main())


SHORT = [
    *(raw for raw, _, _ in VALID if len(raw) < 1000),
    *(raw for raw, _ in PLAIN_BUT_ODD),
    *MALFORMED,
]


@both_loops
def test_a_response_may_be_split_anywhere(run: Run) -> None:
    """In two pieces, wherever they are split, or in single bytes, it gives the same result."""

    async def main() -> None:
        for raw in SHORT:
            whole = await exchange(raw)
            for split in range(1, len(raw), 1 if len(raw) < 80 else 7):
                assert await exchange(raw[:split], raw[split:]) == whole, (raw, split)
            assert await exchange(*(raw[i : i + 1] for i in range(len(raw)))) == whole, raw

    run(main())


@st.composite
def _garbled(draw: st.DrawFn) -> list[bytes]:
    """Draw responses with some bytes changed, in pieces."""
    raw = bytearray(b"".join(draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(raw)))
        raw[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    cuts = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=4)))
    bounds = zip([0, *cuts], [*cuts, len(raw)], strict=True)
    return [bytes(raw[start:end]) for start, end in bounds]


@both_loops
@settings(max_examples=150, deadline=None)
@given(pieces=st.one_of(_garbled(), st.lists(st.binary(min_size=1), min_size=1, max_size=4)))
def test_any_bytes_give_the_same_result_in_one_piece_and_in_many(
    run: Run, pieces: list[bytes]
) -> None:
    """Any bytes are a response, malformed or an early end, wherever they are split."""

    async def main() -> None:
        whole, is_open_after_whole = await exchange(b"".join(pieces))
        split, is_open_after_split = await exchange(*filter(None, pieces))
        assert split == whole
        # Bytes after a response close its connection, but only once they are read.
        if is_open_after_whole != is_open_after_split:
            assert isinstance(whole, Response)

    run(main())


@both_loops
@pytest.mark.parametrize(
    ("opening", "repeated", "expected"),
    [
        (CHUNKED + b"0\r\n", b"X-Trailer: y\r\n", Response(200, None)),
        (CHUNKED + b"1;", b"a=b;" * 1000, Response(200, None)),
        (CHUNKED, b"1\r\nx\r\n", Response(200, None)),
        (HEAD + b"X: ", b"y" * 5000, Response(200, None)),
        (HEAD + b"Retry-After: ", b"1" * 5000, Response(200, None)),
        (HEAD + b"X : ", b"y" * 5000, Response(200, None)),
        (HEAD + b"X : \n", b"y\n" * 2500, Response(200, None)),
        (b"HTTP/1.1 102 W\nX : y\n\n", b"HTTP/1.1 102 W\n\n", MalformedResponse),
        (b"HTTP/1.1 200 ", b"OK" * 5000, MalformedResponse),
        (b"", b"\r\n" * 1000, MalformedResponse),
        (b"", b"HTTP/1.1 102 Wait\r\n\r\n", MalformedResponse),
    ],
    ids=[
        "trailers",
        "chunk extension",
        "chunks",
        "header",
        "retry-after",
        "malformed header",
        "malformed headers",
        "malformed interim",
        "phrase",
        "lines",
        "interim",
    ],
)
def test_an_endless_response_is_cut_off(
    run: Run, opening: bytes, repeated: bytes, expected: Response | type[Exception]
) -> None:
    """Past the limit of a response nothing more is read, and little memory is used."""

    async def main() -> None:
        tracemalloc.start()
        try:
            endless = [opening, *[repeated * (8192 // len(repeated) + 1)] * 4000]
            assert await exchange(*endless) == (expected, False)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()

    run(main())


@both_loops
@pytest.mark.parametrize("size", [150, 9000, 200_000])
def test_too_many_headers_are_cut_off_in_any_pieces(run: Run, size: int) -> None:
    """Past the limit of headers only the status counts, even if all of them arrive at once."""
    raw = HEAD + b"X: y\r\n" * 20_000 + b"Content-Length: 0\r\n\r\n"

    async def main() -> None:
        pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
        assert await exchange(*pieces) == (Response(200, None), False)

    run(main())


@pytest.mark.parametrize(
    ("headers", "retry_after"),
    [
        (b"Retry-After: 5\r\nretry-after: 7\r\n", "5"),
        (b"RETRY-AFTER:\t5 \r\n", "5"),
        (b"Retry-After: \xff\r\n", "\xff"),
        (b"X-Retry-After: 5\r\n", None),
    ],
)
async def test_the_first_retry_after_counts(headers: bytes, retry_after: str | None) -> None:
    """The first Retry-After is kept as it was sent, in upper or lower case."""
    raw = b"HTTP/1.1 503 No\r\n" + headers + b"Content-Length: 0\r\n\r\n"
    assert await exchange(raw) == (Response(503, retry_after), True)


async def test_a_retry_after_in_a_trailer_is_ignored() -> None:
    """Retry-After counts neither in a trailer nor in an interim response."""
    raw = b"HTTP/1.1 103 Hints\r\nRetry-After: 3\r\n\r\n" + CHUNKED + b"0\r\nRetry-After: 5\r\n\r\n"
    assert await exchange(raw) == (Response(200, None), True)
