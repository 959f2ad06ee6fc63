"""Columns of a table, and how they are fitted to a terminal; widths are those of rich, by cells.

Where a terminal is too narrow, first the text of the last column goes below its row, then the least
important columns are left out, and then the widest ones are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from rq_broker.cli.output.folding import folded
from rq_broker.cli.output.screen import has_colours, styled

_GAP = "  "
_INDENT = "    "
"""What stands before a text that goes below its row."""
_LEAST = 6
"""Cells that a column keeps when it is cut to fit."""
_LEGIBLE = 10
"""Cells that a column which is cut should keep: before that, others are left out."""
_READABLE = 40
"""Cells below which a sentence goes below its row. With fewer it takes more lines beside the row
than below it; with more, half of a wide terminal's rows get a second line."""


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
    goes_below: bool = False
    """Whether it is a sentence that goes below its row where little room is left for it, and folds
    there; of a last column only."""
    left_out: int = 0
    """The place in which it is left out where the terminal is too narrow, 1 = first; 0: never."""
    style: Callable[[str], str] = lambda _: ""
    """The style of a cell, by its text."""


class Layout:
    """Which columns are shown, and how wide. `most`: cells of a line; None: there is no limit."""

    def __init__(self, columns: Sequence[Column], widths: Sequence[int], most: int | None) -> None:
        self._columns = columns
        self._most = most
        self._shown = list(range(len(columns)))
        """Indexes of the columns that are in the line."""
        self.is_below = False
        """Whether the last column is below."""
        if most is None:
            self._sizes = list(widths)
        else:
            self._fit(widths, most)

    def _fit(self, widths: Sequence[int], most: int) -> None:
        last = len(self._columns) - 1
        self._sizes = self._fitted(widths, most)
        if self._columns[last].goes_below and self._sizes[-1] < min(widths[last], _READABLE):
            self.is_below = True
            self._shown.remove(last)
        for index in self._by_importance():
            if self._legible(widths) <= most:
                break
            self._shown.remove(index)
        self._sizes = self._fitted(widths, most)

    def _by_importance(self) -> list[int]:
        """List the columns that may be left out, the least important first."""
        indexes = [index for index in self._shown if self._columns[index].left_out]
        return sorted(indexes, key=lambda index: self._columns[index].left_out)

    def _legible(self, widths: Sequence[int]) -> int:
        """Return the cells that a line takes if columns are cut as far as they should be."""
        sizes = [
            min(widths[index], max(_LEGIBLE, cell_len(self._columns[index].title)))
            if self._columns[index].gives_way
            else widths[index]
            for index in self._shown
        ]
        return sum(sizes) + len(_GAP) * (len(sizes) - 1)

    def _fitted(self, widths: Sequence[int], most: int) -> list[int]:
        """Return the widths of what is shown: the widest columns that give way are cut first."""
        columns = [self._columns[index] for index in self._shown]
        sizes = [widths[index] for index in self._shown]
        flexible = [place for place, column in enumerate(columns) if column.gives_way]
        least = [max(_LEAST, cell_len(column.title)) for column in columns]
        for _ in range(sum(sizes) + len(_GAP) * (len(sizes) - 1) - most):
            wide = [place for place in flexible if sizes[place] > least[place]]
            if not wide:
                break
            sizes[max(wide, key=sizes.__getitem__)] -= 1
        return sizes

    # Lines

    def titles(self) -> str:
        """Return the line of the titles."""
        return self._line([column.title for column in self._columns], is_title=True)

    def lines(self, row: Sequence[str], *, folds: bool = True) -> Iterator[str]:
        """Yield the lines of a row. `folds`: whether a text may take several of them."""
        most, last = self._most, self._columns[-1]
        if most is None:
            yield self._line(row)
        elif self.is_below:
            yield self._line(row)
            yield from self._below(row[-1], most, folds=folds)
        elif folds and (last.folds or last.goes_below):
            first, *others = folded(row[-1], self._sizes[-1])
            yield self._line([*row[:-1], first])
            for text in others:
                yield self._line([*[""] * (len(row) - 1), text])
        else:
            yield self._line(row)

    def _below(self, text: str, most: int, *, folds: bool) -> Iterator[str]:
        if text in ("", "-"):
            return
        size = max(1, most - len(_INDENT))
        for line in folded(text, size) if folds else [cut(text, size)]:
            yield _INDENT + line

    def _line(self, row: Sequence[str], *, is_title: bool = False) -> str:
        """Return a row as a line that is not longer than it may be."""
        line, taken, most = "", 0, self._most
        for place, (index, size) in enumerate(zip(self._shown, self._sizes, strict=True)):
            column, cell = self._columns[index], row[index]
            text = cut(cell, size)
            padding = " " * (size - cell_len(text))
            if column.right:
                text = padding + text
            elif place < len(self._shown) - 1:
                text += padding
            gap = _GAP if place else ""
            if most is not None and taken + len(gap) + cell_len(text) > most:
                text = cut(text.rstrip(), max(0, most - taken - len(gap)))
                return line + gap + text if text else line
            line += gap + styled(text, "bold" if is_title else column.style(cell))
            taken += len(gap) + cell_len(text)
        return line if has_colours() else line.rstrip()


def widened(widths: Sequence[int], rows: Iterable[Sequence[str]]) -> list[int]:
    """Return the widths that columns need for these rows too."""
    needed = list(widths)
    for row in rows:
        needed = [max(size, cell_len(cell)) for size, cell in zip(needed, row, strict=True)]
    return needed


def cut(text: str, size: int) -> str:
    """Return a text of at most this many cells; one that is cut ends in `…`."""
    if cell_len(text) <= size:
        return text
    return set_cell_size(text, size - 1).rstrip() + "…" if size else ""
