"""A bar on the terminal while many things are done one after another."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def progress(items: Sequence[_Item], *, least: int) -> Iterator[_Item]:
    """Yield the items; with so many at least, on a terminal, with a bar on standard error."""
    if len(items) < least or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and most do without
    from rich.progress import track  # noqa: PLC0415 - likewise

    console = Console(stderr=True)
    yield from track(items, description="", console=console, transient=True)
