"""Tables in columns, fitted to the terminal and whole where the output goes elsewhere.

Rows are printed in batches as they come, so that a list of any length takes no memory:
that is why this is no table of rich, which keeps all rows. Widths are those of rich, by cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rich.cells import cell_len, set_cell_size

from rq_broker.cli.output.folding import folded
from rq_broker.cli.output.screen import has_colours, show, styled, width
from rq_broker.cli.output.text import harmless

_BATCH = 500
"""Rows whose widths decide those of the columns, as one page of a list has."""
_GAP = "  "
_LEAST = 6
"""Cells that a column keeps when it is cut to fit."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    right: bool = False
    """Whether its cells are aligned to the right, as numbers are."""
    gives_way: bool = False
    """Whether it is cut where the terminal is too narrow for all."""
    folds: bool = False
    """Whether its text goes on in further lines instead of being cut; of a last column only."""
    style: Callable[[str], str] = lambda _: ""
    """The style of a cell, by its text."""


Table = tuple[Sequence[Column], Iterable[Sequence[str]]]
"""Columns, and the rows below them."""


def print_table(table: Table) -> None:
    """Print rows below the titles of their columns; of an empty table the titles alone."""
    columns, rows = table
    remaining = iter(rows)
    titles = [column.title for column in columns]
    widths = [cell_len(title) for title in titles]
    is_first = True
    while (batch := [list(map(harmless, row)) for row in islice(remaining, _BATCH)]) or is_first:
        widths = widened(widths, batch)
        most = width()
        sizes = widths if most is None else fitted(columns, widths, most)
        if is_first:
            show(_line(columns, sizes, titles, most, is_title=True))
        for row in batch:
            for line in _folded(columns, sizes, row) if most else [row]:
                show(_line(columns, sizes, line, most))
        is_first = False


def widened(widths: Sequence[int], rows: Iterable[Sequence[str]]) -> list[int]:
    """Return the widths that columns need for these rows too."""
    needed = list(widths)
    for row in rows:
        needed = [max(size, cell_len(cell)) for size, cell in zip(needed, row, strict=True)]
    return needed


def fitted(columns: Sequence[Column], widths: Sequence[int], most: int) -> list[int]:
    """Return the widths cut to a line: the widest columns that give way are cut first."""
    sizes = list(widths)
    flexible = [index for index, column in enumerate(columns) if column.gives_way]
    least = [max(_LEAST, cell_len(column.title)) for column in columns]
    for _ in range(sum(sizes) + len(_GAP) * (len(sizes) - 1) - most):
        wide = [index for index in flexible if sizes[index] > least[index]]
        if not wide:
            break
        sizes[max(wide, key=sizes.__getitem__)] -= 1
    return sizes


def _folded(
    columns: Sequence[Column], widths: Sequence[int], row: Sequence[str]
) -> Iterator[Sequence[str]]:
    """Yield a row, and those that its last cell goes on in if that folds."""
    first, *others = folded(row[-1], widths[-1]) if columns[-1].folds else [row[-1]]
    yield [*row[:-1], first]
    for text in others:
        yield [*[""] * (len(row) - 1), text]


def _line(
    columns: Sequence[Column],
    widths: Sequence[int],
    row: Sequence[str],
    most: int | None,
    *,
    is_title: bool = False,
) -> str:
    """Return a row as a line of at most so many cells; None: of any number."""
    line, taken = "", 0
    for index, (column, size, cell) in enumerate(zip(columns, widths, row, strict=True)):
        text = cut(cell, size)
        padding = " " * (size - cell_len(text))
        if column.right:
            text = padding + text
        elif index < len(columns) - 1:
            text += padding
        gap = _GAP if index else ""
        if most is not None and taken + len(gap) + cell_len(text) > most:
            text = cut(text.rstrip(), max(0, most - taken - len(gap)))
            return line + gap + text if text else line
        line += gap + styled(text, "bold" if is_title else column.style(cell))
        taken += len(gap) + cell_len(text)
    return line if has_colours() else line.rstrip()


def cut(text: str, size: int) -> str:
    """Return a text of at most this many cells; one that is cut ends in `…`."""
    if cell_len(text) <= size:
        return text
    return set_cell_size(text, size - 1).rstrip() + "…" if size else ""
