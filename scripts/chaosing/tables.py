"""The tables that chaos.py prints at its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaosing.book import Book

MOST_SHOWN = 5
"""Sentences shown of a rule that was broken."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule, what was seen of it, and what broke it."""

    rule: str
    seen: str
    broken: Sequence[str] = ()


def acts(book: Book) -> str:
    """Render what was done."""
    names = sorted(book.done.keys() | book.refused.keys())
    return _table(
        ("done to the cloud and the broker", "times", "refused by the cloud"),
        [(name, str(book.done[name]), str(book.refused[name] or "")) for name in names],
    )


def sightings(book: Book, statuses: Iterable[tuple[tuple[str, str], int]]) -> str:
    """Render what clients saw, and how the jobs ended."""
    rows = [(name, str(count)) for name, count in sorted(book.seen.items())]
    rows += [
        (f"boots failed: {cause}", str(count)) for cause, count in sorted(book.failed_boots.items())
    ]
    rows += [
        (f"jobs of {manner} clients: {status}", str(count))
        for (manner, status), count in sorted(statuses)
    ]
    return _table(("seen", "times"), rows)


def boots(book: Book) -> str:
    """Say how many jobs booted, and why the other boots failed."""
    booted = f"{book.seen['servers booted where granted']} jobs booted"
    failed = ", ".join(f"{count} failed: {cause}" for cause, count in book.failed_boots.items())
    return f"{booted}; {failed}" if failed else booted


def verdicts(rules: Iterable[Verdict]) -> str:
    """Render which rules held."""
    text = _table(
        ("rule", "seen", "verdict"),
        [(rule.rule, rule.seen, "BROKEN" if rule.broken else "held") for rule in rules],
    )
    broken = [
        f"  {rule.rule}: {sentence}" for rule in rules for sentence in rule.broken[:MOST_SHOWN]
    ]
    return "\n".join([text, *broken])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])
