"""The screen of `rq-broker top`: drawn by rich, left by q or Ctrl-C, the terminal as it was."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from rq_broker.cli.output.table import Column, Table, fitted, widened
from rq_broker.cli.output.text import harmless
from rq_broker.cli.verbs.listing import STATUSES
from rq_broker.cli.verbs.top import Look, tables_of

KEY_SECONDS = 0.1
"""Seconds that a key waits at most until it is obeyed."""
_PARTS = (("Queue", 0.5), ("Hosts", 0.25), ("Callbacks", 0.25))
"""What is shown below each other, and its part of the screen's lines."""
Read = Callable[[str | None], Look]


class Reader:
    """Looks at the broker again and again, in a thread of its own: keys never wait for it."""

    def __init__(self, read: Read, type_: str | None, interval: float) -> None:
        self._read = read
        self.type = type_
        self._interval = interval
        self.look: Look | None = None
        self.trouble = ""
        self._wake = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def show(self, type_: str) -> None:
        """Go on with another type, at once."""
        self.type = type_
        self._wake.set()

    def _run(self) -> None:
        while True:
            try:
                self.look, self.trouble = self._read(self.type), ""
            except Exception as error:  # shown; the next look may succeed
                self.trouble = str(error) or type(error).__name__
            self._wake.wait(self._interval)
            self._wake.clear()


def show_live(read: Read, type_: str | None, interval: float) -> None:
    """Draw until q or Ctrl-C."""
    console = Console(highlight=False)
    reader = Reader(read, type_, interval)
    with _keys() as key, Live(console=console, screen=True, auto_refresh=False) as live:
        while (pressed := key()) != "q":
            if pressed in ("n", "p") and reader.look:
                reader.show(_neighbour(reader.look, 1 if pressed == "n" else -1))
            live.update(_drawn(console, reader), refresh=True)


def _neighbour(look: Look, step: int) -> str:
    names = sorted(look.types)
    index = names.index(look.type) if look.type in names else -step
    return names[(index + step) % len(names)] if names else look.type


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Yield what returns the next key, or "" after a while; the terminal is restored behind it."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    terminate = signal.signal(signal.SIGTERM, _exit)

    def key() -> str:
        ready, _, _ = select.select([descriptor], [], [], KEY_SECONDS)
        return os.read(descriptor, 1).decode(errors="replace") or "q" if ready else ""

    try:
        tty.setcbreak(descriptor)
        yield key
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, terminate)


def _exit(*_: object) -> None:
    raise SystemExit(143)


def _drawn(console: Console, reader: Reader) -> Group:
    look, width, height = reader.look, console.size.width, console.size.height
    head = Text(f"rq-broker  {time.strftime('%H:%M:%S')}", style="bold")
    if look:
        counts = look.types.get(look.type, {})
        head.append(f"  {harmless(look.type)}", style="bold cyan")
        head.append("  " + ", ".join(f"{counts.get(name, 0)} {name}" for name in STATUSES))
    head.truncate(width, overflow="ellipsis")
    parts: list[Text | RichTable] = [head]
    lines = height - 2 - 2 * len(_PARTS)  # the head, the last line, and two titles of each part
    for (title, part), table in zip(_PARTS, tables_of(look) if look else (), strict=False):
        parts += _part(title, table, max(1, int(lines * part)), width)
    parts.append(_foot(reader.trouble, width))
    return Group(*parts)


def _foot(trouble: str, width: int) -> Text:
    keys = "q quits, n and p go to the next and the previous type"
    foot = Text(harmless(trouble) or keys, style="bold red" if trouble else "dim")
    foot.truncate(width, overflow="ellipsis")
    return foot


def _part(title: str, table: Table, most: int, width: int) -> tuple[Text, RichTable]:
    """Return the first rows of a table below its title, which says how many there are in all."""
    columns, rows = table
    listed = [[harmless(cell) for cell in row] for row in rows]
    shown = listed[:most]
    sizes = fitted(columns, widened([cell_len(column.title) for column in columns], shown), width)
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, size in zip(columns, sizes, strict=True):
        side: Literal["left", "right"] = "right" if column.right else "left"
        drawn.add_column(column.title, justify=side, width=size, no_wrap=True, overflow="ellipsis")
    for row in shown:
        drawn.add_row(*map(_cell, columns, row))
    of_all = f": {len(shown)} of {len(listed)}" if len(shown) < len(listed) else ""
    return Text(f"{title}{of_all}", style="bold reverse"), drawn


def _cell(column: Column, text: str) -> Text:
    return Text(text, style=column.style(text))
