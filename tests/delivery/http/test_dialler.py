"""The dialler: which addresses of a name it dials, which certificates it trusts, what it leaves."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faulting.listener import listening
from standins.authorities import Authority
from standins.name_servers import StaticResolver, name_server
from standins.receivers import Behaviour, receiver, responding, sending

from rq_broker.delivery.http import dialler
from rq_broker.delivery.http.dialler import CaresResolver, Dialler
from rq_broker.delivery.http.errors import NameLookupFailed
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.outcome import Outcome
from rq_broker.egress.rules import Egress
from tests.loops import HEAD, OK, Run, both_loops, open_sockets, until

LOOPBACK = Egress.of(allow=["127.0.0.0/8", "::1/128"])
TLS = ssl.create_default_context()  # loading the system's authorities takes a while
CLOSED, OPEN, OPEN_IPV6 = "127.0.0.2", "127.0.0.1", "::1"
"""Addresses at which no test receiver listens, and at which they do."""
HTTPS = f"https://{OPEN}"


class Silent:
    """A resolver that never gets an answer."""

    async def resolve(self, _: str) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        pass


@contextmanager
def _full_backlog(address: str, port: int) -> Iterator[None]:
    """Listen without ever accepting another connection: a dial gets no answer."""
    with socket.socket() as listener, socket.socket() as first:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        first.connect((address, port))
        yield


@pytest.fixture
def dials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the addresses that are dialled."""
    addresses: list[str] = []
    make_socket = Dialler._make_socket

    def record(self: Dialler, name: str, info: Any) -> socket.socket:
        addresses.append(info[-1][0])
        return make_socket(self, name, info)

    monkeypatch.setattr(Dialler, "_make_socket", record)
    return addresses


async def _post(
    url: str, *addresses: str, tls: ssl.SSLContext = TLS, timeout_s: float = 5
) -> Outcome:
    resolver = StaticResolver(*addresses)
    async with Sender(LOOPBACK, timeout_s=timeout_s, tls=tls, resolver=resolver) as sender:
        return await sender.post(url, b"{}", {})


@both_loops
@pytest.mark.parametrize(
    ("addresses", "dialled"),
    [
        ((OPEN, CLOSED), [OPEN]),
        ((CLOSED, OPEN), [CLOSED, OPEN]),
        ((OPEN_IPV6, CLOSED, OPEN), [OPEN_IPV6, CLOSED, OPEN]),
        ((CLOSED, "127.0.0.3", OPEN_IPV6, OPEN), [CLOSED, OPEN_IPV6, "127.0.0.3", OPEN]),
        ((CLOSED, CLOSED, CLOSED, OPEN), [CLOSED, OPEN]),
    ],
)
def test_the_next_address_is_tried(
    run: Run, dials: list[str], addresses: tuple[str, ...], dialled: list[str]
) -> None:
    """If an address refuses, the next is dialled, families in turn and no address twice."""

    async def main() -> None:
        async with receiver(responding(200)) as here:
            assert (await _post(here.url("many.test"), *addresses)).kind == "ok"
        assert dials == dialled

    run(main())


@both_loops
def test_a_silent_address_delays_little(run: Run, dials: list[str]) -> None:
    """While one address is silent the next is dialled, and the first dial is abandoned."""

    async def main() -> None:
        async with receiver(responding(200)) as here:
            with _full_backlog(CLOSED, here.port):
                before = open_sockets()
                assert (await _post(here.url("many.test"), CLOSED, OPEN)).kind == "ok"
                await until(lambda: not open_sockets() - before)
        assert dials == [CLOSED, OPEN]

    run(main())


@both_loops
@pytest.mark.parametrize("addresses", [(OPEN,), (OPEN, CLOSED), (OPEN_IPV6, OPEN, CLOSED)])
def test_refused_by_all_is_refused(run: Run, addresses: tuple[str, ...]) -> None:
    """However many addresses refuse, of either family, the cause is connection_refused."""

    async def main() -> None:
        async with receiver(responding(200)) as here:
            pass
        outcome = await _post(here.url("many.test"), *addresses)
        assert (outcome.kind, outcome.cause) == ("retry", "connection_refused")

    run(main())


