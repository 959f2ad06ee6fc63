"""Starts and ends processes for another process, and ends them all when that one dies.

It reads requests from stdin and answers each on stdout, one line of JSON. The end of stdin means
that the other process is gone, however it ended: then every descendant is killed, those that have
become daemons included. Runs by itself, on the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
"""Calls of prctl(2): a signal at the parent's death; orphans of my descendants become mine."""
prctl = ctypes.CDLL(None).prctl
children: dict[str, subprocess.Popen[bytes]] = {}


def start(name: str, command: list[str], environment: dict[str, str], log: str) -> int:
    """Start a process in a session of its own; return its id."""
    with Path(log).open("ab") as out:
        children[name] = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=environment,
            start_new_session=True,
            # This process has one thread, so nothing can hold a lock at the fork.
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - see above
        )
    return children[name].pid


def stop(name: str, number: int, patience: float) -> int | None:
    """Send a signal to a process, after `patience` seconds SIGKILL; return its exit code.

    Its own children get the same signal at SIGKILL only: a service ends them itself.
    """
    child = children.pop(name, None)
    if child is None:
        return None
    below = descendants(child.pid)
    _send(child.pid, number)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        number = signal.SIGKILL
        _send(child.pid, number)
    for process in below:
        _send(process, signal.SIGKILL)
    return child.wait()


def running(name: str) -> bool:
    """Tell whether a process runs."""
    return name in children and children[name].poll() is None


def pause(name: str, number: int) -> None:
    """Send a signal, SIGSTOP or SIGCONT, to a process and all below it."""
    for process in [children[name].pid, *descendants(children[name].pid)]:
        _send(process, number)


def descendants(process: int) -> list[int]:
    """Return the ids of all processes below one."""
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            below = [int(word) for word in task.read_text().split()]
        except OSError:
            continue
        found += below + [each for child in below for each in descendants(child)]
    return found


def end_all() -> None:
    """Kill all descendants, again until none is left."""
    for _ in range(200):
        below = descendants(os.getpid())
        for process in below:
            _send(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


VERBS: dict[str, Callable[..., object]] = {
    "start": start,
    "stop": stop,
    "running": running,
    "pause": pause,
}


def main() -> None:
    """Serve until stdin ends."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # stdin tells when to end
    try:
        for line in sys.stdin:
            request: dict[str, Any] = json.loads(line)
            verb = VERBS[request.pop("verb")]
            try:
                answer = {"result": verb(**request)}
            except (OSError, KeyError) as error:
                answer = {"error": repr(error)}
            print(json.dumps(answer), flush=True)
    finally:
        end_all()


if __name__ == "__main__":
    main()
