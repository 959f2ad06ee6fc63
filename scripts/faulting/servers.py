"""Redis as operators run it: one server with a standby, a Sentinel trio, a Cluster of six.

Each server stands behind a proxy of its own, and is known to clients, replicas and Sentinels by
the proxy's port. So a proxy can part a server from the world.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from faulting.proxy import Proxy
from rq_broker.store.embedded import find_server, free_port

READY_SECONDS = 30.0
"""Seconds within which servers start, or a cluster forms; a slower machine fails the run."""
VALKEY = Path(sys.prefix) / "servers/valkey/redis-server"
"""Valkey 9, which `scripts/install.sh version valkey` installs."""
CLOCKED_SERVER = VALKEY
"""A server whose clock can be stepped: libfaketime does not work with one that has jemalloc."""
FAKETIME = next(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketime.so.1"), None)
"""Debian's package libfaketime has it."""
SERVICE = "broker"
"""The name under which Sentinels watch the primary."""
BUS_OFFSET = 10000
"""A Cluster's nodes talk to each other on the port this far above; Redis 6.2 knows no other."""
_CLUSTER_PORTS = iter(random.sample(range(12_000, 22_000), 10_000))
"""With their buses they are below those that the system gives away by itself: it might give a bus's
to another process before the server listens there."""
NODE_TIMEOUT_MS = 2000
"""After this silence a Cluster or Sentinel fails over. Real ones wait 5 to 30 s."""


def free_cluster_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free, as is the one of its bus; each is given once."""
    for port in _CLUSTER_PORTS:
        try:
            for each in (port, port + BUS_OFFSET):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", each))
        except OSError:
            continue
        return port
    raise RuntimeError("all ports for clusters were given away")


def until(condition: Callable[[], object], description: str) -> None:
    """Wait until a condition holds; an error of Redis counts as not yet."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{description}: not there within {READY_SECONDS:.0f} s")
        time.sleep(0.05)


@dataclass
class Node:
    """One server process behind its proxy."""

    directory: Path
    options: Sequence[str] = ()
    fake_clock: bool = False
    """Whether the server's clock can be stepped; it is slower then."""
    program: Path | None = None
    """The server program; None: the installed one."""
    port: int = field(default_factory=free_port)
    proxy_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.proxy = Proxy(self.proxy_port, self.port)

    @property
    def url(self) -> str:
        """The URL by which clients know it."""
        return f"redis://127.0.0.1:{self.proxy_port}/0"

    def start(self) -> None:
        """Start the process, on the same port and data as before."""
        program = str(self.program) if self.program else find_server()
        environment = dict(os.environ)
        if self.fake_clock:
            self.step_clock(0)
            program = str(CLOCKED_SERVER)
            environment |= {
                "LD_PRELOAD": str(FAKETIME), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_TIMESTAMP_FILE": str(self.directory / "clock"),
            }  # fmt: skip
        assert program, "no redis-server"
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, *self._arguments()],
                stdout=log,
                stderr=log,
                env=environment,
                restore_signals=False,  # SIGXFSZ stays ignored: a full disk is an error, no end
                start_new_session=True,
            )

    def _arguments(self) -> list[str]:
        return [
            "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory),
            "--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction", *self.options,
        ]  # fmt: skip

    def client(self) -> redis.Redis:
        """Make a client that goes past the proxy."""
        client: redis.Redis = redis.Redis(
            port=self.port, decode_responses=True, socket_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        return client

    def call(self, *command: object) -> Any:
        """Send one command past the proxy."""
        with self.client() as client:
            return client.execute_command(*map(str, command))

    def await_ready(self) -> None:
        """Wait until it serves."""
        until(lambda: self.call("PING"), f"redis-server on port {self.port}")

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def step_clock(self, seconds: float) -> None:
        """Set its clock off from the machine's by `seconds`."""
        (self.directory / "clock").write_text(f"{seconds:+.0f}\n")

    def limit_files(self, size: int) -> None:
        """Let no file of it grow beyond `size` bytes: beyond, writes fail as on a full disk."""
        assert self.process
        most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, most))

    def snapshot(self, target: Path) -> None:
        """Save its data to a file."""
        self.call("SAVE")
        shutil.copy(self.directory / "dump.rdb", target)


class Topology(ABC):
    """Servers that together are one Redis for clients."""

    name = ""
    url = ""

    program: Path | None = None
    """The server program; None: the installed one."""

    def __init__(self, folder: Path, *, fake_clock: bool = False) -> None:
        self.folder = folder
        self._fake_clock = fake_clock
        self.nodes: list[Node] = []

    def node(self, *options: str, port: int | None = None) -> Node:
        """Add one server, not started yet, on a free port or this one."""
        directory = self.folder / f"node{len(self.nodes)}"
        port = free_port() if port is None else port
        self.nodes.append(Node(directory, options, self._fake_clock, self.program, port))
        return self.nodes[-1]

    async def start(self) -> None:
        """Start everything, and wait until it serves."""
        for node in self.nodes:
            await node.proxy.start()
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.await_ready()

    async def stop(self) -> None:
        """End everything."""
        for node in self.nodes:
            node.kill()
            await node.proxy.stop()

    def primary(self) -> Node:
        """Return the server that takes the writes of the tested type now."""
        return next(node for node in self.nodes if self._role(node) == "master")

    def replica(self) -> Node:
        """Return a server that would take the primary's place."""
        return next(node for node in self.nodes if self._role(node) == "slave")

    def _role(self, node: Node) -> str:
        try:
            return str(node.call("ROLE")[0])
        except redis.RedisError:
            return "none"

    @abstractmethod
    def move_primary(self) -> None:
        """Move the primary as an operator does for an upgrade; nothing is killed."""

    def serves_writes(self) -> bool:
        """Tell whether Redis itself takes writes again."""
        try:
            return bool(self.primary().call("SET", "probe:{vm}", "1"))
        except (redis.RedisError, StopIteration):
            return False
