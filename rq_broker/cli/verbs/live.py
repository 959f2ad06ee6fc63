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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rq_broker.cli.output.columns import Layout, widened
from rq_broker.cli.output.table import Table
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


def _drawn(console: Console, reader: Reader) -> Text:
    look, width, height = reader.look, console.size.width, console.size.height
    head = Text(f"rq-broker  {time.strftime('%H:%M:%S')}", style="bold")
    if look:
        counts = look.types.get(look.type, {})
        head.append(f"  {harmless(look.type)}", style="bold cyan")
        head.append("  " + ", ".join(f"{counts.get(name, 0)} {name}" for name in STATUSES))
    head.truncate(width, overflow="ellipsis")
    parts = [head]
    if look:
        shown = [_lines_of(table, width, height) for table in tables_of(look)]
        # Beside the lines of the rows there are the head, the last line, and two titles of a part.
        room = _shared(height - 2 - 2 * len(_PARTS), [sum(map(len, rows)) for _, rows in shown])
        for (title, _), (titles, rows), lines in zip(_PARTS, shown, room, strict=True):
            parts += _part(title, titles, rows, lines)
    parts.append(_foot(reader.trouble, width))
    return Text("\n").join(parts)


def _foot(trouble: str, width: int) -> Text:
    keys = "q quits, n and p go to the next and the previous type"
    foot = Text(harmless(trouble) or keys, style="bold red" if trouble else "dim")
    foot.truncate(width, overflow="ellipsis")
    return foot


def _lines_of(table: Table, width: int, most: int) -> tuple[Text, list[list[Text]]]:
    """Return the titles of a table, and the lines of each row; those behind `most` are empty."""
    columns, rows = table
    listed = [[harmless(cell) for cell in row] for row in rows]
    widths = widened([cell_len(column.title) for column in columns], listed[:most])
    layout = Layout(columns, widths, width)
    lines = [
        list(map(Text.from_ansi, layout.lines(row, folds=False))) if place < most else []
        for place, row in enumerate(listed)
    ]
    return Text.from_ansi(layout.titles()), lines


def _shared(lines: int, needed: Sequence[int]) -> list[int]:
    """Share lines out among the parts; what the later ones need not, the first one gets."""
    shares = [
        max(1, min(int(lines * part), need)) for (_, part), need in zip(_PARTS, needed, strict=True)
    ]
    shares[0] = max(1, lines - sum(shares[1:]))
    return shares


def _part(title: str, titles: Text, rows: Sequence[Sequence[Text]], most: int) -> Iterator[Text]:
    """Yield the first rows of a table below its title, which says how many there are in all."""
    shown: list[Text] = []
    count = 0
    for lines in rows:
        if not lines or len(shown) + len(lines) > most:
            break
        shown += lines
        count += 1
    of_all = f": {count} of {len(rows)}" if count < len(rows) else ""
    yield Text(f"{title}{of_all}", style="bold reverse")
    yield titles
    yield from shown
