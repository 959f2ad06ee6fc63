"""Any sequence of requests, cut into packets anywhere, is read as it was meant."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings, strategies as st

from tests.api.server.serving import METHODS, serving
from tests.raw_http import connected, request

INNER = request("DELETE", "/victim")
UPGRADES = [
    (),
    ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"),
    ("Connection: upgrade", "Upgrade: websocket"),
    ("Upgrade: a", "Upgrade: b", "Connection: x", "Connection: UPGRADE"),
    ("Upgrade: h2c",),
]


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    body: bytes
    chunked: bool
    upgrade: tuple[str, ...]

    def data(self, number: int) -> bytes:
        """Return its bytes; its path says which one of a connection it is."""
        return request(
            self.method, f"/{number}", *self.upgrade, body=self.body, chunked=self.chunked
        )


requests = st.builds(
    Sent,
    st.sampled_from(METHODS),
    st.sampled_from([b"", b"{}", INNER, INNER * 3, b"\r\n\r\n", b"0\r\n\r\n" + INNER]),
    st.booleans(),
    st.sampled_from(UPGRADES),
)


@given(st.lists(requests, min_size=1, max_size=6), st.lists(st.integers(0, 2000), max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_requests_are_read_as_they_were_sent(sent: list[Sent], cuts: list[int]) -> None:
    """The application gets each request once, in order, with its body, and all are answered."""
    data = b"".join(each.data(number) for number, each in enumerate(sent))
    places = sorted({0, *(cut % len(data) for cut in cuts)})
    pieces = [data[start:stop] for start, stop in zip(places, [*places[1:], None], strict=True)]

    async def exchange() -> None:
        async with serving() as served, connected(served.port, *pieces) as connection:
            answers = await connection.answers(len(sent))
        assert {answer.status for answer in answers} == {200}
        assert served.requests == [
            (each.method, f"/{number}", each.body) for number, each in enumerate(sent)
        ]

    asyncio.run(exchange())
