"""`rq-broker top`: the queue, the hosts and the callbacks of a type, live on the whole screen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.completing import complete_types
from rq_broker.cli.connecting import with_client
from rq_broker.cli.output.screen import is_terminal, may_ask
from rq_broker.cli.verbs.arguments import JSON

if TYPE_CHECKING:
    from rq_broker.cli.output.table import Table
    from rq_broker.client import Client

MOST_JOBS = 100
"""Jobs that one look reads: more fit on no screen."""
LIVE = ("queued", "granted", "running")
"""Statuses of the jobs that are shown: ended ones, which are kept for days, would fill it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is shown of one type at one moment."""

    type: str
    types: Mapping[str, Mapping[str, int]]
    """Every type → status → number of jobs."""
    jobs: Sequence[Mapping[str, Any]]
    hosts: Sequence[Mapping[str, Any]]
    destinations: Sequence[Mapping[str, Any]]


@click.command()
@click.argument("type_", metavar="[TYPE]", required=False, shell_complete=complete_types)
@click.option("--interval", type=click.FloatRange(0.2, 60), default=2.0, show_default=True,
              help="Seconds between two looks.")  # fmt: skip
@JSON
@with_client
def top(client: Client, type_: str | None, interval: float, as_json: bool) -> None:
    """Show a type's queue, hosts and callbacks, live.

    Without TYPE, of the type with most jobs. The waiting jobs come first, then those that hold
    capacity; ended ones are only counted. q or Ctrl-C ends it, n and p go to the next type and the
    previous one. Where the output is no terminal, one look is printed.
    """
    from rq_broker.cli.output.objects import print_objects

    if as_json:
        shown = look(client, type_)
        print_objects([{name: getattr(shown, name) for name in Look.__slots__}])
    elif is_terminal() and may_ask() and os.environ.get("TERM") != "dumb":
        from rq_broker.cli.verbs.live import show_live

        with suppress(KeyboardInterrupt):
            show_live(lambda wanted: look(client, wanted), type_, interval)
    else:
        _print(look(client, type_))


def look(client: Client, type_: str | None) -> Look:
    """Read what is shown of a type, by default of the one with most jobs.

    What the identity may not read is empty.
    """
    from rq_broker.domain.errors import Forbidden

    types = client.types()
    name = type_ or max(types, key=lambda each: sum(types[each].values()), default="")
    if not name:
        return Look("", types, (), (), ())
    jobs = _live_jobs(client, name, types.get(name, {}))
    hosts: Sequence[Mapping[str, Any]] = ()
    destinations: Sequence[Mapping[str, Any]] = ()
    with suppress(Forbidden):
        hosts = client.hosts(name)
    with suppress(Forbidden):
        destinations = client.destinations(name)["destinations"]
    return Look(name, types, jobs, hosts, destinations)


def _live_jobs(client: Client, type_: str, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the first jobs that wait, then those that hold capacity."""
    jobs: list[dict[str, Any]] = []
    for status in LIVE:
        waits = status == "queued"
        # Reading stops after the last one there is: behind it may be pages of other statuses.
        most = min(counts.get(status, 0), MOST_JOBS - len(jobs))
        if most > 0:
            page = client.jobs(type_, status=status, eta=waits, reason=waits)
            jobs += islice(page, most)
    return jobs


def tables_of(shown: Look) -> tuple[Table, Table, Table]:
    """Return queue, hosts and callbacks in columns."""
    from rq_broker.cli.verbs.callbacks import table_of_destinations
    from rq_broker.cli.verbs.hosts import table_of_hosts
    from rq_broker.cli.verbs.listing import table_of_jobs

    return (
        table_of_jobs(shown.jobs),
        table_of_hosts(shown.hosts),
        table_of_destinations(shown.destinations),
    )


def _print(shown: Look) -> None:
    from rq_broker.cli.output.table import print_table

    for index, table in enumerate(tables_of(shown)):
        if index:
            click.echo()
        print_table(table)
