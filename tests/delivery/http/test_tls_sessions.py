"""TLS sessions of receivers: dials that resume one, and dials that must not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from standins.authorities import Authority
from standins.name_servers import StaticResolver
from standins.receivers import Receiver, receiver, sending

from rq_broker.delivery.http import tls_sessions
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.http.tls_sessions import TlsSessions
from rq_broker.egress.rules import Egress
from tests.loops import OK, Run, both_loops, until

ADDRESS = "127.0.0.1"
LOOPBACK = Egress.of(allow=["127.0.0.0/8"])


class Lab:
    """A receiver with TLS that closes each connection after its answer, and a sender."""

    def __init__(self, here: Receiver, sender: Sender, resumed: list[bool]) -> None:
        self._here, self.sender, self._resumed = here, sender, resumed
        self.destination = f"https://{ADDRESS}:{here.port}"

    @property
    def sessions(self) -> TlsSessions:
        return self.sender._dialler._sessions

    async def post(self) -> bool:
        """Send one callback; return whether its connection resumed a session."""
        url = self._here.url(ADDRESS, scheme="https")
        assert (await self.sender.post(url, b"{}", {})).cause == "http_200"
        await until(lambda: self.destination in self.sessions._seen)
        return self._resumed[-1]

    def let_pass(self, seconds: float) -> None:
        """Put the moment back at which the receiver showed its certificate."""
        seen = self.sessions._seen[self.destination]
        self.sessions._seen[self.destination] = seen._replace(verified=seen.verified - seconds)


@asynccontextmanager
async def lab(authority: Authority, server: ssl.SSLContext | None = None) -> AsyncIterator[Lab]:
    """Serve with the authority's certificate, or by a context that the test keeps."""
    resumed = list[bool]()
    answer = sending(OK, close=True)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        resumed.append(writer.get_extra_info("ssl_object").session_reused)
        await answer(reader, writer)

    async with (
        receiver(behave, server or authority.server_context(ADDRESS)) as here,
        Sender(LOOPBACK, tls=authority.client_context, resolver=StaticResolver()) as sender,
    ):
        yield Lab(here, sender, resumed)


@both_loops
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_later_dials_resume(run: Run, tmp_path: Path, version: ssl.TLSVersion) -> None:
    """After the first, dials to a receiver need no certificate, by either version of TLS."""
    authority = Authority(tmp_path)
    server = authority.server_context(ADDRESS)
    server.maximum_version = version

    async def main() -> None:
        async with lab(authority, server) as here:
            assert [await here.post() for _ in range(4)] == [False, True, True, True]

    run(main())


@both_loops
def test_a_certificate_is_looked_at_anew_each_hour(run: Run, tmp_path: Path) -> None:
    """An hour after it was seen a whole handshake comes, however many dials resumed meanwhile."""

    async def main() -> None:
        async with lab(Authority(tmp_path)) as here:
            assert [await here.post(), await here.post()] == [False, True]
            here.let_pass(tls_sessions.LIFE_S / 2)
            assert await here.post()
            here.let_pass(tls_sessions.LIFE_S / 2)
            assert [await here.post(), await here.post()] == [False, True]

    run(main())


@both_loops
def test_a_receiver_that_knows_no_session_is_called(run: Run, tmp_path: Path) -> None:
    """A receiver that was started anew gets its callback, by a whole handshake."""
    authority = Authority(tmp_path)

    async def main() -> None:
        async with lab(authority) as before, lab(authority) as after:
            await before.post()
            seen = before.sessions._seen[before.destination]
            # Sessions belong to the context of their sender, so the new receiver takes its place.
            before._here, before._resumed = after._here, after._resumed
            before.destination = after.destination
            before.sessions._seen[after.destination] = seen
            assert not await before.post()

    run(main())


@both_loops
def test_a_session_whose_handshake_fails_is_forgotten(run: Run, tmp_path: Path) -> None:
    """Where the receiver behind a destination cannot be trusted any more, none is offered again."""

    async def main() -> None:
        async with lab(Authority(tmp_path)) as here:
            await here.post()
            seen = here.sessions._seen[here.destination]
            stranger = Authority(tmp_path).server_context(ADDRESS)
            async with receiver(sending(OK), stranger) as other:
                url = other.url(ADDRESS, scheme="https")
                destination = f"https://{ADDRESS}:{other.port}"
                here.sessions._seen[destination] = seen
                assert (await here.sender.post(url, b"{}", {})).cause == "tls"
                assert destination not in here.sessions._seen

    run(main())


@both_loops
def test_few_sessions_are_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the session of the destination goes that was kept first."""
    monkeypatch.setattr(tls_sessions, "MOST", 2)

    async def main() -> None:
        async with lab(Authority(tmp_path)) as here:
            await here.post()
            seen = here.sessions._seen.pop(here.destination)
            here.sessions._seen |= {"first": seen, "second": seen}
            await here.post()
            assert list(here.sessions._seen) == ["second", here.destination]

    run(main())
