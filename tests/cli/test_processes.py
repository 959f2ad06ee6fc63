"""Commands as processes of their own: the terminal they leave behind, and a reader that goes."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from rq_broker.cli.exits import ExitCode
from rq_broker.store.embedded import Server
from tests import making
from tests.cli.served import Served, served
from tests.processes import TIMEOUT_S

PROGRAM = (sys.executable, "-m", "rq_broker")


@pytest.fixture(scope="module")
def api(redis_server: Server) -> Iterator[Served]:
    with served(redis_server.url) as running:
        for number in range(20):
            running.run(making.submit(running.broker, f"j{number}", "processes"))
        yield running


def _read_until(primary: int, part: bytes) -> bytes:
    """Read from a terminal until it shows something."""
    screen = b""
    while part not in screen:
        screen += os.read(primary, 65536)
    return screen


@pytest.mark.parametrize("ending", ["q", "\x03", "SIGTERM"])
def test_top_leaves_the_terminal_as_it_was(api: Served, ending: str) -> None:
    """However it ends, the screen and the modes of the terminal are those of before."""
    primary, secondary = os.openpty()
    termios.tcsetwinsize(secondary, (24, 100))
    before = termios.tcgetattr(secondary)

    def own_the_terminal() -> None:  # so that Ctrl-C is a signal to it
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*PROGRAM, "top", "processes", "--server", api.url],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**os.environ, "TERM": "xterm-256color"},
        preexec_fn=own_the_terminal,  # noqa: PLW1509 - there is no other way to say it
    )
    try:
        screen = _read_until(primary, b"j0")
        assert b"\x1b[?1049h" in screen
        if ending == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            os.write(primary, ending.encode())
        _read_until(primary, b"\x1b[?1049l")
        assert process.wait(TIMEOUT_S) == (143 if ending == "SIGTERM" else 0)
        assert termios.tcgetattr(secondary) == before
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        os.close(primary)
        os.close(secondary)


def test_a_reader_that_goes_is_no_error(api: Served) -> None:
    """Whoever reads the output may stop, as `head` does: nothing is said about it."""
    process = subprocess.Popen(
        [*PROGRAM, "list", "processes", "--server", api.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (ExitCode.PIPE_CLOSED, b"")
