"""The command line as real child processes: started on free ports, awaited, killed, never left."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from rq_broker.store.embedded import free_port

PATIENCE_S = 30.0
"""How long a child may take to begin or to end before the test gives it up."""


@dataclass
class Child:
    """One child: its process, and what it said so far."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Wait for its end; returns the exit code, negative for a signal."""
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it, and whatever it has forked, as a power cut would."""
        with suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def ready(self) -> None:
        """Wait until it serves HTTP, Redis included."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.said()
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready in {PATIENCE_S} s:\n{self.said()}")


@dataclass
class Children:
    """Starts children with their logs in a folder, and knows them all."""

    folder: Path
    started: list[Child] = field(default_factory=list)

    def start(self, *args: str, cwd: Path | None = None, **variables: str) -> Child:
        """Start `rq-broker` with these arguments."""
        log = self.folder / f"{len(self.started)}-{args[0]}.log"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("RQ_BROKER_")}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "rq_broker.cli", *args],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env={**clean, **variables},
                start_new_session=True,
            )
        self.started.append(Child(process, log))
        return self.started[-1]

    def serve(self, command: str, *args: str, cwd: Path | None = None, **variables: str) -> Child:
        """Start `api` or `dev` on a free port; `ready` waits until it serves."""
        port = free_port()
        child = self.start(command, "--port", str(port), *args, cwd=cwd, **variables)
        child.url = f"http://127.0.0.1:{port}"
        return child

    def api(self, store: str, *args: str) -> Child:
        """Start an API process that takes callbacks to loopback."""
        return self.serve("api", "--redis", store, "--callback-allow", "127.0.0.0/8", *args)

    def notifier(self, store: str, *args: str, timeout: float = 5.0) -> Child:
        """Start a notifier that may call back to loopback."""
        return self.start(
            "notifier", "--redis", store, "--timeout", str(timeout),
            "--callback-allow", "127.0.0.0/8", *args,
        )  # fmt: skip


@contextmanager
def children(folder: Path) -> Iterator[Children]:
    """Give a nursery of children; whoever still lives at its end is killed."""
    this = Children(folder)
    try:
        yield this
    finally:
        for child in this.started:
            child.kill()


def answers(port: int) -> bool:
    """Say whether a Redis serves at this port."""
    with redis.Redis(port=port, retry=None, socket_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def end_redis(port: int) -> None:
    """End a Redis somebody left running."""
    with redis.Redis(port=port, retry=None) as client, suppress(redis.RedisError):
        client.shutdown(nosave=True)


def store_port(child: Child) -> int:
    """Read the port of the embedded store from what `dev` logged."""
    found = re.search(r"embedded store: .*, port (\d+)", child.said())
    assert found, child.said()
    return int(found[1])


async def until(
    question: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE_S
) -> None:
    """Wait until an async question is answered with yes; fail by what was waited for."""
    deadline = time.monotonic() + seconds
    while not await question():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.02)
