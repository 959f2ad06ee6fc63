"""How soon things start: `--help`, the API, and what `make run` installs on a fresh machine."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from benches import kit
from benches.kit import Figure, Size
from rq_broker.store.embedded import free_port

_PROGRAM = "from rq_broker.cli import main; main(prog_name='rq-broker')"
"""What the console script does."""
_POLL = 0.003
_LEFT_OUT = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")


def start(size: Size) -> list[Figure]:
    """Seconds, the quickest of some: other load only ever adds to them."""
    rounds = size.of(15, 5)
    bare, listed = (_quickest(rounds, run) for run in (_python("pass"), _python(_PROGRAM)))
    with kit.store() as server:
        ready = _quickest(size.of(7, 3), lambda: _until_ready(server.url))
    beside = f"ms; bare Python {bare * 1e3:.0f}"
    return [
        kit.bounded("start: rq-broker --help", listed * 1e3, beside, most=150),
        kit.bounded("start: rq-broker api until /healthz", ready * 1e3, beside, most=700),
        _installing(),
    ]


def _quickest(rounds: int, run: Callable[[], float]) -> float:
    return min(run() for _ in range(rounds))


def _python(code: str) -> Callable[[], float]:
    def run() -> float:
        started = time.perf_counter()
        command = (sys.executable, "-c", code, "--help")
        subprocess.run(command, cwd=kit.SCRIPTS, capture_output=True, check=True)
        return time.perf_counter() - started

    return run


def _until_ready(url: str) -> float:
    """Start the API; returns the seconds until it answers that it lives."""
    port = free_port()
    options = ("--redis", url, "--port", port, *kit.LOOPBACK_ONLY)
    started = time.perf_counter()
    with kit.process(*kit.command("api", *options)):
        while not _lives(port):
            time.sleep(_POLL)
        return time.perf_counter() - started


def _lives(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with suppress(ConnectionError):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def _installing() -> Figure:
    """Install what `make run` installs, from a copy of the checkout without anything installed."""
    name = "start: what make run installs"
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(kit.SCRIPTS.parent, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        started = time.perf_counter()
        command = ("scripts/install.sh", "runtime", sys.executable)
        if subprocess.run(command, cwd=copy, capture_output=True, check=False).returncode:
            return Figure(name, "not measured: the installation failed")
        seconds = time.perf_counter() - started
        files = [path for path in (copy / ".venv").rglob("*") if path.is_file()]
        megabytes = sum(path.stat().st_size for path in files) / 1e6
    return Figure(name, f"{megabytes:.0f} MB in {seconds:.0f} s")
