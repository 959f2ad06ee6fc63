"""Shared by every benchmark: figures, paired runs, a private Redis, jobs to fill it, processes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, TypeVar

import redis
import uvloop

from rq_broker.api.submit import submission
from rq_broker.domain.jobs import Submission
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import WAKE_CHANNEL, Keys, receiver

T = TypeVar("T")

TYPE = "vm"
OWNER = "6a7e"
DATA = {
    "instances": [{"VCPU": 1, "Memory": 1024, "Disk": 10}],
    "project": "6a7e",
    "host_aggregate": "host1",
}
CORES = os.cpu_count() or 1
CORES_FOR_TWO = 4
"""Two processes, Redis and what loads them need a core each to show what the second is worth."""
BATCH, BATCHES = 100, 4
"""Jobs that are submitted in one call of many, and how many such calls are in flight."""
SCRIPTS = Path(__file__).parent.parent
LOOPBACK_ONLY = (
    *("--callback-allow", "127.0.0.0/8"),
    *("--callback-deny", "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10"),
)
"""Options of every API and notifier that a script or a test starts: private networks, which are
open to callbacks by default, are closed."""
_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a run: `quick` for a first impression, else for a figure to publish."""

    quick: bool

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @property
    def pairs(self) -> int:
        return self.of(5, 3)


# Figures


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    value: str
    ratio: str = ""
    wanted: str = ""


def rated(
    name: str, value: str, ratios: list[float], *, least: float = 0.0, most: float = 0.0
) -> Figure:
    """Build the row of a ratio, with its lower or upper limit; without a limit, only shown."""
    middle = median(ratios)
    shown = f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    if not least and not most:
        return Figure(name, value, shown)
    kept = middle >= least if least else middle <= most
    wanted = f"≥ {least:.2f}" if least else f"≤ {most:.2f}"
    return Figure(name, value, shown, wanted if kept else f"{wanted}, missed")


def bounded(name: str, value: float, unit: str, *, least: float = 0.0, most: float = 0.0) -> Figure:
    """Build the row of a value, with its lower or upper limit."""
    kept = value >= least if least else value <= most
    wanted = f"≥ {least:,.0f}" if least else f"≤ {most:,.0f}"
    return Figure(name, f"{value:,.0f} {unit}", "", wanted if kept else f"{wanted}, missed")


def timed(
    name: str, seconds: list[float], *, p99: float = 0.0, middle: float = 0.0, beside: str = ""
) -> Figure:
    """Build the row of times, with an upper limit of their p99 or of their median, in ms."""
    limit, quantile = (p99, "p99") if p99 else (middle, "median")
    reached = p99_of(seconds) if p99 else median(seconds)
    wanted = f"{quantile} ≤ {limit:g} ms"
    value = f"{spread(seconds)}{beside}"
    return Figure(name, value, "", wanted if reached * 1e3 <= limit else f"{wanted}, missed")


def spread(seconds: list[float]) -> str:
    """Render times as median and p99 in ms."""
    middle, slow = median(seconds) * 1e3, p99_of(seconds) * 1e3
    return f"median {middle:.1f} ms, p99 {slow:.1f} ms, n {len(seconds)}"


def p99_of(seconds: list[float]) -> float:
    """Return the time within which all but a hundredth are."""
    return quantiles(seconds, n=100)[98]


def turns(pairs: int, *measures: Callable[[], T]) -> list[list[T]]:
    """Run the measures in turns, A B A B; returns the results of each measure."""
    rounds = [[measure() for measure in measures] for _ in range(pairs)]
    return [list(column) for column in zip(*rounds, strict=True)]


def ratios(ours: list[float], theirs: list[float]) -> list[float]:
    """Divide pair by pair."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def compared(name: str, ours: list[float], theirs: list[float], *, least: float = 0.0) -> Figure:
    """Build the row of two rates that were measured in turns."""
    return rated(name, against(ours, theirs, "/s"), ratios(ours, theirs), least=least)


def against(ours: list[float], theirs: list[float], unit: str) -> str:
    """Render two medians side by side."""
    return f"{median(ours):,.0f} {unit} against {median(theirs):,.0f}"


# Redis


@contextmanager
def store(*options: str, frozen: Path | None = None) -> Iterator[Server]:
    """Run a private Redis without an append-only file, started from `frozen` if given."""
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
    """Save the server's state to a file that `store` can start from."""
    with plain(server) as client:
        client.save()
    shutil.copy(server.directory / "dump.rdb", target)
    return target


