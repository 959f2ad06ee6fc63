"""Receivers that mean harm, or have lost their minds: none of them costs more than its timeout."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from rq_broker.delivery.http.connection import MAX_BODY
from rq_broker.delivery.http.dialler import Cares
from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.outcome import Outcome
from rq_broker.egress.rules import Egress
from tests.receivers import (
    Answers,
    Authority,
    Manner,
    NameServer,
    answering,
    forever,
    name_server,
    receiver,
    status,
)

LOOPBACK = Egress.of(allow=["127.0.0.0/8"])
HEAD = b"HTTP/1.1 200 OK\r\n"
SILENCE = forever(b"", b"", 0.05)
GARBAGE = bytes(range(256)) * 40


async def _post(url: str, timeout_s: float = 5.0) -> Outcome:
    async with Sender(LOOPBACK, timeout_s=timeout_s) as sender:
        return await sender.post(url, b"{}", {})


@contextmanager
def _flat(limit: int) -> Iterator[None]:
    """Fail if more than `limit` bytes were held at once inside."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


@pytest.mark.parametrize(
    "manner",
    [
        pytest.param(SILENCE, id="accept then silence"),
        pytest.param(forever(HEAD, b"X", 0.02), id="slow-loris header"),
        pytest.param(forever(HEAD, b"X-A: b\r\n", 0.02), id="slow-loris headers"),
        pytest.param(forever(HEAD + b"Content-Length: 9999\r\n\r\n", b"x", 0.02), id="slow body"),
        pytest.param(
            forever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
            id="slow chunks",
        ),
        pytest.param(forever(b"", b"HTTP/1.1 102 Wait\r\n\r\n", 0.02), id="wait for ever"),
    ],
)
async def test_slowness_ends_at_the_one_timeout(manner: Manner) -> None:
    """However the time is spent, headers or body, the attempt ends and is tried again."""
    async with receiver(manner) as here:
        outcome = await _post(here.url(), timeout_s=0.3)
    assert (outcome.kind, outcome.cause, outcome.health) == ("retry", "timeout", True)


@pytest.mark.parametrize(
    ("manner", "kind"),
    [
        (forever(HEAD + b"\r\n", b"x" * 65536), "ok"),
        (forever(HEAD + b"Content-Length: 99999999999\r\n\r\n", b"x" * 65536), "ok"),
        (
            forever(
                b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"10000\r\n" + b"x" * 65536 + b"\r\n",
            ),
            "retry",
        ),
        (forever(HEAD, b"X-A: " + b"b" * 1000 + b"\r\n"), "retry"),
        (forever(HEAD, b"X" * 65536), "retry"),
        (forever(b"", b"HTTP/1.1 103 Hints\r\n\r\n"), "retry"),
    ],
    ids=["body", "long body", "chunks", "headers", "header", "interim answers"],
)
async def test_endlessness_costs_no_memory(manner: Manner, kind: str) -> None:
    """What has no end is cut off, and judged by its status if it had one."""
    async with receiver(manner) as here:
        with _flat(8 * 2**20):
            outcome = await _post(here.url(), timeout_s=1.0)
    assert outcome.kind == kind


async def test_a_cut_off_connection_is_not_used_again() -> None:
    """The rest of an over-long body can never be taken for the next answer."""
    long = status(200, body=b"x" * 2**22)
    async with receiver(long) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        for _ in range(2):
            assert (await sender.post(here.url(), b"{}", {})).kind == "ok"
    assert here.connections == 2


async def test_a_body_of_the_full_measure_keeps_its_connection() -> None:
    """The cap itself is still read to its end."""
    full = status(200, body=b"x" * MAX_BODY)
    async with receiver(full) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        for _ in range(2):
            assert (await sender.post(here.url(), b"{}", {})).kind == "ok"
    assert here.connections == 1