async def test_a_name_with_many_addresses_is_dialled_a_few_times(dials: list[str]) -> None:
    """A name server cannot make one callback scan a network."""
    async with receiver(responding(200)) as here:
        addresses = [f"127.0.{high}.{low}" for high in range(1, 5) for low in range(250)]
        assert (await _post(here.url("many.test"), *addresses)).cause == "connection_refused"
    assert dials == addresses[:16]


async def test_a_name_without_an_address_is_a_failed_look_up() -> None:
    """A name with no address has the cause dns, not protocol."""
    outcome = await _post("http://empty.test/")
    assert (outcome.kind, outcome.cause, outcome.unhealthy) == ("retry", "dns", True)


@both_loops
@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("lab.test", "lab.test"),
        ("LAB.test.", "lab.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("a_b.test", "a_b.test"),
    ],
)
def test_a_name_is_used_in_its_canonical_form(
    run: Run, tmp_path: Path, host: str, canonical: str
) -> None:
    """Look-up, SNI, certificate and Host header all use the name that was checked."""
    authority, sni_names = Authority(tmp_path), []
    tls = authority.server_context(canonical)
    tls.sni_callback = lambda _, name, __: sni_names.append(name)

    async def main() -> None:
        resolver = StaticResolver(OPEN)
        async with (
            receiver(responding(200), tls) as here,
            Sender(LOOPBACK, tls=authority.client_context, resolver=resolver) as sender,
        ):
            outcome = await sender.post(here.url(host, scheme="https"), b"{}", {})
            assert outcome.cause == "http_200"
        assert (resolver.looked_up, sni_names) == ([canonical], [canonical])
        assert f"\r\nHost: {canonical}:{here.port}\r\n" in here.heads[0]

    run(main())


@asynccontextmanager
async def _ipv6_receiver(behave: Behaviour, tls: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Serve on the IPv6 loopback address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        await behave(reader, writer)
        await reader.read()

    async with listening(serve, tls, OPEN_IPV6) as port:
        yield port


@both_loops
@pytest.mark.parametrize("certified", [OPEN_IPV6, OPEN, "lab.test", None])
def test_an_ipv6_literal_needs_a_certificate_of_that_address(
    run: Run, tmp_path: Path, certified: str | None
) -> None:
    """A literal is not looked up, and over TLS it needs a certificate of that address."""
    authority = Authority(tmp_path)
    tls = authority.server_context(certified) if certified else None

    async def main() -> None:
        async with _ipv6_receiver(sending(OK), tls) as port:
            url = f"{'https' if tls else 'http'}://[0:0::1]:{port}/"
            outcome = await _post(url, tls=authority.client_context)
        assert outcome.cause == ("http_200" if certified in (OPEN_IPV6, None) else "tls")

    run(main())


@both_loops
@pytest.mark.parametrize("certified", [OPEN, CLOSED, "lab.test"])
def test_an_ipv4_literal_needs_a_certificate_of_that_address(
    run: Run, tmp_path: Path, certified: str
) -> None:
    """Over TLS no certificate but one of that address is accepted."""
    authority = Authority(tmp_path)

    async def main() -> None:
        async with receiver(responding(200), authority.server_context(certified)) as here:
            outcome = await _post(here.url(scheme="https"), tls=authority.client_context)
        assert outcome.cause == ("http_200" if certified == OPEN else "tls")

    run(main())


@both_loops
def test_a_tls_connection_is_used_again(run: Run, tmp_path: Path) -> None:
    """Three callbacks need one connection and so one handshake."""
    authority = Authority(tmp_path)

    async def main() -> None:
        async with (
            receiver(responding(200), authority.server_context(OPEN)) as here,
            Sender(LOOPBACK, tls=authority.client_context, resolver=StaticResolver()) as sender,
        ):
            for _ in range(3):
                assert (await sender.post(here.url(scheme="https"), b"{}", {})).kind == "ok"
        assert here.connections == 1

    run(main())


@both_loops
@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (HEAD + b"\r\nuntil the end", "http_200"),
        (HEAD + b"Content-Length: 9\r\n\r\nhalf", "http_200"),
        (HEAD, "http_200"),
        (HEAD[:-1], "connection_reset"),
    ],
)
def test_tls_may_end_without_close_notify(
    run: Run, tmp_path: Path, raw: bytes, cause: str, abort: bool
) -> None:
    """With or without close_notify, the status counts if its line arrived before the end."""
    authority = Authority(tmp_path)

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if abort:
            await asyncio.sleep(0.02)
            writer.transport.abort()
        writer.close()

    async def main() -> None:
        async with receiver(behave, authority.server_context(OPEN)) as here:
            outcome = await _post(here.url(scheme="https"), tls=authority.client_context)
        assert outcome.cause == cause

    run(main())


