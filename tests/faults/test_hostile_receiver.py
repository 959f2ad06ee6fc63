"""Receivers that are hostile or broken: none of them costs more than its timeout."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from standins.authorities import Authority
from standins.name_servers import Answers, NameServer, name_server
from standins.receivers import Behaviour, endless, receiver, responding, sending

from rq_broker.delivery.http.connection import MAX_BODY
from rq_broker.delivery.http.dialler import CaresResolver
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.outcome import Outcome
from rq_broker.egress.rules import Egress

LOOPBACK = Egress.of(allow=["127.0.0.0/8"])
HEAD = b"HTTP/1.1 200 OK\r\n"
SILENCE = endless(b"", b"", 0.05)
GARBAGE = bytes(range(256)) * 40


async def _post(url: str, timeout_s: float = 5.0) -> Outcome:
    async with Sender(LOOPBACK, timeout_s=timeout_s) as sender:
        return await sender.post(url, b"{}", {})


@contextmanager
def _memory_below(limit: int) -> Iterator[None]:
    """Fail if the block allocates more than `limit` bytes at any moment."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(SILENCE, id="accept then silence"),
        pytest.param(endless(HEAD[:-2], b"K", 0.02), id="slow-loris status line"),
        pytest.param(endless(b"", b"HTTP/1.1 102 Wait\r\n\r\n", 0.02), id="wait for ever"),
    ],
)
async def test_a_status_that_does_not_come_times_out(behave: Behaviour) -> None:
    """Until the status line is complete, a slow response times out and is retried."""
    async with receiver(behave) as here:
        outcome = await _post(here.url(), timeout_s=0.3)
    assert (outcome.kind, outcome.cause, outcome.unhealthy) == ("retry", "timeout", True)


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(endless(HEAD, b"X", 0.02), id="slow-loris header"),
        pytest.param(endless(HEAD, b"X-A: b\r\n", 0.02), id="slow-loris headers"),
        pytest.param(endless(HEAD + b"Content-Length: 9999\r\n\r\n", b"x", 0.02), id="slow body"),
        pytest.param(
            endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
            id="slow chunks",
        ),
    ],
)
async def test_a_status_counts_however_slow_its_rest_is(behave: Behaviour) -> None:
    """What a receiver sends slowly after its 200 does not undo it."""
    async with receiver(behave) as here:
        assert (await _post(here.url(), timeout_s=0.3)).kind == "ok"


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        (endless(HEAD + b"\r\n", b"x" * 65536), "ok"),
        (endless(HEAD + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65536), "ok"),
        (
            endless(
                b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"10000\r\n" + b"x" * 65536 + b"\r\n",
            ),
            "retry",
        ),
        (endless(HEAD, b"X-A: " + b"b" * 1000 + b"\r\n"), "ok"),
        (endless(HEAD, b"X" * 65536), "ok"),
        (endless(HEAD[:-2], b"K" * 65536), "retry"),
        (endless(b"", b"HTTP/1.1 103 Hints\r\n\r\n"), "retry"),
    ],
    ids=["body", "long body", "chunks", "headers", "header", "phrase", "interim answers"],
)
async def test_an_endless_response_costs_no_memory(behave: Behaviour, kind: str) -> None:
    """An endless response is cut off, and classified by its status if it has one."""
    async with receiver(behave) as here:
        with _memory_below(8 * 2**20):
            outcome = await _post(here.url(), timeout_s=1.0)
    assert outcome.kind == kind


async def test_a_cut_off_connection_is_not_used_again() -> None:
    """The rest of a body that is too long cannot be taken for the next response."""
    too_long = responding(200, body=b"x" * 2**22)
    async with receiver(too_long) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        for _ in range(2):
            assert (await sender.post(here.url(), b"{}", {})).kind == "ok"
    assert here.connections == 2


async def test_a_body_of_the_longest_length_keeps_its_connection() -> None:
    """A body of exactly the limit is read to its end, and its connection is used again."""
    full = responding(200, body=b"x" * MAX_BODY)
    async with receiver(full) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        for _ in range(2):
            assert (await sender.post(here.url(), b"{}", {})).kind == "ok"
    assert here.connections == 1