async def test_a_gzip_bomb_stays_packed() -> None:
    """10 MiB of zeros are read as the 10 KiB they are sent as."""
    bomb = gzip.compress(bytes(10 * 2**20))
    assert len(bomb) < MAX_BODY
    packed = status(200, "Content-Encoding: gzip", body=bomb)
    async with receiver(packed) as here, Sender(LOOPBACK, timeout_s=5) as sender:
        with _flat(4 * 2**20):
            for _ in range(2):
                assert (await sender.post(here.url(), b"{}", {})).kind == "ok"
    assert here.connections == 1  # inflated, it would pass the cap and be cut off


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(code: int) -> None:
    """Neither to the metadata service nor to where it could be followed."""
    async with receiver(status(200)) as other:
        for place in ("http://169.254.169.254/latest/", other.url()):
            async with receiver(status(code, f"Location: {place}")) as here:
                outcome = await _post(here.url())
            assert (outcome.kind, outcome.cause) == ("fail", "redirect")
            assert len(here.heads) == 1
    assert other.connections == 0


@pytest.mark.parametrize(
    ("raw", "cause"),
    [
        (b"", "connection_reset"),
        (b"HTTP/1.1 200", "connection_reset"),
        (HEAD + b"Content-Length: 100\r\n\r\nhalf", "connection_reset"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhalf", "connection_reset"),
        (GARBAGE, "protocol"),
        (b"HTTP/1.1 20O OK\r\n\r\n", "protocol"),
        (HEAD + b"Content-Length: -1\r\n\r\n", "protocol"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "protocol"),
        (HEAD + b"no colon\r\n\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol"),
    ],
)
async def test_a_broken_answer_is_tried_again(raw: bytes, cause: str) -> None:
    """Closing in mid-answer and talking nonsense count against the destination's health."""
    async with receiver(answering(raw, close=True)) as here:
        outcome = await _post(here.url())
    assert (outcome.kind, outcome.cause, outcome.health) == ("retry", cause, True)


@pytest.mark.parametrize("opening", [b"", HEAD + b"Content-Length: 100\r\n\r\nhalf"])
async def test_a_reset_is_tried_again(opening: bytes) -> None:
    """A receiver that crashes in mid-answer has not taken the callback."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(opening)
        await asyncio.sleep(0.05)
        writer.transport.abort()

    async with receiver(reset) as here:
        outcome = await _post(here.url())
    assert (outcome.kind, outcome.cause) == ("retry", "connection_reset")


async def test_garbage_in_a_good_answer_is_nobodys_business() -> None:
    """2xx is delivered, whatever the body claims to be."""
    said = status(200, "Content-Type: application/json; charset=nonsense", body=GARBAGE)
    async with receiver(said) as here:
        assert (await _post(here.url())).kind == "ok"


@pytest.mark.parametrize(
    ("name", "lasts", "cause"),
    [
        ("good.test", timedelta(hours=1), "http_200"),
        ("wrong.test", timedelta(hours=1), "tls"),
        ("good.test", timedelta(days=-1), "tls"),
    ],
    ids=["good", "wrong name", "expired"],
)
async def test_a_certificate_must_be_good(
    tmp_path: Path, name: str, lasts: timedelta, cause: str
) -> None:
    """A callback is handed only to whom the certificate names, while it holds."""
    authority = Authority(tmp_path)
    async with (
        receiver(status(200), authority.serves(name, lasts=lasts)) as here,
        _names(lambda _: ["127.0.0.1"]) as (_, resolver),
        Sender(LOOPBACK, timeout_s=5, tls=authority.trust, resolver=resolver) as sender,
    ):
        outcome = await sender.post(here.url("good.test", scheme="https"), b"{}", {})
    assert outcome.cause == cause
    assert len(here.heads) == (cause == "http_200")


async def test_an_unknown_authority_is_not_trusted(tmp_path: Path) -> None:
    """Trust comes from the system, or from what the operator configured."""
    tls = Authority(tmp_path).serves("good.test")
    async with (
        receiver(status(200), tls) as here,
        _names(lambda _: ["127.0.0.1"]) as (_, resolver),
        Sender(LOOPBACK, timeout_s=5, resolver=resolver) as sender,
    ):
        outcome = await sender.post(here.url("good.test", scheme="https"), b"{}", {})
    assert (outcome.kind, outcome.cause, here.heads) == ("retry", "tls", [])


@pytest.mark.parametrize("speaks_tls", [True, False])
async def test_tls_that_is_not_spoken_by_both_is_tried_again(
    tmp_path: Path, speaks_tls: bool
) -> None:
    """A mixed-up scheme is a failure with a cause, not an error of ours."""
    tls = Authority(tmp_path).serves("good.test") if speaks_tls else None
    async with receiver(status(200), tls) as here:
        outcome = await _post(here.url(scheme="http" if speaks_tls else "https"), timeout_s=0.5)
    assert outcome.kind == "retry"
    assert outcome.health


@asynccontextmanager
async def _names(answers: Answers) -> AsyncIterator[tuple[NameServer, Cares]]:
    """Run a name server, and the resolver the sender uses, asking only there."""
    async with name_server(answers) as server:
        yield server, Cares(4.0, [server.address])


async def test_rebinding_between_look_ups_gains_nothing() -> None:
    """What is judged is what is dialled: a second, worse answer is judged again."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1", "10.0.0.1"], ["0.0.0.0"]])
    async with (
        receiver(status(200)) as first,
        receiver(status(200)) as second,
        _names(lambda _: next(answers)) as (server, resolver),
        Sender(LOOPBACK, timeout_s=5, resolver=resolver) as sender,
    ):
        once = await sender.post(first.url("rebind.test"), b"{}", {})
        assert (once.kind, len(server.asked)) == ("ok", 1)  # one look-up, not check then dial
        twice = await sender.post(second.url("rebind.test"), b"{}", {})
        again = await sender.post(first.url("rebind.test"), b"{}", {})
    assert (twice.kind, twice.cause, second.connections) == ("fail", "forbidden", 0)
    assert (again.kind, first.connections) == ("ok", 1)  # over the connection that was judged


