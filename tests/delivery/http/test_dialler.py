"""Which address of a name is reached, as whom a receiver must show itself, and what is left."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiodns.error import DNSError

from rq_broker.delivery.http import dialler as dialling
from rq_broker.delivery.http.dialler import Cares, Dialler
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.outcome import Outcome
from rq_broker.egress.rules import Egress
from tests.loops import HEAD, OK, Run, both_loops, sockets, until
from tests.receivers import Authority, Manner, Names, answering, name_server, receiver, status

LOOPBACK = Egress.of(allow=["127.0.0.0/8", "::1/128"])
TLS = ssl.create_default_context()  # loading the system's authorities takes a while
NOBODY, ANYBODY, SIX = "127.0.0.2", "127.0.0.1", "::1"
HTTPS = f"https://{ANYBODY}"


class Silent:
    """A name server's client that never hears of anything."""

    async def resolve(self, _: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        pass


@contextmanager
def _full(address: str, port: int) -> Iterator[None]:
    """Listen there without ever taking another connection: who dials hears nothing."""
    with socket.socket() as door, socket.socket() as first:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((address, port))
        door.listen(0)
        first.connect((address, port))
        yield


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Tell the addresses at which a connection was begun."""
    addresses: list[str] = []
    make = Dialler._make_socket

    def note(self: Dialler, name: str, info: Any) -> socket.socket:
        addresses.append(info[-1][0])
        return make(self, name, info)

    monkeypatch.setattr(Dialler, "_make_socket", note)
    return addresses


async def _post(
    url: str, *addresses: str, tls: ssl.SSLContext = TLS, timeout_s: float = 5
) -> Outcome:
    names = Names(*addresses)
    async with Sender(LOOPBACK, timeout_s=timeout_s, tls=tls, resolver=names) as sender:
        return await sender.post(url, b"{}", {})


@both_loops
@pytest.mark.parametrize(
    ("addresses", "dialled"),
    [
        ((ANYBODY, NOBODY), [ANYBODY]),
        ((NOBODY, ANYBODY), [NOBODY, ANYBODY]),
        ((SIX, NOBODY, ANYBODY), [SIX, NOBODY, ANYBODY]),
        ((NOBODY, "127.0.0.3", SIX, ANYBODY), [NOBODY, SIX, "127.0.0.3", ANYBODY]),
        ((NOBODY, NOBODY, NOBODY, ANYBODY), [NOBODY, ANYBODY]),
    ],
)
def test_the_next_address_is_tried(
    run: Run, dials: list[str], addresses: tuple[str, ...], dialled: list[str]
) -> None:
    """Where one address refuses the next is dialled, families in turn, and none of them twice."""

    async def main() -> None:
        async with receiver(status(200)) as here:
            assert (await _post(here.url("many.test"), *addresses)).kind == "ok"
        assert dials == dialled

    run(main())


@both_loops
def test_an_address_that_does_not_answer_delays_little(run: Run, dials: list[str]) -> None:
    """While one address says nothing the next is dialled, and the first is given up."""

    async def main() -> None:
        async with receiver(status(200)) as here:
            with _full(NOBODY, here.port):
                before = sockets()
                assert (await _post(here.url("many.test"), NOBODY, ANYBODY)).kind == "ok"
                await until(lambda: not sockets() - before)
        assert dials == [NOBODY, ANYBODY]

    run(main())


@both_loops
@pytest.mark.parametrize("addresses", [(ANYBODY,), (ANYBODY, NOBODY), (SIX, ANYBODY, NOBODY)])
def test_refused_by_all_is_refused(run: Run, addresses: tuple[str, ...]) -> None:
    """However many addresses refuse, in whichever families, the cause is told as one."""

    async def main() -> None:
        async with receiver(status(200)) as here:
            pass
        outcome = await _post(here.url("many.test"), *addresses)
        assert (outcome.kind, outcome.cause) == ("retry", "connection_refused")

    run(main())


async def test_a_name_of_thousands_is_dialled_a_few_times(dials: list[str]) -> None:
    """A name server cannot make one callback knock at a whole network."""
    async with receiver(status(200)) as here:
        crowd = [f"127.0.{high}.{low}" for high in range(1, 5) for low in range(250)]
        assert (await _post(here.url("crowd.test"), *crowd)).cause == "connection_refused"
    assert dials == crowd[:16]


async def test_a_name_without_an_address_is_the_name_servers_failure() -> None:
    """No address at all is told as such, not as nonsense of the receiver."""
    outcome = await _post("http://empty.test/")
    assert (outcome.kind, outcome.cause, outcome.health) == ("retry", "dns", True)


@both_loops
@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("lab.test", "lab.test"),
        ("LAB.test.", "lab.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("a_b.test", "a_b.test"),
    ],
)
def test_a_name_is_asked_for_and_shown_as_it_was_judged(
    run: Run, tmp_path: Path, host: str, asked: str
) -> None:
    """Look-up, SNI, certificate and Host all speak of the one canonical name."""
    authority, shown = Authority(tmp_path), []
    tls = authority.serves(asked)
    tls.sni_callback = lambda _, name, __: shown.append(name)

    async def main() -> None:
        names = Names(ANYBODY)
        async with (
            receiver(status(200), tls) as here,
            Sender(LOOPBACK, tls=authority.trust, resolver=names) as sender,
        ):
            outcome = await sender.post(here.url(host, scheme="https"), b"{}", {})
            assert outcome.cause == "http_200"
        assert (names.asked, shown) == ([asked], [asked])
        assert f"\r\nHost: {asked}:{here.port}\r\n" in here.heads[0]

    run(main())


@asynccontextmanager
async def _six(manner: Manner, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Serve on the loopback address of IPv6."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"{}")
            await manner(reader, writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, SIX, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await until(lambda: len(asyncio.all_tasks()) == 1)


@both_loops
@pytest.mark.parametrize("certified", [SIX, ANYBODY, "lab.test", None])
def test_an_ipv6_literal_is_dialled_and_certified(
    run: Run, tmp_path: Path, certified: str | None
) -> None:
    """A literal needs no name server, and over TLS a certificate of that very address."""
    authority = Authority(tmp_path)
    tls = authority.serves(certified) if certified else None

    async def main() -> None:
        async with _six(answering(OK), tls) as port:
            url = f"{'https' if tls else 'http'}://[0:0::1]:{port}/"
            outcome = await _post(url, tls=authority.trust)
        assert outcome.cause == ("http_200" if certified in (SIX, None) else "tls")

    run(main())


@both_loops
@pytest.mark.parametrize("certified", [ANYBODY, NOBODY, "lab.test"])
def test_an_ipv4_literal_is_certified_by_address(run: Run, tmp_path: Path, certified: str) -> None:
    """Over TLS an address is believed by a certificate of that address alone."""
    authority = Authority(tmp_path)

    async def main() -> None:
        async with receiver(status(200), authority.serves(certified)) as here:
            outcome = await _post(here.url(scheme="https"), tls=authority.trust)
        assert outcome.cause == ("http_200" if certified == ANYBODY else "tls")

    run(main())


@both_loops
def test_a_tls_connection_is_kept(run: Run, tmp_path: Path) -> None:
    """One handshake serves many callbacks."""
    authority = Authority(tmp_path)

    async def main() -> None:
        async with (
            receiver(status(200), authority.serves(ANYBODY)) as here,
            Sender(LOOPBACK, tls=authority.trust, resolver=Names()) as sender,
        ):
            for _ in range(3):
                assert (await sender.post(here.url(scheme="https"), b"{}", {})).kind == "ok"
        assert here.connections == 1

    run(main())


@both_loops
@pytest.mark.parametrize("rude", [False, True])
@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (HEAD + b"\r\nuntil the end", "http_200"),
        (HEAD + b"Content-Length: 9\r\n\r\nhalf", "connection_reset"),
        (HEAD, "connection_reset"),
    ],
)
def test_tls_may_end_without_a_word(
    run: Run, tmp_path: Path, raw: bytes, cause: str, rude: bool
) -> None:
    """An end in mid-answer is one, with close_notify or without; of the status nothing is lost."""
    authority = Authority(tmp_path)

    async def manner(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if rude:
            await asyncio.sleep(0.02)
            writer.transport.abort()
        writer.close()

    async def main() -> None:
        async with receiver(manner, authority.serves(ANYBODY)) as here:
            outcome = await _post(here.url(scheme="https"), tls=authority.trust)
        assert outcome.cause == cause

    run(main())


@asynccontextmanager
async def _stuck(stage: str) -> AsyncIterator[tuple[str, bytes, Sender]]:
    """Make a POST that goes no further than this stage: its URL and body, and who sends it."""
    resolver = Silent() if stage == "resolve" else Names(NOBODY)
    scheme = "https" if stage == "handshake" else "http"
    body = bytes(2**24) if stage == "write" else b"{}"
    with socket.create_server((NOBODY, 0), backlog=0) as door, socket.socket() as first:
        place = door.getsockname()
        if stage == "connect":
            first.connect(place)
        async with Sender(LOOPBACK, timeout_s=0.3, tls=TLS, resolver=resolver) as sender:
            yield f"{scheme}://lab.test:{place[1]}/", body, sender


@both_loops
@pytest.mark.parametrize("stage", ["resolve", "connect", "handshake", "write", "read"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["timeout", "cancelled"])
def test_an_attempt_given_up_leaves_nothing(run: Run, stage: str, cancelled: bool) -> None:
    """Wherever it hangs, an attempt ends at its timeout or when told, with its socket and tasks."""

    async def main() -> None:
        async with _stuck(stage) as (url, body, sender):
            before, tasks = sockets(), asyncio.all_tasks()
            post = asyncio.ensure_future(sender.post(url, body, {}))
            if cancelled:
                await asyncio.sleep(0.05)
                assert len(sockets() - before) == (stage != "resolve")
                post.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await post
            else:
                outcome = await post
                assert (outcome.kind, outcome.cause) == ("retry", "timeout")
            await until(lambda: not sockets() - before)
            assert asyncio.all_tasks() == tasks

    run(main())


@both_loops
def test_an_attempt_given_up_at_any_moment_leaves_nothing(run: Run, tmp_path: Path) -> None:
    """Cancelled on any turn of the loop, TLS or not, or hoped for in vain, no socket stays open."""
    authority = Authority(tmp_path)
    tls = authority.serves(ANYBODY)

    async def main() -> None:
        for certificate, url in ((None, "http://lab.test"), (tls, HTTPS), (None, HTTPS)):
            async with receiver(status(200), certificate) as here:
                for turns in range(40):
                    await cancelled(f"{url}:{here.port}/", turns)

    async def cancelled(url: str, turns: int) -> None:
        before, names = sockets(), Names(ANYBODY, SIX)
        async with Sender(LOOPBACK, tls=authority.trust, resolver=names) as sender:
            post = asyncio.ensure_future(sender.post(url, b"{}", {}))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_done = post.done()
            post.cancel()
            (result,) = await asyncio.gather(post, return_exceptions=True)
            assert was_done or isinstance(result, asyncio.CancelledError), result
        await until(lambda: not sockets() - before)

    run(main())


@both_loops
def test_a_receiver_that_never_reads_costs_no_more_than_the_request(run: Run) -> None:
    """What cannot be sent is held once or twice, until the timeout, and then no more."""

    async def main() -> None:
        async with _stuck("write") as (url, body, sender):
            tracemalloc.start()
            try:
                assert (await sender.post(url, body, {})).cause == "timeout"
                assert tracemalloc.get_traced_memory()[1] < 3 * len(body)
                await until(lambda: tracemalloc.get_traced_memory()[0] < len(body) / 2)
            finally:
                tracemalloc.stop()

    run(main())


async def test_the_system_s_files_are_asked_too() -> None:
    """The resolver finds a name of this machine, and says so when there is none."""
    async with name_server(lambda _: ()) as server:
        names = Cares(2.0, [server.address])
        assert set(await names.resolve("localhost")) <= {ANYBODY, SIX}
        with pytest.raises(DNSError):
            await names.resolve("nobody.test")
        await names.close()


def test_next_address_delay_is_the_rfc_s() -> None:
    """The delay stays within what RFC 8305 recommends, 100 ms to 2 s."""
    assert 0.1 <= dialling._NEXT_ADDRESS_S <= 2
