"""The command that `run` runs: its process group, the terminal, signals, and its end.

The command has a process group of its own, so that all that it started can be ended. At a terminal
that group is put in the foreground, as a shell does: Ctrl-C and Ctrl-Z reach the command from the
terminal, once. In a pipeline (`run … | less`) the terminal stays with the pipeline, until the
command reads from it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP,
             signal.SIGUSR1, signal.SIGUSR2)  # fmt: skip
"""Signals that are handed on to the command. The terminal sends those of keys to the foreground
group, which is the command's, so none arrives twice."""
_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals after which a command that does not end in time is killed."""
_WAKE_SECONDS = 0.2
"""How often the wait for what happens is left. The kernel may hand a signal to another thread:
while the main one starts the command all signals are blocked there, and of two at once it takes the
first only. That wakes nobody, and the handler runs once the main thread does."""
_POLL_SECONDS = 0.05
"""How often it is looked whether the last process of a group is gone; the kernel does not tell."""


@dataclass(frozen=True, slots=True)
class Signalled:
    """This process got a signal."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The command has ended, or was stopped: what waitpid says."""

    status: int


class EndIt:
    """The command is to end: its hold is lost."""


class KillIt:
    """The grace has passed."""


Happening = Signalled | Ended | EndIt | KillIt
Happenings = SimpleQueue[Happening]
"""What may happen while the command runs; signal handlers and threads put it in."""


class Child:
    """A command in a process group of its own.

    Args:
        command: Its words.
        environment: Its environment.
        happenings: Where what happens arrives.
        grace: Seconds from SIGTERM to SIGKILL.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        happenings: Happenings,
        grace: float,
    ) -> None:
        self._happenings = happenings
        self._grace = grace
        self._terminal = _Terminal()
        self._is_to_end = False
        self._process = subprocess.Popen(command, env=environment, process_group=0)
        self._group = self._process.pid
        if self._terminal.is_interactive:
            self._terminal.give(self._group)
        threading.Thread(target=self._wait, name="rq-broker-child", daemon=True).start()

    def _wait(self) -> None:
        while True:
            _, status = os.waitpid(self._process.pid, os.WUNTRACED)
            self._happenings.put(Ended(status))
            if not os.WIFSTOPPED(status):
                return

    def supervise(self) -> int:
        """Serve what happens until the command has ended; return its exit code, as a shell has it.

        What it started and left behind is ended too.
        """
        try:
            while True:
                match self._next():
                    case Ended(status) if os.WIFSTOPPED(status):
                        self._stopped(os.WSTOPSIG(status))
                    case Ended(status):
                        code = os.waitstatus_to_exitcode(status)
                        self._process.returncode = code  # Popen did not wait for it itself
                        break
                    case Signalled(number):
                        self._send(number)
                        if number in _ENDING:
                            self._end_in_time()
                    case EndIt():
                        self._send(signal.SIGTERM)
                        self._end_in_time()
                    case KillIt():
                        self._send(signal.SIGKILL)
        finally:
            self._terminal.take()
        self._end_rest()
        return code if code >= 0 else 128 - code

    def _next(self) -> Happening:
        while True:
            with suppress(Empty):
                return self._happenings.get(timeout=_WAKE_SECONDS)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._group, number)
        if number in (signal.SIGTERM, signal.SIGHUP):  # a stopped process would not see it
            with suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGCONT)

    def _end_in_time(self) -> None:
        if not self._is_to_end:
            self._is_to_end = True
            timer = threading.Timer(self._grace, self._happenings.put, [KillIt()])
            timer.daemon = True
            timer.start()

    def _stopped(self, number: int) -> None:
        """Serve that the command was stopped: it wants the terminal, or somebody typed Ctrl-Z."""
        if number in (signal.SIGTTIN, signal.SIGTTOU) and self._terminal.give(self._group):
            self._send(signal.SIGCONT)
        elif self._terminal.has_one and not self._is_to_end:
            self._terminal.take()
            os.killpg(0, signal.SIGSTOP)  # until the shell says fg or bg
            if self._terminal.is_interactive:
                self._terminal.give(self._group)
            self._send(signal.SIGCONT)

    def _end_rest(self) -> None:
        """End what the command left behind; wait for it where the command was to end."""
        self._send(signal.SIGTERM)
        ends = time.monotonic() + (self._grace if self._is_to_end else 0)
        while time.monotonic() < ends and _is_there(self._group):
            time.sleep(_POLL_SECONDS)
        if self._is_to_end:
            self._send(signal.SIGKILL)


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


class _Terminal:
    """The controlling terminal, and which process group is in its foreground."""

    def __init__(self) -> None:
        try:
            self._descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1
        self.is_interactive = self.has_one and sys.stdin.isatty() and sys.stdout.isatty()
        """Whether the command is to have the terminal at once: it is in no pipeline."""

    @property
    def has_one(self) -> bool:
        """Whether there is a terminal."""
        return self._descriptor >= 0

    def give(self, group: int) -> bool:
        """Put a group in the foreground, if this process is there; return whether it was."""
        if not self.has_one or os.tcgetpgrp(self._descriptor) != os.getpgrp():
            return False
        self._set(group)
        return True

    def take(self) -> None:
        """Put this process in the foreground again, unless somebody else is."""
        if self.has_one:
            with suppress(OSError):  # the terminal has hung up
                foreground = os.tcgetpgrp(self._descriptor)
                if foreground != os.getpgrp() and self._given == foreground:
                    self._set(os.getpgrp())

    _given = 0
    """The group that was put in the foreground last."""

    def _set(self, group: int) -> None:
        # Who is not in the foreground gets SIGTTOU for this, unless it blocks that signal.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        try:
            with suppress(OSError):  # the group has ended, or the terminal has hung up
                os.tcsetpgrp(self._descriptor, group)
                self._given = group
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