@pytest.mark.parametrize(
    "answers", [["127.0.0.1", "169.254.169.254"], ["127.0.0.1", "::ffff:169.254.169.254"]]
)
async def test_one_bad_answer_of_a_real_name_server_spoils_the_name(answers: list[str]) -> None:
    """A and AAAA count alike, and the good one of them is not dialled."""
    async with (
        receiver(status(200)) as here,
        _names(lambda _: answers) as (_, resolver),
        Sender(LOOPBACK, timeout_s=5, resolver=resolver) as sender,
    ):
        outcome = await sender.post(here.url("six.test"), b"{}", {})
    assert (outcome.cause, here.connections) == ("forbidden", 0)


@pytest.mark.parametrize(("answer", "cause"), [((), "dns"), (None, "timeout")])
async def test_a_dead_name_is_tried_again(answer: tuple[str, ...] | None, cause: str) -> None:
    """No such name and no answer are both the destination's bad health."""
    async with (
        _names(lambda _: answer) as (_, resolver),
        Sender(LOOPBACK, timeout_s=0.3, resolver=resolver) as sender,
    ):
        outcome = await sender.post("http://dead.test/", b"{}", {})
    assert (outcome.kind, outcome.cause, outcome.health) == ("retry", cause, True)


async def test_a_thousand_dead_names_delay_nobody() -> None:
    """While 1,000 look-ups hang, new names resolve and are called; nothing piles up."""
    dead = 1000
    hanging = asyncio.Event()
    asked: set[str] = set()

    def answer(name: str) -> list[str] | None:
        if name.startswith("fine"):
            return ["127.0.0.1"]
        asked.add(name)
        if len(asked) == dead:
            hanging.set()
        return None

    async with (
        receiver(status(200)) as here,
        _names(answer) as (_, resolver),
        Sender(LOOPBACK, timeout_s=15, resolver=resolver) as sender,
    ):
        with _flat(64 * 2**20):
            lost: list[asyncio.Task[Outcome]] = []
            for number in range(dead):
                post = sender.post(f"http://dead{number}.test/", b"{}", {})
                lost.append(asyncio.create_task(post))
                if number % 20 == 0:  # no more at once than the name server's socket takes in
                    await asyncio.sleep(0.01)
            await hanging.wait()
            fine = [
                await sender.post(here.url(f"fine{number}.test"), b"{}", {}) for number in range(20)
            ]
            assert not any(attempt.done() for attempt in lost)
            for attempt in lost:
                attempt.cancel()
            await asyncio.gather(*lost, return_exceptions=True)
    assert {outcome.kind for outcome in fine} == {"ok"}