def plain(server: Server) -> redis.Redis:
    """Make a plain client, to observe from outside what a broker does."""
    client: redis.Redis = redis.Redis.from_url(server.url, decode_responses=True)
    return client


def run(url: str, work: Callable[[Broker], Awaitable[T]]) -> T:
    """Run a coroutine function that takes a broker, on uvloop like the real processes."""

    async def main() -> T:
        broker = Broker(connect(url, timeout=30.0))
        try:
            return await work(broker)
        finally:
            await broker.aclose()

    return uvloop.run(main())


def drop_callbacks(client: redis.Redis, *destinations: str) -> None:
    """Take away what waits to be called, as couriers would: grants wait for callbacks."""
    keys = Keys(TYPE)
    uncalled = (keys.of("uncalled", receiver(each, OWNER)) for each in destinations)
    client.delete(keys.of("deliveries"), keys.of("prompt"), *uncalled)
    client.hdel(keys.base, "unclaimed_since", "late")


# Jobs


def body(
    number: int, callback: str = "http://127.0.0.1:9999/cb/", **changes: Any
) -> dict[str, Any]:
    """Build the request every benchmark submits."""
    return {
        "request_id": f"req-{number:08d}",
        "owner_id": OWNER,
        "data": DATA,
        "callback": f"{callback}{number:08d}",
        **changes,
    }


async def fan(numbers: range, workers: int, work: Callable[[int], Awaitable[object]]) -> None:
    """Call `work` with each number, `workers` at a time."""
    remaining = iter(numbers)

    async def worker() -> None:
        for number in remaining:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(workers)))


def fill(
    server: Server, count: int, make: Callable[[int], Submission] | None = None, first: int = 0
) -> None:
    """Submit `count` jobs, 500 at a time."""
    build = make or (lambda number: submission(body(number)))

    async def work(broker: Broker) -> None:
        await broker.set_policy(TYPE, {"queue_limits": {}})
        await fan(range(first, first + count), 500, lambda n: broker.submit(TYPE, build(n)))

    run(server.url, work)


# Processes


@contextmanager
def process(
    *command: str, cwd: Path = SCRIPTS, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a process and yield its ID; at the end it gets SIGTERM, after 15 s SIGKILL."""
    variables = {**os.environ, **(environment or {})}
    with TemporaryFile("w+") as output:
        child = subprocess.Popen(command, cwd=cwd, env=variables, stdout=output, stderr=output)
        try:
            yield child.pid
        finally:
            early_exit = child.poll()
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if early_exit is not None:
                output.seek(0)
                raise RuntimeError(f"{command} ended by itself: {output.read()[-2000:]}")


def role(*args: object) -> tuple[str, ...]:
    """Build the command of a role of child.py."""
    return script("benches.child", *args)


def script(module: str, *args: object) -> tuple[str, ...]:
    """Build the command that runs a module of scripts/."""
    return (sys.executable, "-m", module, *map(str, args))


def command(*args: object) -> tuple[str, ...]:
    """Build an rq-broker command."""
    return (sys.executable, "-m", "rq_broker", *map(str, args))


def measured(*command: str, cwd: Path = SCRIPTS) -> Any:
    """Run a process that prints its figures as one line of JSON."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def cpu(pid: int) -> float:
    """Read the seconds of CPU a process has used; other load disturbs them less than its speed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def core_ticks() -> tuple[int, int]:
    """Read for how many ticks all cores have worked so far, and for how many they were idle."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, idle


def redis_cpu(client: redis.Redis) -> float:
    """Read the seconds of CPU that Redis has used in the thread that runs commands."""
    usage = client.info("cpu")
    return float(usage["used_cpu_user_main_thread"]) + float(usage["used_cpu_sys_main_thread"])


def resident(pid: int, field: str = "VmRSS") -> int:
    """Read the memory of a process in bytes: `VmRSS` now, `VmHWM` at its peak."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024


def until(condition: Callable[[], bool], description: str, seconds: float = _READY_SECONDS) -> None:
    """Wait until the condition holds; raises TimeoutError that names it."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{description}: not there within {seconds:.0f} s")
        time.sleep(0.02)


def until_serves(port: int) -> None:
    """Wait until something accepts connections on the port."""

    def serves() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(serves, f"a server on port {port}")


def until_listening(server: Server, count: int) -> None:
    """Wait until `count` notifiers listen to wake-ups."""
    with plain(server) as client:
        until(lambda: client.pubsub_numsub(WAKE_CHANNEL)[0][1] >= count, f"{count} notifiers")
