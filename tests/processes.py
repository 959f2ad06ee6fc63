"""The commands as child processes: started on free ports, awaited, and killed at the end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis
from benches.kit import LOOPBACK_ONLY
from redis.backoff import NoBackoff
from redis.retry import Retry

from rq_broker.store.embedded import free_port

TIMEOUT_S = 30.0
"""How long a child may take to start or to end before the test fails."""
NO_RETRY = Retry(NoBackoff(), 0)


@dataclass
class Child:
    """One process and its output so far."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Wait until it ends; returns the exit code, negative for a signal."""
        return self.process.wait(TIMEOUT_S)

    def kill(self) -> None:
        """Kill it and its own children with SIGKILL."""
        with suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self.process.wait(TIMEOUT_S)

    def ready(self) -> None:
        """Wait until it serves HTTP and its Redis answers."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.output()
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"not ready in {TIMEOUT_S} s:\n{self.output()}")


@dataclass
class Children:
    """Starts processes with their logs in a folder, and keeps them all."""

    folder: Path
    started: list[Child] = field(default_factory=list)
    program: Sequence[str] = (sys.executable, "-m", "rq_broker")
    """What runs `rq-broker`."""

    def start(
        self,
        *args: str,
        cwd: Path | None = None,
        descriptors: int | None = None,
        soft_descriptors: int | None = None,
        **variables: str,
    ) -> Child:
        """Start `rq-broker` with these arguments.

        Args:
            cwd: Its working directory.
            descriptors: Its hard limit of open files, if not that of this process.
            soft_descriptors: Its soft limit, if not the hard one.
            variables: Environment variables beside those of this process.
        """
        log = self.folder / f"{len(self.started)}-{args[0]}.log"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("RQ_BROKER_")
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*_limited(descriptors, soft_descriptors), *self.program, *args],
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=cwd,
                env={**inherited, **variables},
                start_new_session=True,
            )  # fmt: skip
        self.started.append(Child(process, log))
        return self.started[-1]

    def serve(self, command: str, *args: str, **options: Any) -> Child:
        """Start `api` or `dev` on a free port; `ready` waits until it serves."""
        port = free_port()
        child = self.start(command, "--port", str(port), *args, **options)
        child.url = f"http://127.0.0.1:{port}"
        return child

    def api(self, store: str, *args: str, **limits: int | None) -> Child:
        """Start an API process that accepts callbacks to loopback."""
        return self.serve("api", "--redis", store, *LOOPBACK_ONLY, *args, **limits)

    def notifier(self, store: str, *args: str, timeout: float = 5.0) -> Child:
        """Start a notifier that sends callbacks to loopback."""
        return self.start(
            "notifier", "--redis", store, "--timeout", str(timeout), *LOOPBACK_ONLY, *args
        )


def _limited(descriptors: int | None, soft: int | None) -> list[str]:
    """Return the command that runs another with a limit of open files."""
    if descriptors is None:
        return []
    limits = f"ulimit -Hn {descriptors} && ulimit -Sn {soft or descriptors}"
    return ["sh", "-c", f'ulimit -Sn {soft or descriptors}; {limits}; exec "$@"', "sh"]


@contextmanager
def children(folder: Path) -> Iterator[Children]:
    """Yield a starter of processes; at the end those that still run are killed."""
    starter = Children(folder)
    try:
        yield starter
    finally:
        for child in starter.started:
            child.kill()


def redis_answers(url: str) -> bool:
    """Tell whether a Redis serves at this URL."""
    with redis.Redis.from_url(url, retry=NO_RETRY, socket_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def end_redis(url: str) -> None:
    """Shut down a Redis that a killed process has left running."""
    with redis.Redis.from_url(url, retry=NO_RETRY) as client, suppress(redis.RedisError):
        client.shutdown(nosave=True)


def store_url(child: Child) -> str:
    """Return the URL of the embedded store, from the log of `dev`."""
    match = re.search(r"embedded store: .*, (unix:///\S+)", child.output())
    assert match, child.output()
    return match[1]


async def until(
    condition: Callable[[], Awaitable[bool]], description: str, seconds: float = TIMEOUT_S
) -> None:
    """Wait until a condition holds; fail with its description."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {description}"
        await asyncio.sleep(0.02)
