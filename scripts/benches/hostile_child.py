"""The processes that hostile.py starts: `python -m benches.hostile_child ROLE …`."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from gzip import compress
from itertools import count
from pathlib import Path

from standins.authorities import Authority
from standins.name_servers import name_server
from standins.receivers import Behaviour, endless, receiver, responding, sending

from rq_broker import cli
from rq_broker.delivery.http import dialler, sender

_HEAD = b"HTTP/1.1 200 OK\r\n"
_GARBAGE = bytes(range(256)) * 40


def _behaviours() -> dict[str, Behaviour]:
    """Build the hostile behaviours that need no certificate and no name of their own."""

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + b"Content-Length: 100\r\n\r\nhalf")
        await asyncio.sleep(0.05)
        writer.transport.abort()

    return {
        "slow-loris headers": endless(_HEAD, b"X-A: b\r\n", 0.2),
        "slow-loris body": endless(_HEAD + b"Content-Length: 9999\r\n\r\n", b"x", 0.2),
        "endless body": endless(_HEAD + b"\r\n", b"x" * 65536),
        "gzip bomb": responding(200, "Content-Encoding: gzip", body=compress(bytes(10 * 2**20))),
        "302 to metadata": responding(302, "Location: http://169.254.169.254/latest/"),
        "reset mid-body": reset,
        "accept, then silence": endless(b"", b"", 60.0),
        "200 with garbage": responding(200, "Content-Type: application/json", body=_GARBAGE),
        "garbage": sending(_GARBAGE, close=True),
    }


def _answers() -> Callable[[str], list[str] | None]:
    """Build the name server's answers: good names, one that rebinds, and dead ones.

    Of the dead names, the even ones get no answer at all and the odd ones no address.
    """
    lookups = count()

    def answer(name: str) -> list[str] | None:
        if name == "rebind.test":
            return [("169.254.169.254", "169.254.169.254", "127.0.0.1")[next(lookups) % 3]]
        if name.endswith(".test"):
            return ["127.0.0.1"]
        number = int(name.removeprefix("dead").partition(".")[0])
        return [] if number % 2 else None

    return answer


async def _serve(folder: Path) -> None:
    authority = Authority(folder)
    (folder / "authority.pem").write_bytes(authority.pem)
    async with AsyncExitStack() as stack:
        urls = {}
        for behaviour, behave in _behaviours().items():
            hostile = await stack.enter_async_context(receiver(behave))
            urls[behaviour] = hostile.url()
        for behaviour, host, tls in (
            ("TLS, wrong name", "wrong.test", authority.server_context("other.test")),
            (
                "TLS, expired",
                "expired.test",
                authority.server_context("expired.test", valid_for=timedelta(days=-1)),
            ),
        ):
            hostile = await stack.enter_async_context(receiver(responding(200), tls))
            urls[behaviour] = hostile.url(host, scheme="https")
        rebound = await stack.enter_async_context(receiver(responding(200)))
        urls["rebinding name"] = rebound.url("rebind.test")
        server = await stack.enter_async_context(name_server(_answers()))
        # Renamed when it is complete, as the parent waits for the file.
        (folder / "incomplete").write_text(json.dumps({"names": server.address, "urls": urls}))
        (folder / "incomplete").rename(folder / "addresses")
        await asyncio.Event().wait()


def serve(folder: str) -> None:
    """Run every hostile receiver and the name server; writes their addresses to a file."""
    asyncio.run(_serve(Path(folder)))


def notify(nameserver: str, authority: str, *args: str) -> None:
    """Run `rq-broker notifier` with this name server and this certificate authority."""
    os.environ["SSL_CERT_FILE"] = authority
    resolver = functools.partial(dialler.CaresResolver, nameservers=[nameserver])
    setattr(sender, "CaresResolver", resolver)  # noqa: B010 - mypy lets no attribute be replaced
    cli.main(["notifier", *args])


ROLES: dict[str, Callable[..., None]] = {"serve": serve, "notify": notify}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
