"""The receiver on the page about callbacks verifies a callback of ours and refuses a forgery."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from rq_broker.delivery.http.sender import Sender
from rq_broker.delivery.signing import SigningKey, generate, sign
from rq_broker.egress.rules import Egress
from rq_broker.store.embedded import free_port
from tests.pages import block
from tests.receiver.signed import body

BODY = body()


@pytest.fixture
def key() -> SigningKey:
    return generate()


@pytest.fixture
def receiver(key: SigningKey) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-c", block("callbacks", "class Receiver")],
        env={**os.environ, "KEY": key.text, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield child, f"http://127.0.0.1:{port}/cb"
    child.kill()
    child.communicate()


async def _post(url: str, key: SigningKey) -> str:
    headers = sign("vm_1_1", int(time.time()), BODY, [key])
    async with Sender(Egress.of(allow=["127.0.0.0/8"]), timeout_s=5.0) as sender:
        deadline = time.monotonic() + 20
        while True:
            outcome = await sender.post(url, BODY, headers)
            if outcome.cause != "connection_refused" or time.monotonic() > deadline:
                return outcome.kind


async def test_the_receiver_takes_ours(
    receiver: tuple[subprocess.Popen[str], str], key: SigningKey
) -> None:
    """The receiver verifies a signed callback, prints what was granted and answers 2xx."""
    child, url = receiver
    assert await _post(url, key) == "ok"
    assert child.stdout is not None
    assert child.stdout.readline() == "granted d on ('host1', 'host2')\n"


async def test_the_receiver_refuses_a_forger(
    receiver: tuple[subprocess.Popen[str], str],
) -> None:
    """Signed with another key, the same callback is answered with 401, as a working server does."""
    assert await _post(receiver[1], generate()) == "rejected"