@asynccontextmanager
async def _stuck(stage: str) -> AsyncIterator[tuple[str, bytes, Sender]]:
    """Yield URL, body and sender of a POST that hangs at this stage."""
    resolver = Silent() if stage == "resolve" else StaticResolver(CLOSED)
    scheme = "https" if stage == "handshake" else "http"
    body = bytes(2**24) if stage == "write" else b"{}"
    with socket.create_server((CLOSED, 0), backlog=0) as listener, socket.socket() as first:
        address = listener.getsockname()
        if stage == "connect":
            first.connect(address)
        async with Sender(LOOPBACK, timeout_s=0.3, tls=TLS, resolver=resolver) as sender:
            yield f"{scheme}://lab.test:{address[1]}/", body, sender


@both_loops
@pytest.mark.parametrize("stage", ["resolve", "connect", "handshake", "write", "read"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["timeout", "cancelled"])
def test_an_attempt_that_ends_early_leaves_nothing(run: Run, stage: str, cancelled: bool) -> None:
    """Wherever it hangs, an attempt that times out or is cancelled leaves no socket, no task."""

    async def main() -> None:
        async with _stuck(stage) as (url, body, sender):
            before, tasks = open_sockets(), asyncio.all_tasks()
            post = asyncio.ensure_future(sender.post(url, body, {}))
            if cancelled:
                await asyncio.sleep(0.05)
                assert len(open_sockets() - before) == (stage != "resolve")
                post.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await post
            else:
                outcome = await post
                assert (outcome.kind, outcome.cause) == ("retry", "timeout")
            await until(lambda: not open_sockets() - before)
            assert asyncio.all_tasks() == tasks

    run(main())


@both_loops
def test_an_attempt_cancelled_at_any_moment_leaves_nothing(run: Run, tmp_path: Path) -> None:
    """Cancelled at any turn of the loop, in a TLS handshake too, it closes its socket."""
    authority = Authority(tmp_path)
    tls = authority.server_context(OPEN)

    async def main() -> None:
        for context, url in ((None, "http://lab.test"), (tls, HTTPS), (None, HTTPS)):
            async with receiver(responding(200), context) as here:
                for turns in range(40):
                    await cancelled(f"{url}:{here.port}/", turns)

    async def cancelled(url: str, turns: int) -> None:
        before, resolver = open_sockets(), StaticResolver(OPEN, OPEN_IPV6)
        async with Sender(LOOPBACK, tls=authority.client_context, resolver=resolver) as sender:
            post = asyncio.ensure_future(sender.post(url, b"{}", {}))
            for _ in range(turns):
                await asyncio.sleep(0)
            was_done = post.done()
            post.cancel()
            (result,) = await asyncio.gather(post, return_exceptions=True)
            assert was_done or isinstance(result, asyncio.CancelledError), result
        await until(lambda: not open_sockets() - before)

    run(main())


@both_loops
def test_a_receiver_that_never_reads_costs_a_few_copies_of_the_request(run: Run) -> None:
    """An unsent request is in memory at most three times, and not at all after the timeout."""

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


async def test_the_hosts_file_is_read_too() -> None:
    """The resolver finds localhost without its name server, and raises for an unknown name."""
    async with name_server(lambda _: ()) as server:
        resolver = CaresResolver(2.0, [server.address])
        assert set(await resolver.resolve("localhost")) <= {OPEN, OPEN_IPV6}
        with pytest.raises(NameLookupFailed):
            await resolver.resolve("nobody.test")
        await resolver.close()


def test_the_next_address_is_dialled_when_the_rfc_says() -> None:
    """The delay is within what RFC 8305 recommends, 100 ms to 2 s."""
    assert 0.1 <= dialler._NEXT_ADDRESS_S <= 2