async def test_a_gzip_bomb_stays_compressed() -> None:
    """10 MiB of zeros are read as the 10 KiB that are sent."""
    bomb = gzip.compress(bytes(10 * 2**20))
    assert len(bomb) < MAX_BODY
    compressed = responding(200, "Content-Encoding: gzip", body=bomb)
    async with receiver(compressed) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        with _memory_below(4 * 2**20):
            for _ in range(2):
                assert (await sender.post(here.url(), b"{}", {})).kind == "ok"
    assert here.connections == 1  # decompressed, it would exceed the limit and be cut off


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(code: int) -> None:
    """A redirect is followed neither to the metadata service nor to an allowed receiver."""
    async with receiver(responding(200)) as other:
        for location in ("http://169.254.169.254/latest/", other.url()):
            async with receiver(responding(code, f"Location: {location}")) as here:
                outcome = await _post(here.url())
            assert (outcome.kind, outcome.cause) == ("fail", "redirect")
            assert len(here.heads) == 1
    assert other.connections == 0


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", "connection_reset"),
        (b"HTTP/1.1 200", "connection_reset"),
        (GARBAGE, "protocol"),
        (b"HTTP/1.1 20O OK\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200OK\r\n\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol"),
    ],
)
async def test_a_broken_response_is_retried(raw: bytes, cause: str) -> None:
    """An early end and malformed bytes count against the destination's health."""
    async with receiver(sending(raw, close=True)) as here:
        outcome = await _post(here.url())
    assert (outcome.kind, outcome.cause, outcome.unhealthy) == ("retry", cause, True)


@pytest.mark.parametrize(
    ("opening", "cause"),
    [
        (b"", "connection_reset"),
        (HEAD[:-1], "connection_reset"),
        (HEAD + b"Content-Length: 100\r\n\r\nhalf", "http_200"),
    ],
)
async def test_a_reset_is_retried_unless_a_status_came(opening: bytes, cause: str) -> None:
    """A receiver that resets the connection before its status has not accepted the callback."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with receiver(reset) as here:
        outcome = await _post(here.url())
    assert outcome.cause == cause


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        HEAD + b"X : y\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"X: a\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_what_follows_a_malformed_response_answers_no_other_callback(odd: bytes) -> None:
    """A 200 counts though its head is malformed, and a 410 planted behind it counts for nobody."""
    planted = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    async with (
        receiver(sending(odd + planted)) as here,
        Sender(LOOPBACK, timeout_s=5) as sender,
    ):
        for _ in range(3):
            assert (await sender.post(here.url(), b"{}", {})).cause == "http_200"
    assert here.connections == 3


async def test_a_planted_answer_is_not_the_next_jobs() -> None:
    """A 410 that a receiver sends before it is asked again is never taken for an answer."""

    async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 0\r\n\r\n")
        await writer.drain()
        writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")

    async with receiver(behave) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        causes = {(await sender.post(here.url(), b"{}", {})).cause for _ in range(200)}
    assert causes == {"http_200"}
    assert here.connections == 200


async def test_the_body_of_a_response_is_ignored() -> None:
    """A 2xx delivers the callback, whatever its body is and claims to be."""
    garbled = responding(200, "Content-Type: application/json; charset=nonsense", body=GARBAGE)
    async with receiver(garbled) as here:
        assert (await _post(here.url())).kind == "ok"


@pytest.mark.parametrize(
    ("name", "valid_for", "cause"),
    [
        ("good.test", timedelta(hours=1), "http_200"),
        ("wrong.test", timedelta(hours=1), "tls"),
        ("good.test", timedelta(days=-1), "tls"),
    ],
    ids=["good", "wrong name", "expired"],
)
async def test_a_certificate_must_be_valid(
    tmp_path: Path, name: str, valid_for: timedelta, cause: str
) -> None:
    """A callback is sent only over a certificate that names the host and has not expired."""
    authority = Authority(tmp_path)
    async with (
        receiver(responding(200), authority.server_context(name, valid_for=valid_for)) as here,
        _resolver(lambda _: ["127.0.0.1"]) as (_, resolver),
        Sender(LOOPBACK, timeout_s=5, tls=authority.client_context, resolver=resolver) as sender,
    ):
        outcome = await sender.post(here.url("good.test", scheme="https"), b"{}", {})
    assert outcome.cause == cause
    assert len(here.heads) == (cause == "http_200")


async def test_an_unknown_authority_is_not_trusted(tmp_path: Path) -> None:
    """A certificate by an authority that the system does not know is refused."""
    tls = Authority(tmp_path).server_context("good.test")
    async with (
        receiver(responding(200), tls) as here,
        _resolver(lambda _: ["127.0.0.1"]) as (_, resolver),
        Sender(LOOPBACK, timeout_s=5, resolver=resolver) as sender,
    ):
        outcome = await sender.post(here.url("good.test", scheme="https"), b"{}", {})
    assert (outcome.kind, outcome.cause, here.heads) == ("retry", "tls", [])


@pytest.mark.parametrize("speaks_tls", [True, False])
async def test_tls_on_one_side_only_is_retried(tmp_path: Path, speaks_tls: bool) -> None:
    """A wrong scheme in the callback counts as a failure of its destination."""
    tls = Authority(tmp_path).server_context("good.test") if speaks_tls else None
    async with receiver(responding(200), tls) as here:
        outcome = await _post(here.url(scheme="http" if speaks_tls else "https"), timeout_s=0.5)
    assert outcome.kind == "retry"
    assert outcome.unhealthy


@asynccontextmanager
async def _resolver(
    ipv4: Answers, ipv6: Answers = lambda _: (), timeout_s: float = 4.0
) -> AsyncIterator[tuple[NameServer, CaresResolver]]:
    """Run a name server, and a resolver that asks only this one."""
    async with name_server(ipv4, ipv6) as server:
        yield server, CaresResolver(timeout_s, [server.address])


async def test_dns_rebinding_gains_nothing() -> None:
    """The address that is checked is dialled; a later look-up is checked again."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "10.0.0.1"], ["0.0.0.0"]])
    async with (
        receiver(responding(200)) as first,
        receiver(responding(200)) as second,
        _resolver(lambda _: next(answers)) as (server, resolver),
        Sender(LOOPBACK, timeout_s=5, resolver=resolver) as sender,
    ):
        first_post = await sender.post(first.url("rebind.test"), b"{}", {})
        assert first_post.kind == "ok"
        assert len(server.looked_up) == 1  # not one to check and one to dial
        to_second = await sender.post(second.url("rebind.test"), b"{}", {})
        over_idle = await sender.post(first.url("rebind.test"), b"{}", {})
    assert (to_second.kind, to_second.cause, second.connections) == ("fail", "forbidden", 0)
    assert (over_idle.kind, first.connections) == ("ok", 1)  # over the connection that was checked


