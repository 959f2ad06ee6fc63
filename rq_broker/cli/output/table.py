"""Tables in columns, fitted to the terminal and whole where the output goes elsewhere.

Rows are printed in batches as they come, so that a list of any length takes no memory:
that is why this is no table of rich, which keeps all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.cells import cell_len

from rq_broker.cli.output.columns import Column, Layout, widened
from rq_broker.cli.output.screen import show, width
from rq_broker.cli.output.text import harmless

_BATCH = 500
"""Rows whose widths decide those of the columns, as one page of a list has."""

Table = tuple[Sequence[Column], Iterable[Sequence[str]]]
"""Columns, and the rows below them."""


def print_table(table: Table) -> None:
    """Print rows below the titles of their columns; of an empty table the titles alone."""
    columns, rows = table
    remaining = iter(rows)
    widths = [cell_len(column.title) for column in columns]
    is_first = True
    while (batch := [list(map(harmless, row)) for row in islice(remaining, _BATCH)]) or is_first:
        widths = widened(widths, batch)
        layout = Layout(columns, widths, width())
        if is_first:
            show(layout.titles())
        for row in batch:
            for line in layout.lines(row):
                show(line)
        is_first = False
