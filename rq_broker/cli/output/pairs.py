"""Facts below each other: a name and what it is, folded to the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from rich.cells import cell_len, chop_cells

from rq_broker.cli.output.screen import show, styled, width
from rq_broker.cli.output.text import harmless

_LEAST = 20
"""Cells that a value has at least: a narrower terminal breaks lines by itself."""


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, the values aligned; where nothing is cut each pair is one line."""
    listed = [(harmless(name), harmless(value)) for name, value in pairs]
    indent = max((cell_len(name) for name, _ in listed), default=0) + 2
    most = width()
    for name, value in listed:
        lines = [value] if most is None else folded(value, max(_LEAST, most - indent))
        show(styled(name, "bold") + " " * (indent - cell_len(name)) + lines[0])
        for line in lines[1:]:
            show(" " * indent + line)


def folded(text: str, size: int) -> list[str]:
    """Break a text into lines of so many cells, between words where it has any."""
    lines: list[str] = []
    line = ""
    words = chain.from_iterable(chop_cells(word, size) for word in text.split(" ") if word)
    for word in words:
        if line and cell_len(line) + 1 + cell_len(word) > size:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]