@pytest.mark.parametrize(
    "answers", [["127.0.0.1", "169.254.169.254"], ["127.0.0.1", "::ffff:169.254.169.254"]]
)
async def test_one_forbidden_address_of_a_name_server_forbids_the_name(answers: list[str]) -> None:
    """A and AAAA records count alike, and the allowed address is not dialled either."""
    async with (
        receiver(responding(200)) as here,
        _resolver(lambda _: answers, lambda _: answers) as (_, resolver),
        Sender(LOOPBACK, timeout_s=5, resolver=resolver) as sender,
    ):
        outcome = await sender.post(here.url("both.test"), b"{}", {})
    assert (outcome.cause, here.connections) == ("forbidden", 0)


@pytest.mark.parametrize(("answer", "cause"), [((), "dns"), (None, "timeout")])
async def test_a_dead_name_is_retried(answer: tuple[str, ...] | None, cause: str) -> None:
    """An unknown name and a silent name server both count against the destination's health."""
    async with (
        _resolver(lambda _: answer) as (_, resolver),
        Sender(LOOPBACK, timeout_s=0.3, resolver=resolver) as sender,
    ):
        outcome = await sender.post("http://dead.test/", b"{}", {})
    assert (outcome.kind, outcome.cause, outcome.unhealthy) == ("retry", cause, True)


async def test_a_thousand_dead_names_delay_nobody() -> None:
    """While 1,000 look-ups hang, other names resolve and are called, in little memory."""
    dead = 1000
    all_asked = asyncio.Event()
    asked: set[str] = set()

    def answer(name: str) -> list[str] | None:
        if name.startswith("fine"):
            return ["127.0.0.1"]
        asked.add(name)
        if len(asked) == dead:
            all_asked.set()
        return None

    async with (
        receiver(responding(200)) as here,
        _resolver(answer, answer, timeout_s=60.0) as (_, resolver),
        Sender(LOOPBACK, timeout_s=15, resolver=resolver) as sender,
    ):
        with _memory_below(64 * 2**20):
            hanging_posts: list[asyncio.Task[Outcome]] = []
            for number in range(dead):
                post = sender.post(f"http://dead{number}.test/", b"{}", {})
                hanging_posts.append(asyncio.create_task(post))
                if number % 20 == 0:  # a larger burst overflows the name server's socket
                    await asyncio.sleep(0.01)
            await all_asked.wait()
            fine = [
                await sender.post(here.url(f"fine{number}.test"), b"{}", {}) for number in range(20)
            ]
            assert [attempt.result() for attempt in hanging_posts if attempt.done()] == []
            for attempt in hanging_posts:
                attempt.cancel()
            await asyncio.gather(*hanging_posts, return_exceptions=True)
    assert {outcome.kind for outcome in fine} == {"ok"}
