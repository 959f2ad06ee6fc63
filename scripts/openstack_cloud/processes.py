"""Starts and ends the processes of a cloud through keeper.py, which outlives no cloud."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 15.0
"""How long a process may take to end before it is killed; nova-compute would take a minute."""
NOT_INHERITED = ("OS_", "RQ_BROKER_", "PYTHON", "COVERAGE_", "VIRTUAL_ENV")
"""Variables of these names are kept from services: they would change what they do."""


class Processes:
    """The processes of one cloud by name; all of them end with `close`, or with this process."""

    def __init__(self, logs: Path) -> None:
        """`logs`: the folder in which each process has a file."""
        self._logs = logs
        self._lock = threading.Lock()
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("keeper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, name: str, command: Sequence[str | Path], **variables: str) -> None:
        """Start a process; `variables` go beside those of this process."""
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)
        }
        self._ask(
            verb="start",
            name=name,
            command=[str(word) for word in command],
            environment={**inherited, "PYTHONWARNINGS": "ignore", **variables},
            log=str(self._logs / f"{name}.out"),
        )

    def stop(self, name: str, patience: float = PATIENCE_SECONDS) -> None:
        """Ask a process to end, and wait for it; after `patience` seconds it is killed."""
        self._ask(verb="stop", name=name, number=signal.SIGTERM, patience=patience)

    def kill(self, name: str) -> None:
        """End a process, and what it has started, as a power cut would."""
        self._ask(verb="stop", name=name, number=signal.SIGKILL, patience=PATIENCE_SECONDS)

    def freeze(self, name: str) -> None:
        """Suspend a process: its connections stay and nobody answers."""
        self._ask(verb="pause", name=name, number=signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a suspended process go on."""
        self._ask(verb="pause", name=name, number=signal.SIGCONT)

    def runs(self, name: str) -> bool:
        """Tell whether a process runs."""
        return bool(self._ask(verb="running", name=name))

    def output(self, name: str) -> str:
        """Return the end of what a process has printed."""
        path = self._logs / f"{name}.out"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def close(self) -> None:
        """Kill every process."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with self._lock:
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper.stdout.close()

    def _ask(self, **request: Mapping[str, str] | Sequence[str] | str | float) -> Any:
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        with self._lock:
            print(json.dumps(request), file=self._keeper.stdin, flush=True)
            answer = json.loads(self._keeper.stdout.readline())
        if "error" in answer:
            raise OSError(f"{request['verb']} {request['name']}: {answer['error']}")
        return answer["result"]
