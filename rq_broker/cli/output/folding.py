"""Breaks a text into lines that fit, by the cells that its letters take."""

from __future__ import annotations

from itertools import chain

from rich.cells import cell_len, chop_cells


def folded(text: str, size: int) -> list[str]:
    """Break a text into lines of so many cells, between words where it has any.

    rich's own `Text.wrap` takes a Console, whose import takes four times as long as that of the
    cells used here, and every `rq-broker list` would wait for it.
    """
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
