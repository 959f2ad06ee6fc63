"""The commands on callbacks: destinations and keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, TYPE, YES, confirm

if TYPE_CHECKING:
    from rq_broker.cli.output.table import Table
    from rq_broker.client import Client

STATE_STYLES = {"closed": "green", "half-open": "yellow", "open": "red"}


@click.command()
@TYPE
@click.option("--reset", metavar="URL", help="Close the breaker of this one, and end its pauses.")
@click.option("--requeue", metavar="URL",
              help="Queue again the jobs in error whose callbacks to this one failed.")  # fmt: skip
@click.option("--owner", metavar="OWNER", help="With these, only for the jobs of this owner.")
@JSON
@with_client
def destinations(
    client: Client,
    type_: str,
    reset: str | None,
    requeue: str | None,
    owner: str | None,
    as_json: bool,
) -> None:
    """List the receivers of callbacks, or mend one.

    Those whose circuit breaker is open come first, then the latest used.
    """
    from rq_broker.cli.output.objects import print_objects

    if reset is not None and requeue is not None:
        raise click.UsageError("give one of --reset and --requeue")
    if reset is not None:
        client.reset(type_, reset, owner)
        if as_json:
            print_objects([{"destination": reset, "reset": True}])
    elif requeue is not None:
        requeued = client.requeue(type_, requeue, owner)
        if as_json:
            print_objects([{"destination": requeue, "requeued": requeued}])
        else:
            click.echo(f"{requeued} {'job is' if requeued == 1 else 'jobs are'} queued again")
    else:
        _list(client.destinations(type_), as_json)


def _list(answer: Mapping[str, Any], as_json: bool) -> None:
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table

    if as_json:
        print_objects(answer["destinations"])
    else:
        print_table(table_of_destinations(answer["destinations"]))
    if answer["outage"]:
        click.echo("Warning: most destinations fail: look at the broker's own network", err=True)


def table_of_destinations(destinations: Sequence[Mapping[str, Any]]) -> Table:
    """Return destinations in columns."""
    from rq_broker.cli.output.columns import Column

    columns = (
        Column("DESTINATION", gives_way=True),
        Column("OWNER", gives_way=True),
        Column("BREAKER", style=lambda cell: STATE_STYLES.get(cell, "")),
        Column("FAILURES", right=True),
        Column("NEXT TRY", right=True),
        Column("ASKED", right=True),
        Column("IN FLIGHT", right=True),
        Column("WAITING", right=True),
    )
    return columns, map(_cells, destinations)


def _cells(destination: Mapping[str, Any]) -> list[str]:
    from rq_broker.cli.output.text import span

    def left(seconds: float) -> str:
        return span(seconds) if seconds else "-"

    return [
        destination["destination"],
        destination["owner"] or "-",
        destination["state"],
        str(destination["failures"]),
        left(destination["open_seconds"]),
        left(destination["asked_seconds"]),
        str(destination["in_flight"]),
        str(destination["parked"]),
    ]


@click.command()
@TYPE
@click.option("--set", "file", type=click.File("r"), metavar="FILE",
              help="File of the owner's keys, the newest first; - for the input.")  # fmt: skip
@click.option("--remove", is_flag=True, help="Remove the owner's keys.")
@click.option("--owner", metavar="OWNER", help="Whose keys; * for all that have none of their own.")
@YES
@JSON
@with_client
def keys(
    client: Client,
    type_: str,
    file: IO[str] | None,
    remove: bool,
    owner: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """List or change the keys that callbacks are signed with.

    Keys are shown by their fingerprints only.
    """
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table
    from rq_broker.cli.output.text import harmless

    if file and remove:
        raise click.UsageError("give one of --set and --remove")
    if (file or remove) and owner is None:
        raise click.UsageError("--owner says whose keys are changed")
    if file:
        fingerprints = client.set_keys(type_, owner or "", file.read().split())
    elif remove:
        confirm(f"Remove the keys of {harmless(owner or '')}?", yes=yes)
        fingerprints = client.set_keys(type_, owner or "", [])
    else:
        fingerprints = client.keys(type_)
    if as_json:
        print_objects({"owner": name, "keys": marks} for name, marks in fingerprints.items())
        return
    print_table(((Column("OWNER", gives_way=True), Column("KEYS")), _key_rows(fingerprints)))


def _key_rows(fingerprints: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    for owner, marks in sorted(fingerprints.items()):
        yield [owner, " ".join(marks)]
