"""Facts below each other: a name and what it is, folded to the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from rq_broker.cli.output.folding import folded
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
