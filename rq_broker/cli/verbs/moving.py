"""Where `rq-broker move` puts a job, and what that would change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from rq_broker.cli.verbs.listing import eta_words


def place_of(
    before: str | None,
    after: str | None,
    front: bool,
    back: bool,
    to: int | None,
    priority: int | None,
) -> dict[str, Any]:
    """Return the one place that the options name. Raises click.UsageError for none or several."""
    ends = [end for end, is_given in (("front", front), ("back", back)) if is_given]
    positions: list[Any] = [*ends, *(() if to is None else (to,))]
    places = [("position", position) for position in positions] + [
        (name, value)
        for name, value in (("before", before), ("after", after), ("priority", priority))
        if value is not None
    ]
    if len(places) != 1:
        raise click.UsageError(
            "give one of --before, --after, --front, --back, --to and --priority"
        )
    return dict(places)


def print_preview(request_id: str, told: Mapping[str, Any]) -> None:
    """Print whose start changes by how much, and what the move would do in all."""
    from rq_broker.cli.output.text import harmless

    print_moves(told["moves"])
    counts = (
        (told["later"], "later"),
        (told["sooner"], "sooner"),
        (told["same"], "at the same time"),
    )
    others = ", ".join(f"{count} {words}" for count, words in counts if count)
    click.echo()
    if told["was"] == told["position"]:
        click.echo(
            f"{harmless(request_id)} is at place {told['was']} already: nothing would change."
        )
        return
    click.echo(f"{harmless(request_id)} would go from place {told['was']} to {told['position']}.")
    if others:
        click.echo(f"The jobs between would start: {others}.")
    if unknown := told["unknown"]:
        have = "has" if unknown == 1 else "have"
        click.echo(f"Of the jobs between, {unknown} {have} no known start.")
    click.echo(f"Nothing was moved. To do just this: --if-match {told['line']}")


def print_moves(moves: Iterable[Mapping[str, Any]]) -> None:
    """Print whose start changes by how much, the largest change first."""
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.table import print_table
    from rq_broker.cli.output.text import span

    def change(seconds: float | None) -> str:
        if seconds is None:
            return "-"
        return f"{span(abs(seconds))} {'later' if seconds > 0 else 'sooner'}" if seconds else "none"

    columns = (
        Column("JOB", gives_way=True),
        Column("STARTS IN", right=True),
        Column("THEN IN", right=True),
        Column("CHANGE", style=lambda cell: "red" if cell.endswith("later") else "green"),
    )
    rows = (
        [
            move["request_id"] or "(another owner's)",
            eta_words(move["before"]),
            eta_words(move["after"]),
            change(move["seconds"]),
        ]
        for move in moves
    )
    print_table((columns, rows))
