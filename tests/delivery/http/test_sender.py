"""The sender: which addresses it dials, what it sends, and what a response becomes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest
from standins.name_servers import StaticResolver
from standins.receivers import receiver, responding, sending

from rq_broker.delivery.http import dialler
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.outcome import Outcome
from rq_broker.domain.errors import CallbackForbidden
from rq_broker.egress.rules import Egress
from rq_broker.egress.url import Target, parse_authority, split_url
from tests.spellings import PUBLIC, SPELLINGS

LOOPBACK = Egress.of(allow=["127.0.0.0/8", "::1/128"])
OPEN = Egress.of(allow=["0.0.0.0/0", "::/0"])
METADATA = "169.254.169.254"
TLS = ssl.create_default_context()  # loading the system's authorities takes a while


@pytest.fixture
async def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the addresses that are dialled, and refuse every connection."""
    addresses: list[str] = []

    async def refuse(_: socket.socket, address: tuple[Any, ...]) -> None:
        addresses.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
    return addresses


def test_the_table_of_spellings_is_long() -> None:
    """The table has at least 60 spellings, each once."""
    assert len({url for url, _ in SPELLINGS}) == len(SPELLINGS) >= 60


@pytest.mark.parametrize(("url", "address"), SPELLINGS)
async def test_a_spelling_leads_to_the_address_that_was_checked_or_nowhere(
    url: str, address: str | None, dialled: list[str]
) -> None:
    """With all public networks open, a spelling leads to an allowed address or to no dial."""
    resolver = StaticResolver(PUBLIC)
    async with Sender(OPEN, tls=TLS, resolver=resolver) as sender:
        outcome = await sender.post(url, b"{}", {})
    # Compared as addresses: Python 3.13 spells mapped addresses otherwise than 3.12.
    assert [*map(ip_address, dialled)] == ([ip_address(address)] if address else [])
    assert outcome.cause == ("connection_refused" if address else "forbidden")
    assert outcome.kind == ("retry" if address else "fail")
    assert all(name.endswith(".test") for name in resolver.looked_up)


def _forbidden_addresses() -> set[str]:
    """List the addresses that the refused spellings stand for."""
    forbidden = set()
    for url, address in SPELLINGS:
        with suppress(CallbackForbidden):
            scheme, authority, _ = split_url(url)
            _, literal, _ = parse_authority(scheme, authority)
            if literal and not address:
                forbidden.add(str(literal))
    return forbidden


@pytest.mark.parametrize("address", sorted(_forbidden_addresses()))
async def test_a_name_may_not_resolve_to_a_forbidden_address(
    address: str, dialled: list[str]
) -> None:
    """The addresses of a name are checked like literals."""
    async with Sender(OPEN, tls=TLS, resolver=StaticResolver(address)) as sender:
        outcome = await sender.post("http://lab.test/", b"{}", {})
    assert (outcome.cause, outcome.unhealthy, dialled) == ("forbidden", False, [])


@pytest.mark.parametrize("answers", [(PUBLIC, METADATA), (METADATA, PUBLIC), ("::1", PUBLIC)])
async def test_one_forbidden_address_forbids_the_name(
    answers: tuple[str, ...], dialled: list[str]
) -> None:
    """A name with allowed and forbidden addresses is not dialled at all."""
    async with Sender(OPEN, tls=TLS, resolver=StaticResolver(*answers)) as sender:
        outcome = await sender.post("http://lab.test/", b"{}", {})
    assert (outcome.cause, dialled) == ("forbidden", [])


