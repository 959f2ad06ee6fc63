"""A request with `Upgrade` stays HTTP/1.1, and its body is never a request of its own."""

from __future__ import annotations

import pytest

from tests.api.server.serving import serving
from tests.raw_http import connected, request

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
DELETE = request("DELETE", "/v1/vm/victim")
SPELLINGS = {
    "h2c": H2C,
    "websocket": ("Upgrade: websocket", "Connection: keep-alive, Upgrade"),
    "lower case": ("connection: upgrade", "upgrade: h2c"),
    "upper case": ("CONNECTION: UPGRADE", "UPGRADE: H2C"),
    "spaces": ("Connection:   keep-alive ,  upGrade\t,x  ", "Upgrade:\th2c  "),
    "upgrade first": ("Upgrade: h2c", "Connection: Upgrade"),
    "two of each": ("Upgrade: h2c", "Upgrade: websocket", "Connection: a", "Connection: upgrade"),
    "a list": ("Upgrade: h2c, websocket/13", "Connection: Upgrade"),
    "of a proxy": ("Upgrade: h2c", "Proxy-Connection: upgrade"),
    "no value": ("Upgrade:", "Connection: Upgrade"),
    "no connection": ("Upgrade: h2c",),
    "no upgrade": ("Connection: Upgrade",),
    "a token in quotes": ("Upgrade: h2c", 'Connection: "upgrade"'),
    "beside close": ("Upgrade: h2c", "Connection: close, upgrade"),
}
"""Name → the header lines."""


def _cut(data: bytes, at: str) -> list[bytes]:
    """Cut a request into packets."""
    end = data.index(b"\r\n\r\n") + 4
    places = {
        "in one packet": [],
        "behind the head": [end],
        "within the head's end": [end - 1],
        "before the head's end": [end - 2],
        "within the header": [data.lower().index(b"upgrade") + 3],
        "within the body": [end + 5],
    }[at]
    pieces = [data[start:stop] for start, stop in zip([0, *places], [*places, None], strict=True)]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_body_beside_upgrade_is_a_body(spelling: str, chunked: bool) -> None:
    """However `Upgrade` is spelt, the body belongs to its request; the DELETE in it never runs."""
    head = request("POST", "/v1/vm", *SPELLINGS[spelling], body=DELETE, chunked=chunked)
    async with serving() as served:
        for cut in ("in one packet", "behind the head", "within the head's end"):
            served.requests.clear()
            async with connected(served.port, *_cut(head, cut)) as connection:
                assert (await connection.answer()).status == 200
            assert served.requests == [("POST", "/v1/vm", DELETE)], cut


@pytest.mark.parametrize(
    "cut",
    [
        "in one packet",
        "behind the head",
        "within the head's end",
        "before the head's end",
        "within the header",
        "within the body",
    ],
)
async def test_a_connection_goes_on_after_upgrade(cut: str) -> None:
    """Requests before and behind one with `Upgrade` are answered in order, on one connection."""
    upgrading = request("POST", "/b", *H2C, body=DELETE)
    async with (
        serving() as served,
        connected(
            served.port,
            request("GET", "/a"),
            *_cut(upgrading, cut),
            request("GET", "/c", "Upgrade: websocket", "Connection: Upgrade"),
            request("PUT", "/d", *H2C, body=b"{}", chunked=True),
            request("GET", "/e"),
        ) as connection,
    ):
        answers = await connection.answers(5)
    assert [answer.json["data"]["path"] for answer in answers] == ["/a", "/b", "/c", "/d", "/e"]
    assert served.requests == [
        ("GET", "/a", b""),
        ("POST", "/b", DELETE),
        ("GET", "/c", b""),
        ("PUT", "/d", b"{}"),
        ("GET", "/e", b""),
    ]


async def test_upgrades_may_be_pipelined_in_one_packet() -> None:
    """Several requests with `Upgrade` and bodies in one packet are several requests."""
    wanted = [("POST", f"/{number}", DELETE) for number in range(20)]
    data = b"".join(request(method, path, *H2C, body=body) for method, path, body in wanted)
    async with serving() as served, connected(served.port, data) as connection:
        answers = await connection.answers(20)
    assert {answer.status for answer in answers} == {200}
    assert served.requests == wanted


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (request("GET", "/" + "x" * 20_000), "uri_too_long"),
        (request("GET", "/", "A: " + "x" * 70_000), "headers_too_large"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "malformed_request"),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n", "method_not_allowed"),
    ],
)
async def test_what_follows_an_upgrade_is_checked(bad: bytes, code: str) -> None:
    """Behind a request with `Upgrade` the limits and refusals are the same, in the same packet."""
    data = request("POST", "/a", *H2C, body=DELETE) + bad
    async with serving() as served, connected(served.port, data) as connection:
        answers = await connection.answers(2)
        assert await connection.ended()
    assert [answer.status for answer in answers[:1]] == [200]
    assert answers[1].code == code


async def test_every_cut_of_a_request_with_upgrade_reads_the_same() -> None:
    """A packet may end at any byte of the request."""
    data = request("POST", "/p", *H2C, body=DELETE, chunked=True)
    async with serving() as served:
        for end in range(1, len(data), 3):
            served.requests.clear()
            async with connected(served.port, data[:end], data[end:]) as connection:
                assert (await connection.answer()).status == 200
            assert served.requests == [("POST", "/p", DELETE)], end


async def test_other_headers_of_an_upgrade_stay() -> None:
    """The application sees every header but `Upgrade`."""
    data = request("POST", "/p", *H2C, "X-Request-ID: 7", "Empty:", body=b"{}")
    async with serving() as served, connected(served.port, data) as connection:
        await connection.answer()
    (headers,) = served.headers
    assert headers == {
        "host": "localhost",
        "connection": "Upgrade, HTTP2-Settings",
        "http2-settings": "AAMAAABkAAQ",
        "x-request-id": "7",
        "empty": "",
        "content-length": "2",
    }


async def test_old_clients_with_upgrade_are_answered() -> None:
    """A request of HTTP/1.0 is answered, and its connection closed."""
    data = b"POST /p HTTP/1.0\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\n{}"
    async with serving() as served, connected(served.port, data, DELETE) as connection:
        assert (await connection.answer()).status == 200
        assert await connection.ended()
    assert served.requests == [("POST", "/p", b"{}")]


async def test_the_body_may_wait_for_100_continue() -> None:
    """`Expect: 100-continue` beside `Upgrade` works as without."""
    head = request("POST", "/p", *H2C, "Expect: 100-continue", "Content-Length: 2")
    async with serving() as served, connected(served.port, head) as connection:
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.send(b"{}")
        assert (await connection.answer()).status == 200
    assert served.requests == [("POST", "/p", b"{}")]


@pytest.mark.parametrize("pieces", [(DELETE,), (DELETE[:9], DELETE[9:])], ids=["one", "two"])
async def test_connect_opens_no_tunnel(pieces: tuple[bytes, ...]) -> None:
    """CONNECT is refused, and what follows it on the connection is not a request."""
    connect = b"CONNECT 10.0.0.1:80 HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"
    async with serving() as served:
        for first in (connect + pieces[0], connect):
            rest = pieces[1:] if first != connect else pieces
            async with connected(served.port, first, *rest) as connection:
                answer = await connection.answer()
                assert (answer.status, answer.code) == (405, "method_not_allowed")
                assert await connection.ended()
    assert served.requests == []
