"""What is dialled, what is sent, and what an answer means."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from ipaddress import ip_address
from typing import Any

import pytest

from rq_broker.delivery.http import dialler as dialling
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.outcome import Outcome
from rq_broker.domain.errors import CallbackForbidden
from rq_broker.egress.rules import Egress
from rq_broker.egress.url import Target, parse_authority, split_url
from tests.receivers import Names, answering, receiver, status
from tests.spellings import PUBLIC, SPELLINGS

LOOPBACK = Egress.of(allow=["127.0.0.0/8", "::1/128"])
OPEN = Egress.of(allow=["0.0.0.0/0", "::/0"])
METADATA = "169.254.169.254"
TLS = ssl.create_default_context()  # loading the system's authorities takes a while


@pytest.fixture
async def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses at which a connection was begun; none of them gets out."""
    addresses: list[str] = []

    async def refuse(_: socket.socket, address: tuple[Any, ...]) -> None:
        addresses.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", refuse)
    return addresses


def test_the_table_is_as_long_as_promised() -> None:
    """At least 60 spellings, each of them once."""
    assert len({url for url, _ in SPELLINGS}) == len(SPELLINGS) >= 60


@pytest.mark.parametrize(("url", "address"), SPELLINGS)
async def test_a_spelling_is_dialled_where_it_was_judged_or_not_at_all(
    url: str, address: str | None, dialled: list[str]
) -> None:
    """With the whole internet open, a spelling leads to an open address or to no dial."""
    names = Names(PUBLIC)
    async with Sender(OPEN, tls=TLS, resolver=names) as sender:
        outcome = await sender.post(url, b"{}", {})
    # Parsed: Python spells mapped addresses one way up to 3.12, another way from 3.13 on.
    assert [*map(ip_address, dialled)] == ([ip_address(address)] if address else [])
    assert outcome.cause == ("connection_refused" if address else "forbidden")
    assert outcome.kind == ("retry" if address else "fail")
    assert all(name.endswith(".test") for name in names.asked)


def _closed() -> set[str]:
    """The address behind every refused spelling that is one."""
    found = set()
    for url, address in SPELLINGS:
        with suppress(CallbackForbidden):
            scheme, authority, _ = split_url(url)
            _, literal, _ = parse_authority(scheme, authority)
            if literal and not address:
                found.add(str(literal))
    return found


@pytest.mark.parametrize("address", sorted(_closed()))
async def test_a_name_leads_nowhere_a_literal_may_not(address: str, dialled: list[str]) -> None:
    """The answers of a name server are judged like literals."""
    async with Sender(OPEN, tls=TLS, resolver=Names(address)) as sender:
        outcome = await sender.post("http://lab.test/", b"{}", {})
    assert (outcome.cause, outcome.health, dialled) == ("forbidden", False, [])


@pytest.mark.parametrize("answers", [(PUBLIC, METADATA), (METADATA, PUBLIC), ("::1", PUBLIC)])
async def test_one_bad_answer_spoils_the_name(answers: tuple[str, ...], dialled: list[str]) -> None:
    """A name that mixes good and bad addresses is not dialled at all."""
    async with Sender(OPEN, tls=TLS, resolver=Names(*answers)) as sender:
        outcome = await sender.post("http://lab.test/", b"{}", {})
    assert (outcome.cause, dialled) == ("forbidden", [])


