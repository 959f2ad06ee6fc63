"""Where `rq-broker move` puts a job, and what that would change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.verbs.listing import eta_words

if TYPE_CHECKING:
    from rq_broker.client import Client


def place_of(
    before: str | None, after: str | None, front: bool, back: bool, priority: int | None
) -> dict[str, Any]:
    """Return the one place that the options name. Raises click.UsageError for none or several."""
    places = {
        "before": before,
        "after": after,
        "position": "front" if front else "back" if back else None,
        "priority": priority,
    }
    said = {name: value for name, value in places.items() if value is not None}
    if len(said) != 1 or (front and back):
        raise click.UsageError("give one of --before, --after, --front, --back and --priority")
    return said


def proposal_of(
    client: Client, type_: str, request_id: str, owner_id: str, place: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the move of a job in the words of a what-if, which counts positions."""
    job_named = {"request_id": request_id, **({"owner_id": owner_id} if owner_id else {})}
    neighbour = place.get("before") or place.get("after")
    if neighbour is None:
        return {**job_named, **place}
    job = client.read(type_, request_id, owner_id=owner_id)
    other = client.read(type_, neighbour, owner_id=owner_id)
    if other["Position"] is None:
        raise click.UsageError(f"{neighbour} does not wait: a job is put next to a waiting one")
    position = other["Position"] + ("after" in place)
    # Once the job has left its place, those behind it are one further in front.
    if job["Position"] is not None and job["Position"] < position:
        position -= 1
    return {**job_named, "position": position}


def print_moves(moves: Iterable[Mapping[str, Any]]) -> None:
    """Print whose start changes by how much, the largest change first."""
    from rq_broker.cli.output.table import Column, print_table
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
