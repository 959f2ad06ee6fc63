"""What every benchmark needs: figures, turns, a Redis of its own, jobs to fill it, processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, TypeVar

import redis
import uvloop

from rq_broker.api import submission
from rq_broker.domain.jobs import Submission
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server

T = TypeVar("T")

TYPE = "vm"
OWNER = "6a7e"
DATA = {
    "instances": [{"VCPU": 1, "Memory": 1024, "Disk": 10}],
    "project": "6a7e",
    "host_aggregate": "host1",
}
SCRIPTS = Path(__file__).parent.parent
ALLOW_LOOPBACK = ("--callback-allow", "127.0.0.0/8")
_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much a run does: `quick` for a look, else for a figure worth telling."""

    quick: bool

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def pairs(self) -> int:
        return self.of(5, 3)


# Figures


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    value: str
    ratio: str = ""
    wanted: str = ""


def rated(
    name: str, value: str, ratios: list[float], *, least: float = 0.0, most: float = 0.0
) -> Figure:
    """Build the line of a ratio that is to be at least or at most so much; neither: only shown."""
    middle = median(ratios)
    shown = f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    if not least and not most:
        return Figure(name, value, shown)
    kept = middle >= least if least else middle <= most
    wanted = f"≥ {least:.2f}" if least else f"≤ {most:.2f}"
    return Figure(name, value, shown, wanted if kept else f"{wanted}, missed")


def bounded(name: str, value: float, unit: str, *, least: float = 0.0, most: float = 0.0) -> Figure:
    """Build the line of a value that is to be at least or at most so much."""
    kept = value >= least if least else value <= most
    wanted = f"≥ {least:,.0f}" if least else f"≤ {most:,.0f}"
    return Figure(name, f"{value:,.0f} {unit}", "", wanted if kept else f"{wanted}, missed")


def spread(seconds: list[float]) -> str:
    """Render times as median and p99 in ms."""
    p99 = quantiles(seconds, n=100)[98]
    return f"median {median(seconds) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, n {len(seconds)}"


def turns(pairs: int, *measures: Callable[[], T]) -> list[list[T]]:
    """Measure by turns, A B A B; returns the figures of each measure."""
    rounds = [[measure() for measure in measures] for _ in range(pairs)]
    return [list(column) for column in zip(*rounds, strict=True)]


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Divide pair by pair."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def against(ours: list[float], theirs: list[float], unit: str) -> str:
    """Render two medians side by side."""
    return f"{median(ours):,.0f} {unit} against {median(theirs):,.0f}"


# Redis


@contextmanager
def store(*options: str, frozen: Path | None = None) -> Iterator[Server]:
    """Run a Redis of our own without an append-only file, from a frozen state if one is given."""
    with TemporaryDirectory() as folder:
        if frozen:
            shutil.copy(frozen, Path(folder) / "dump.rdb")
        server = Server(Path(folder), options=("--appendonly", "no", *options))
        server.start()
        try:
            yield server
        finally:
            server.kill()


def freeze(server: Server, target: Path) -> Path:
    """Keep the server's state in a file from which `store` begins again."""
    with plain(server) as client:
        client.save()
    shutil.copy(server.directory / "dump.rdb", target)
    return target


def plain(server: Server) -> redis.Redis:
    """Make a client that looks, from outside, at what a broker does."""
    client: redis.Redis = redis.Redis.from_url(server.url, decode_responses=True)
    return client


def run(url: str, work: Callable[[Broker], Awaitable[Any]]) -> Any:
    """Run something that takes a broker, on uvloop as the real processes do."""

    async def main() -> Any:
        broker = Broker(connect(url, timeout=30.0))
        try:
            return await work(broker)
        finally:
            await broker.aclose()

    return uvloop.run(main())


# Jobs


def body(number: int, callback: str = "http://127.0.0.1:9999/cb/", **changes: Any) -> Any:
    """Build the request every benchmark submits."""
    return {
        "request_id": f"req-{number:08d}",
        "owner_id": OWNER,
        "data": DATA,
        "callback": f"{callback}{number:08d}",
        **changes,
    }


async def fan(numbers: range, lanes: int, work: Callable[[int], Awaitable[Any]]) -> None:
    """Do the work of each number, `lanes` at a time."""
    waiting = iter(numbers)

    async def lane() -> None:
        for number in waiting:
            await work(number)

    await asyncio.gather(*(lane() for _ in range(lanes)))


def fill(
    server: Server, count: int, make: Callable[[int], Submission] | None = None, first: int = 0
) -> None:
    """Put jobs in line, as fast as it goes."""
    build = make or (lambda number: submission.submission(body(number)))

    async def work(broker: Broker) -> None:
        await fan(range(first, first + count), 500, lambda n: broker.submit(TYPE, build(n)))

    run(server.url, work)


# Processes


@contextmanager
def process(*command: str) -> Iterator[int]:
    """Run a process of our own for a while, by its id; it is asked to end, then ended."""
    with TemporaryFile("w+") as said:
        child = subprocess.Popen(command, cwd=SCRIPTS, stdout=said, stderr=said)
        try:
            yield child.pid
        finally:
            early = child.poll()
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if early is not None:
                said.seek(0)
                raise RuntimeError(f"{command} ended by itself: {said.read()[-2000:]}")


def role(*args: object) -> tuple[str, ...]:
    """Build the command of a role of child.py."""
    return (sys.executable, "-m", "benches.child", *map(str, args))


def command(*args: object) -> tuple[str, ...]:
    """Build an rq-broker command."""
    return (sys.executable, "-m", "rq_broker.cli", *map(str, args))


def measured(*command: str, cwd: Path = SCRIPTS) -> Any:
    """Run a process that prints its figures as one line of JSON."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def cpu(pid: int) -> float:
    """Read the seconds of CPU a process has used, which other work disturbs less than its speed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int, field: str = "VmRSS") -> int:
    """Read how many bytes of memory a process has; `VmHWM` is the most it ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def until(true: Callable[[], bool], what: str, seconds: float = _READY_SECONDS) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come in {seconds:.0f} s")
        time.sleep(0.02)


def until_serves(port: int) -> None:
    """Wait until something accepts connections on the port."""

    def serves() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(serves, f"a server on port {port}")


def until_blocked(server: Server, count: int) -> None:
    """Wait until so many notifiers wait for a wake-up."""
    with plain(server) as client:
        until(lambda: client.info("clients")["blocked_clients"] >= count, f"{count} notifiers")


# BullMQ


def bullmq() -> Path | str:
    """Find or install BullMQ; where it cannot be had, the reason instead of its directory."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return "not measured: no node"
    folder = SCRIPTS.parent / ".venv" / "bullmq"
    if not (folder / "node_modules" / "bullmq").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        install = [npm, "install", "--no-audit", "--no-fund", "bullmq", "ioredis"]
        if subprocess.run(install, cwd=folder, capture_output=True, check=False).returncode:
            return "not measured: npm install failed"
    return folder


def node(folder: Path, script: str, *args: object) -> Any:
    """Run one of our .mjs files where BullMQ is."""
    return measured("node", str(SCRIPTS / "benches" / script), *map(str, args), cwd=folder)
