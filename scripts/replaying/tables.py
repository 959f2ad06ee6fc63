"""Renders what replays gave as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from replaying.measures import Measures

MINUTE, HOUR = 60.0, 3600.0
HEADER = (
    "policy",
    "mean wait, min",
    "p95 wait, h",
    "largest wait, h",
    "bounded slowdown",
    "utilisation",
    "widest 5 %: mean wait, h",
    "widest 5 %: largest wait, h",
)


class Ratios(NamedTuple):
    """One policy's waits as parts of another's."""

    mean_wait: float
    widest_mean_wait: float
    widest_largest_wait: float
    largest_wait: float


def ratios(measures: Measures, base: Measures) -> Ratios:
    """Divide the waits of one policy by those of another on the same jobs."""
    return Ratios(
        mean_wait=ratio(measures.mean_wait, base.mean_wait),
        widest_mean_wait=ratio(measures.widest_mean_wait, base.widest_mean_wait),
        widest_largest_wait=ratio(measures.widest_largest_wait, base.widest_largest_wait),
        largest_wait=ratio(measures.largest_wait, base.largest_wait),
    )


def ratio(value: float, base: float) -> float:
    """Divide; two waits of 0 are equal, and any other wait is infinitely longer than 0."""
    if base:
        return value / base
    return inf if value else 1.0


def header() -> list[str]:
    """Return the first two lines of the table of policies."""
    return [row(HEADER), row(["---", *["---:"] * (len(HEADER) - 1)])]


def policy_row(label: str, measures: Measures) -> str:
    """Return the line of one policy."""
    return row(
        [
            label,
            f"{measures.mean_wait / MINUTE:,.1f}",
            f"{measures.p95_wait / HOUR:,.2f}",
            f"{measures.largest_wait / HOUR:,.1f}",
            f"{measures.bounded_slowdown:,.1f}",
            f"{measures.utilisation:.1%}",
            f"{measures.widest_mean_wait / HOUR:,.1f}",
            f"{measures.widest_largest_wait / HOUR:,.1f}",
        ]
    )


def ratio_row(label: str, measures: Measures, base: Measures) -> str:
    """Return the line that divides one policy's figures by another's."""
    points = 100 * (measures.utilisation - base.utilisation)
    parts = ratios(measures, base)
    return row(
        [
            label,
            f"{parts.mean_wait:.2f}",
            f"{ratio(measures.p95_wait, base.p95_wait):.2f}",
            f"{parts.largest_wait:.2f}",
            f"{ratio(measures.bounded_slowdown, base.bounded_slowdown):.2f}",
            f"{points:+.1f} points",
            f"{parts.widest_mean_wait:.2f}",
            f"{parts.widest_largest_wait:.2f}",
        ]
    )


def row(cells: Iterable[str]) -> str:
    """Return one line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
