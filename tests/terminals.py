"""Commands on a terminal of their own: what they print, and keys typed at them."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tests.processes import TIMEOUT_S

_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal with a command in its foreground."""

    def __init__(self, words: Sequence[str], **variables: str) -> None:
        self._master, slave = pty.openpty()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RQ_BROKER_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, "TERM": "xterm", **variables},
            start_new_session=True,
        )
        os.close(slave)
        self.output = ""

    def type(self, keys: str) -> None:
        """Type keys; `\\x03` is Ctrl-C."""
        os.write(self._master, keys.encode())

    def expect(self, text: str) -> str:
        """Wait until it has printed a text since the last one that was expected; return all."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.output:
            assert time.monotonic() < deadline, f"waited for {text!r}: {self.output!r}"
            self._read()
        shown, _, self.output = self.output.partition(text)
        return shown + text

    def _read(self) -> bool:
        if select.select([self._master], [], [], 0.1)[0]:
            with suppress(OSError):  # nobody has the terminal open any more
                if data := os.read(self._master, 4096):
                    self.output += data.decode(errors="replace")
                    return True
        return False

    def wait(self) -> int:
        """Wait until the command has ended; return its exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.output
            self._read()
        while self._read():
            pass
        return self.process.returncode

    def close(self) -> None:
        """End the command."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT_S)
        os.close(self._master)


@contextmanager
def terminal(words: Sequence[str], **variables: str) -> Iterator[Terminal]:
    """Run a command on a terminal; it is killed at the end."""
    opened = Terminal(words, **variables)
    try:
        yield opened
    finally:
        opened.close()
