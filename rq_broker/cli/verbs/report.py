"""`rq-broker report`: what happened to a type's jobs over time, by size or by owner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, TYPE

if TYPE_CHECKING:
    from rq_broker.client import Client


@click.command()
@TYPE
@click.option(
    "--by",
    type=click.Choice(["size", "owner"]),
    default="size",
    show_default=True,
    help="What jobs are grouped by.",
)
@click.option(
    "--step",
    type=click.Choice(["hour", "day"]),
    default="hour",
    show_default=True,
    help="`hour`: the last 24 hours; `day`: the last 30 days.",
)
@click.option(
    "--limit", type=click.IntRange(1, 50), default=10, show_default=True, help="Owners to name."
)
@JSON
@with_client
def report(client: Client, type_: str, by: str, step: str, limit: int, as_json: bool) -> None:
    """Tell how many jobs were granted, how long they waited, and what they had."""
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table

    told = client.report(type_, by=by, step=step, limit=limit)  # type: ignore[arg-type] # one of the choices
    if as_json:
        print_objects([told])
        return
    columns = [Column(by.upper(), gives_way=True)]
    titles = ("SUBMITTED", "GRANTED", "ENDED", "MEAN WAIT", "9 IN 10 WITHIN")
    columns += [Column(title, right=True) for title in titles]
    columns.append(Column("HAD, IN HOURS", gives_way=True))
    print_table((columns, _rows(told)))


def _rows(told: Mapping[str, Any]) -> Iterator[list[str]]:
    yield _row("all", told["total"])
    for group in told["groups"]:
        yield _row(_name(group), group)


def _name(group: Mapping[str, Any]) -> str:
    if "label" in group:
        return f"{group['label']} host{'' if group['label'] == '1' else 's'}"
    return group.get("owner_id") or ("other owners" if group.get("other") else "no owner")


def _row(name: str, sums: Mapping[str, Any]) -> list[str]:
    from rq_broker.cli.output.text import span

    waits = sums["waits"]
    ended = sums["done"] + sums["failed"] + sums["withdrawn"]
    times = ["-" if waits[key] is None else span(waits[key]) for key in ("mean", "p90")]
    had = ", ".join(f"{resource} {hours:.1f}" for resource, hours in sums["held"].items())
    return [name, *map(str, (sums["submitted"], sums["granted"], ended)), *times, had]
