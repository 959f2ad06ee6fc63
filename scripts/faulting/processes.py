"""The broker's processes: the API and two notifiers, and their logs; kills and upgrades them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benches.checkout import ROOT
from benches.kit import LOOPBACK_ONLY

from rq_broker.store.embedded import free_port

NOTIFIERS = 2


class Processes:
    """One API, first, and the notifiers, each with a log in a folder."""

    def __init__(self, url: str, folder: Path, tree: Path = ROOT) -> None:
        """`url`: of their Redis; `tree`: the checkout that they run until they are upgraded."""
        self._url = url
        self._folder = folder
        port = free_port()
        self.api = f"http://127.0.0.1:{port}"
        self._commands = [
            ["api", "--port", str(port)],
            *[["notifier", "--timeout", "3"]] * NOTIFIERS,
        ]
        self._trees = [tree] * len(self._commands)
        self._children: list[subprocess.Popen[bytes]] = []

    @property
    def ids(self) -> list[int]:
        """The process ids, the API's first."""
        return [child.pid for child in self._children]

    @property
    def log_bytes(self) -> int:
        """What all of them have logged."""
        return sum(file.stat().st_size for file in self._folder.glob("*.log"))

    def start(self) -> None:
        """Start them all."""
        self._children = [self._start(number) for number in range(len(self._commands))]

    def restart(self, number: int) -> None:
        """Kill -9 one, and start it again."""
        self._kill(self._children[number])
        self._children[number] = self._start(number)

    def upgrade(self, number: int) -> None:
        """End one as an operator does, and start it from this checkout."""
        self._children[number].terminate()
        self._children[number].wait()
        self._trees[number] = ROOT
        self._children[number] = self._start(number)

    def repair(self) -> None:
        """Run the audit that mends what it finds; it fails where something is left."""
        audit = [sys.executable, "-m", "rq_broker", "audit", "--repair", "--redis", self._url]
        subprocess.run(audit, cwd=ROOT, check=True, capture_output=True)

    def stop(self) -> None:
        """Kill them all."""
        for child in self._children:
            self._kill(child)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        name, *options = self._commands[number]
        command = ["-m", "rq_broker", name, "--redis", self._url, *options, *LOOPBACK_ONLY]
        tree = self._trees[number]
        with (self._folder / f"{number}-{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=tree,
                env={**os.environ, "PYTHONPATH": str(tree)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @staticmethod
    def _kill(child: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@contextmanager
def running(url: str, folder: Path, tree: Path = ROOT) -> Iterator[Processes]:
    """Run the processes on a Redis, from a checkout; they are killed at the end."""
    processes = Processes(url, folder, tree)
    processes.start()
    try:
        yield processes
    finally:
        processes.stop()