@pytest.mark.parametrize("address", sorted(_forbidden_addresses()))
async def test_the_dial_checks_an_address_again(
    address: str, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A literal that passed every earlier check is refused when its socket is made."""
    host = f"[{address}]" if ":" in address else address
    unchecked = Target(host, f"http://{host}:80", f"http://{host}:80/")
    monkeypatch.setattr(Egress, "check_url", lambda *_: unchecked)
    async with Sender(OPEN, tls=TLS, resolver=StaticResolver()) as sender:
        outcome = await sender.post("http://lab.test/", b"{}", {})
    assert (outcome.cause, dialled) == ("forbidden", [])


async def test_an_allowed_name_opens_only_its_own_dial(dialled: list[str]) -> None:
    """The dial of an allowed name may reach a public address; other dials of it may not."""
    async with Sender(Egress.of(allow=["hooks.test"]), resolver=StaticResolver(PUBLIC)) as sender:
        causes = [
            (await sender.post(f"http://{host}/", b"{}", {})).cause
            for host in ("hooks.test", "other.test", PUBLIC, "hooks.test")
        ]
    assert causes == ["connection_refused", "forbidden", "forbidden", "connection_refused"]
    assert dialled == [PUBLIC, PUBLIC]


async def test_listening_on_a_wildcard_closes_every_address_of_this_machine(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the API on 0.0.0.0:8080, that port is closed at this machine's addresses only."""
    monkeypatch.setattr(dialler, "_is_local", lambda address: str(address) == "10.0.0.5")
    async with Sender(
        Egress.of(own_listeners=[("0.0.0.0", 8080)]), resolver=StaticResolver("10.0.0.5")
    ) as sender:
        causes = {
            url: (await sender.post(url, b"{}", {})).cause
            for url in (
                "http://10.0.0.5:8080/",
                "http://lab.test:8080/",
                "http://10.0.0.5:8081/",
                "http://10.0.0.6:8080/",
            )
        }
    assert list(causes.values()) == ["forbidden"] * 2 + ["connection_refused"] * 2
    assert dialled == ["10.0.0.5", "10.0.0.6"]


@pytest.mark.parametrize(("address", "local"), [("127.0.0.1", True), (PUBLIC, False)])
def test_an_address_of_this_machine_is_recognised(address: str, local: bool) -> None:
    """The kernel lets only this machine's addresses be bound."""
    assert dialler._is_local(ip_address(address)) is local


@pytest.fixture
async def post() -> AsyncIterator[Callable[[str], Awaitable[Outcome]]]:
    async with Sender(
        LOOPBACK, timeout_s=5, tls=TLS, resolver=StaticResolver("127.0.0.1")
    ) as sender:
        yield lambda url: sender.post(url, b'{"a":1}', {"webhook-id": "g1"})


Post = Callable[[str], Awaitable[Outcome]]


@pytest.mark.parametrize(
    ("code", "headers", "outcome"),
    [
        (204, (), Outcome("ok", "http_204", 0)),
        (301, (), Outcome("fail", "redirect", 0)),
        (503, (), Outcome("retry", "http_503", 0, unhealthy=True)),
        (503, ("Retry-After: 7",), Outcome("retry", "http_503", 0, True, 7.0)),
    ],
)
async def test_a_response_becomes_an_outcome(
    post: Post, code: int, headers: tuple[str, ...], outcome: Outcome
) -> None:
    """Status and Retry-After are read from the response and classified."""
    async with receiver(responding(code, *headers)) as here:
        assert replace(await post(here.url()), milliseconds=0) == outcome


async def test_what_is_sent(post: Post) -> None:
    """The request is a JSON POST of exactly the body, uncompressed, with the given headers."""
    async with receiver(responding(200)) as here:
        await post(here.url("lab.test", "/a%2Fb?c=d"))
    head = here.heads[0].lower()
    assert head.startswith("post /a%2fb?c=d http/1.1\r\n")
    for line in (
        f"host: lab.test:{here.port}",
        "content-type: application/json",
        "accept-encoding: identity",
        "user-agent: rq-broker",
        "webhook-id: g1",
    ):
        assert f"\r\n{line}\r\n" in head
    assert here.bodies == [b'{"a":1}']


async def test_connections_are_kept_and_cookies_are_not(post: Post) -> None:
    """Callbacks to one receiver share a connection, and no cookie is sent back."""
    async with receiver(responding(200, "Set-Cookie: a=b")) as here:
        for _ in range(3):
            assert (await post(here.url())).kind == "ok"
    assert here.connections == 1
    assert "cookie" not in "".join(here.heads).lower()


async def test_proxies_of_the_environment_are_ignored(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callbacks never go through a proxy, which would dial without the egress rules."""
    async with receiver(responding(500)) as proxy, receiver(responding(200)) as here:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(path=""))
        assert (await post(here.url("lab.test"))).kind == "ok"
    assert proxy.connections == 0


async def test_a_closed_port_is_a_refused_connection(post: Post) -> None:
    """A closed port counts against the destination's health, and is retried."""
    async with receiver(responding(200)) as here:
        pass
    outcome = await post(here.url())
    assert (outcome.kind, outcome.cause, outcome.unhealthy) == ("retry", "connection_refused", True)


async def test_an_outcome_reveals_nothing_of_the_response(post: Post) -> None:
    """An outcome contains neither body, reason phrase nor address."""
    raw = b"HTTP/1.1 500 SECRET\r\nContent-Length: 6\r\n\r\nSECRET"
    async with receiver(sending(raw)) as here:
        outcome = await post(here.url())
    assert outcome == Outcome("retry", "http_500", outcome.milliseconds, True, None)
    assert outcome.milliseconds >= 0


async def test_cancellation_is_not_an_outcome(post: Post) -> None:
    """A courier that stops gets the cancellation, not a failure of the receiver."""
    requested = asyncio.Event()

    async def silent(*_: object) -> None:
        requested.set()
        await asyncio.sleep(60)

    async with receiver(silent) as here:
        task = asyncio.ensure_future(post(here.url()))
        await requested.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_default_resolver_never_touches_the_thread_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Look-ups use c-ares, so one that hangs holds no thread that others need."""
    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", None)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", None)
    async with receiver(responding(200)) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        assert (await sender.post(here.url("localhost"), b"{}", {})).kind == "ok"