@pytest.mark.parametrize("address", sorted(_closed()))
async def test_the_dial_is_guarded_even_if_the_url_was_not(
    address: str, dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A literal that slipped past every earlier check stops at the socket."""
    host = f"[{address}]" if ":" in address else address
    slipped = Target(host, f"http://{host}:80", f"http://{host}:80/")
    monkeypatch.setattr(Egress, "check_url", lambda *_: slipped)
    async with Sender(OPEN, tls=TLS, resolver=Names()) as sender:
        outcome = await sender.post("http://lab.test/", b"{}", {})
    assert (outcome.cause, dialled) == ("forbidden", [])


async def test_a_listed_name_opens_its_own_dial_only(dialled: list[str]) -> None:
    """Names count at the dial too, where a socket shows nothing but an address."""
    async with Sender(Egress.of(allow=["hooks.test"]), resolver=Names(PUBLIC)) as sender:
        causes = [
            (await sender.post(f"http://{host}/", b"{}", {})).cause
            for host in ("hooks.test", "other.test", PUBLIC, "hooks.test")
        ]
    assert causes == ["connection_refused", "forbidden", "forbidden", "connection_refused"]
    assert dialled == [PUBLIC, PUBLIC]


async def test_listening_everywhere_closes_every_address_of_this_machine(
    dialled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the API on 0.0.0.0, its port is closed at 10.0.0.5 if that is us, and nowhere else."""
    monkeypatch.setattr(dialling, "_is_local", lambda address, _: address == "10.0.0.5")
    async with Sender(
        Egress.of(own_listeners=[("0.0.0.0", 8080)]), resolver=Names("10.0.0.5")
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
def test_an_address_of_this_machine_is_known(address: str, local: bool) -> None:
    """The kernel says which addresses are ours."""
    assert dialling._is_local(address, 4) is local


@pytest.fixture
async def post() -> AsyncIterator[Callable[[str], Awaitable[Outcome]]]:
    async with Sender(LOOPBACK, timeout_s=5, tls=TLS, resolver=Names("127.0.0.1")) as sender:
        yield lambda url: sender.post(url, b'{"a":1}', {"webhook-id": "g1"})


Post = Callable[[str], Awaitable[Outcome]]


@pytest.mark.parametrize(
    ("code", "kind", "cause", "health"),
    [
        (200, "ok", "http_200", False),
        (204, "ok", "http_204", False),
        (299, "ok", "http_299", False),
        (301, "fail", "redirect", False),
        (304, "fail", "redirect", False),
        (400, "rejected", "http_400", False),
        (401, "rejected", "http_401", False),
        (404, "rejected", "http_404", False),
        (408, "retry", "http_408", False),
        (410, "gone", "http_410", False),
        (425, "retry", "http_425", False),
        (429, "retry", "http_429", False),
        (500, "retry", "http_500", True),
        (503, "retry", "http_503", True),
        (599, "retry", "http_599", True),
        (999, "retry", "protocol", True),
    ],
)
async def test_what_a_status_means(
    post: Post, code: int, kind: str, cause: str, health: bool
) -> None:
    """The table of outcomes, status by status."""
    async with receiver(status(code)) as here:
        outcome = await post(here.url())
    assert (outcome.kind, outcome.cause, outcome.health) == (kind, cause, health)
    assert outcome.retry_after is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("999999999", 86400, 86400),
        pytest.param(formatdate(time.time() + 3600, usegmt=True), 3000, 3600, id="in an hour"),
        (formatdate(0, usegmt=True), 0, 0),
        ("9" * 400, None, None),
        ("-1", None, None),
        ("soon", None, None),
        ("", None, None),
    ],
)
async def test_retry_after_is_read_in_both_forms(
    post: Post, text: str, low: float | None, high: float | None
) -> None:
    """Seconds and dates count, up to a day; nonsense is no wish."""
    async with receiver(status(503, f"Retry-After: {text}")) as here:
        after = (await post(here.url())).retry_after
    if low is None or high is None:
        assert after is None
    else:
        assert after is not None
        assert low <= after <= high


async def test_what_is_sent(post: Post) -> None:
    """A JSON POST of exactly the body, asking for no compression, with our headers on it."""
    async with receiver(status(200)) as here:
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
    """Callbacks to one receiver share a connection, and carry nothing from one to the next."""
    async with receiver(status(200, "Set-Cookie: a=b")) as here:
        for _ in range(3):
            assert (await post(here.url())).kind == "ok"
    assert here.connections == 1
    assert "cookie" not in "".join(here.heads).lower()


async def test_proxies_of_the_environment_are_ignored(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would dial for us, unguarded."""
    async with receiver(status(500)) as proxy, receiver(status(200)) as here:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(path=""))
        assert (await post(here.url("lab.test"))).kind == "ok"
    assert proxy.connections == 0


async def test_nobody_listening_is_a_refused_connection(post: Post) -> None:
    """A closed port is the destination's bad health, and is tried again."""
    async with receiver(status(200)) as here:
        pass
    outcome = await post(here.url())
    assert (outcome.kind, outcome.cause, outcome.health) == ("retry", "connection_refused", True)


async def test_an_outcome_tells_a_client_nothing_of_the_answer(post: Post) -> None:
    """Neither the body nor the reason phrase nor an address is in it."""
    raw = b"HTTP/1.1 500 SECRET\r\nContent-Length: 6\r\n\r\nSECRET"
    async with receiver(answering(raw)) as here:
        outcome = await post(here.url())
    assert outcome == Outcome("retry", "http_500", outcome.milliseconds, True, None)
    assert outcome.milliseconds >= 0


async def test_being_cancelled_is_not_an_outcome(post: Post) -> None:
    """A courier that stops is not told that the receiver failed."""
    asked = asyncio.Event()

    async def silent(*_: object) -> None:
        asked.set()
        await asyncio.sleep(60)

    async with receiver(silent) as here:
        task = asyncio.ensure_future(post(here.url()))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_default_resolver_never_touches_the_thread_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Look-ups are c-ares', so a hanging one holds no thread that others need."""
    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", None)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", None)
    async with receiver(status(200)) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        assert (await sender.post(here.url("localhost"), b"{}", {})).kind == "ok"
