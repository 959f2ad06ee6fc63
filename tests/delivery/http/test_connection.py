"""What is read as an answer: whatever a receiver says, however it is cut, on both loops."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rq_broker.delivery.http.connection import MAX_BODY, Answer, Connection, Garbage
from tests.loops import GONE, HEAD, OK, REQUEST, Door, Run, both_loops, until

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
CLOSE = b"Connection: close\r\n"


Told = tuple[Answer | type[Exception], bool]
"""What a POST came to, and whether its connection takes another."""


async def _told(post: asyncio.Future[Answer], connection: Connection) -> Told:
    (result,) = await asyncio.gather(post, return_exceptions=True)
    if isinstance(result, Answer):
        return result, connection.is_open
    assert isinstance(result, (OSError, Garbage)), result
    assert not connection.is_open
    return (Garbage if isinstance(result, Garbage) else OSError), False


async def _converse(*pieces: bytes) -> Told:
    """Answer a POST by these pieces, each read before the next is sent; then end, if need be."""
    with Door() as door:
        connection = await door.dial()
        post = asyncio.ensure_future(connection.post(REQUEST))
        theirs = await door.hears(0)
        for piece in pieces:
            try:
                theirs.send(piece)
            except OSError:  # hung up on
                break
            for _ in range(3):
                await asyncio.sleep(0)
        if not post.done():
            theirs.shutdown(socket.SHUT_WR)
        told = await _told(post, connection)
        connection.close()
        await until(connection._transport.is_closing)
        await asyncio.sleep(0)
        return told


GOOD: list[tuple[bytes, int, bool]] = [
    (OK, 200, True),
    (HEAD + b"X-Empty:\r\ncontent-LENGTH: 2\r\n\r\nok", 200, True),
    (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, True),
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
@pytest.mark.parametrize(("raw", "status", "kept"), GOOD)
def test_a_good_answer_is_understood(run: Run, raw: bytes, status: int, kept: bool) -> None:
    """However an answer says where it ends, its status is told, and what may be kept is kept."""

    async def main() -> None:
        assert await _converse(raw) == (Answer(status, None), kept)

    run(main())


BAD: list[bytes] = [
    b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 000 Low\r\n\r\n",
    b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + OK,
    HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" + END,
    HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    HEAD + b"Content-Length: +2\r\n\r\nok",
    HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nok",
    HEAD + b"X: folded\r\n line\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"X\x00: a\r\nContent-Length: 0\r\n\r\n",
    HEAD + b"X : a\r\nContent-Length: 0\r\n\r\n",
    CHUNKED + b"x\r\n" + END,
    CHUNKED + b"ffffffffffffffffff\r\n" + END,
    CHUNKED + b"1\r\nxy\r\n" + END,
    b"220 mail.test ESMTP\r\n",
    b"\x16\x03\x01\x02\x00",
]


@both_loops
@pytest.mark.parametrize("raw", BAD)
def test_what_is_no_answer_is_garbage(run: Run, raw: bytes) -> None:
    """Nonsense is told at once, without waiting for more, and ends its connection."""

    async def main() -> None:
        assert await _converse(raw) == (Garbage, False)

    run(main())


@both_loops
@pytest.mark.parametrize(
    "raw",
    [HEAD, OK[:-1], CHUNKED + b"1\r\nx\r\n", CHUNKED + b"0\r\nX: y\r\n", GONE[:-1], b"H", b""],
)
def test_an_end_in_mid_answer_is_an_error(run: Run, raw: bytes) -> None:
    """An answer that says its length, or has no status yet, is not complete without all of it."""

    async def main() -> None:
        assert await _converse(raw) == (OSError, False)

    run(main())


SHORT = [raw for raw, _, _ in GOOD if len(raw) < 1000] + BAD


@both_loops
def test_an_answer_may_be_split_anywhere(run: Run) -> None:
    """An answer in two pieces is told as in one, wherever it is cut; and in single bytes."""

    async def main() -> None:
        for raw in SHORT:
            whole = await _converse(raw)
            for place in range(1, len(raw), 1 if len(raw) < 80 else 7):
                assert await _converse(raw[:place], raw[place:]) == whole, (raw, place)
            assert await _converse(*(raw[at : at + 1] for at in range(len(raw)))) == whole, raw

    run(main())


@st.composite
def _garbled(draw: st.DrawFn) -> list[bytes]:
    """Bytes that were an answer once, in pieces."""
    raw = bytearray(b"".join(draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(raw)))
        raw[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    cuts = sorted(draw(st.sets(st.integers(0, len(raw)), max_size=4)))
    return [bytes(raw[a:b]) for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


@both_loops
@settings(max_examples=150, deadline=None)
@given(pieces=st.one_of(_garbled(), st.lists(st.binary(min_size=1), min_size=1, max_size=4)))
def test_whatever_comes_is_told_alike_in_one_piece_and_in_many(
    run: Run, pieces: list[bytes]
) -> None:
    """Any bytes are an answer, garbage or an early end, and where they are cut changes nothing."""

    async def main() -> None:
        whole, kept = await _converse(b"".join(pieces))
        split, still = await _converse(*filter(None, pieces))
        assert split == whole
        if kept != still:  # more behind an answer ends its connection as soon as it is read
            assert isinstance(whole, Answer)

    run(main())


@both_loops
@pytest.mark.parametrize(
    ("opening", "more", "told"),
    [
        (CHUNKED + b"0\r\n", b"X-Trailer: y\r\n", Answer(200, None)),
        (CHUNKED + b"1;", b"a=b;" * 1000, Answer(200, None)),
        (CHUNKED, b"1\r\nx\r\n", Answer(200, None)),
        (HEAD + b"X: ", b"y" * 5000, Garbage),
        (HEAD + b"Retry-After: ", b"1" * 5000, Garbage),
        (b"HTTP/1.1 200 ", b"OK" * 5000, Garbage),
        (b"", b"\r\n" * 1000, Garbage),
        (b"", b"HTTP/1.1 102 Wait\r\n\r\n", Garbage),
    ],
    ids=["trailers", "chunk extension", "chunks", "header", "wish", "phrase", "lines", "interim"],
)
def test_what_has_no_end_is_cut_off(
    run: Run, opening: bytes, more: bytes, told: Answer | type[Exception]
) -> None:
    """An answer has a measure, beyond which nothing of it is read, and nothing is hoarded."""

    async def main() -> None:
        tracemalloc.start()
        try:
            endless = [opening, *[more * (8192 // len(more) + 1)] * 4000]
            assert await _converse(*endless) == (told, False)
            assert tracemalloc.get_traced_memory()[1] < 2**22
        finally:
            tracemalloc.stop()

    run(main())


@both_loops
@pytest.mark.parametrize("size", [150, 9000, 200_000])
def test_too_many_headers_are_too_many_in_any_pieces(run: Run, size: int) -> None:
    """Headers beyond the measure are garbage even if they come complete, and at once."""
    raw = HEAD + b"X: y\r\n" * 20_000 + b"Content-Length: 0\r\n\r\n"

    async def main() -> None:
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
        assert await _converse(*pieces) == (Garbage, False)

    run(main())


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        (b"Retry-After: 5\r\nretry-after: 7\r\n", "5"),
        (b"RETRY-AFTER:\t5 \r\n", "5"),
        (b"Retry-After: \xff\r\n", "\xff"),
        (b"X-Retry-After: 5\r\n", None),
    ],
)
async def test_the_first_wish_counts(headers: bytes, wish: str | None) -> None:
    """Retry-After is told as it came, the first one, in any case."""
    raw = b"HTTP/1.1 503 No\r\n" + headers + b"Content-Length: 0\r\n\r\n"
    assert await _converse(raw) == (Answer(503, wish), True)


async def test_a_wish_behind_the_body_is_none() -> None:
    """A trailer is not a header, neither its Retry-After nor an interim answer's."""
    raw = b"HTTP/1.1 103 Hints\r\nRetry-After: 3\r\n\r\n" + CHUNKED + b"0\r\nRetry-After: 5\r\n\r\n"
    assert await _converse(raw) == (Answer(200, None), True)
