"""Where Redis comes from: a URL, or the embedded store of `rq-broker dev`.

The embedded store is a private redis-server (or valkey-server) with an append-only file, child of
this process; where neither is found, fakeredis in memory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import redis

from rq_broker.domain.errors import Unavailable

_START_SECONDS = 20.0


def find_server() -> str | None:
    """Find a redis-server or valkey-server: on PATH, else beside this Python, in its .venv."""
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name, path=path):
            return found
    return None


def free_port() -> int:
    """Ask the kernel for a TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Server:
    """A redis-server of our own on loopback, with its own directory."""

    directory: Path
    options: Sequence[str] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL clients connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it serves; again after `kill`, on the same port and data."""
        program = find_server()
        if program is None:
            raise Unavailable("no redis-server or valkey-server on PATH or in .venv")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        with self._lock() as lock:
            self.process = subprocess.Popen(
                [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
                 "--dir", str(self.directory), "--maxmemory-policy", "noeviction",
                 "--appendonly", "yes", "--appendfsync", "everysec", *self.options],
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[lock.fileno()],
            )  # fmt: skip
            lock.truncate(0)
            lock.write(f"{self.process.pid} {os.getpid()}")
            lock.flush()
        self._await_ready()

    def _lock(self) -> IO[str]:
        """Take the directory, for as long as the server lives: it inherits the lock.

        A server whose parent was killed is asked to end first.
        """
        lock = (self.directory / "lock").open("a+")
        if _taken(lock):
            return lock
        lock.seek(0)
        holder, _, parent = lock.read().partition(" ")
        if not _lives(parent) and _works_in(holder, self.directory):
            os.kill(int(holder), signal.SIGTERM)
            deadline = time.monotonic() + _START_SECONDS
            while time.monotonic() < deadline:
                if _taken(lock):
                    return lock
                time.sleep(0.05)
        lock.close()
        raise Unavailable(
            f"{self.directory} is in use by the redis-server with process id {holder}"
        )

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError as error:
                    if time.monotonic() > deadline or self._ended():
                        self.kill()
                        raise Unavailable(f"redis-server does not start: {error}") from error
                    time.sleep(0.02)

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """Ask it to end, data safe."""
        if self.process:
            self.process.terminate()
            self.process.wait()


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lives(process: str) -> bool:
    """Is there such a process? In doubt there is."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OSError):
        pass
    return True


def _works_in(process: str, directory: Path) -> bool:
    """Is this its directory? In doubt it is not: no stranger is ended."""
    try:
        return Path(f"/proc/{int(process)}/cwd").samefile(directory)
    except (ValueError, OSError):
        return False
