"""Runs a command of this process on a real terminal: a pty on its standard streams."""

from __future__ import annotations

import os
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO
from unittest.mock import patch

from rq_broker import cli


@dataclass(frozen=True)
class Shown:
    """How a command ended, and all that the terminal got."""

    exit_code: int
    screen: str


def on_terminal(
    *words: str,
    keys: str = "",
    after: str = "",
    columns: int = 80,
    variables: Mapping[str, str] | None = None,
) -> Shown:
    """Run `rq-broker` with these words on a terminal of so many columns.

    Args:
        words: The arguments.
        keys: What is typed, once the terminal shows `after`.
        after: A part of the output; "" to type at once.
        columns: Width of the terminal; it has 24 lines.
        variables: Environment variables beside TERM.
    """
    primary, secondary = os.openpty()
    termios.tcsetwinsize(secondary, (24, columns))
    screen = bytearray()
    reader = threading.Thread(target=_read, args=(primary, screen, keys, after.encode()))
    reader.start()
    environment = {"TERM": "xterm-256color", **(variables or {})}
    try:
        with _streams_on(secondary), patch.dict(os.environ, environment):
            os.environ.pop("COLUMNS", None)  # click's runner and some shells set it
            code = _exit_code(words)
    finally:
        os.close(secondary)
        reader.join()
        os.close(primary)
    return Shown(code, screen.decode(errors="replace").replace("\r\n", "\n"))


def _exit_code(words: tuple[str, ...]) -> int:
    try:
        cli.main(words, prog_name="rq-broker")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    return 0


def _read(primary: int, screen: bytearray, keys: str, after: bytes) -> None:
    left = keys.encode()
    while True:
        if left and after in screen:
            os.write(primary, left)
            left = b""
        try:
            part = os.read(primary, 65536)
        except OSError:  # the other side is closed
            return
        if not part:
            return
        screen += part


@contextmanager
def _streams_on(descriptor: int) -> Iterator[None]:
    """Let the three standard streams, and their descriptors, be a terminal meanwhile."""
    with ExitStack() as stack:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(descriptor, number)
            stream = open(  # noqa: SIM115 - of a descriptor, and closed with the stack
                number, "r" if number == 0 else "w", encoding="utf-8", closefd=False, newline=None
            )
            stack.callback(_close, stream)
            stack.enter_context(patch.object(sys, name, stream))
            stack.enter_context(patch.object(sys, f"__{name}__", stream))
        yield
        sys.stdout.flush()
        sys.stderr.flush()


def _close(stream: TextIO) -> None:
    with suppress(OSError):
        stream.close()
