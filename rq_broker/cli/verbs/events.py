"""`rq-broker events`: what happens to the jobs of a type, as it happens."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, OPTIONAL_JOB, OPTIONAL_TYPE, OWNER

if TYPE_CHECKING:
    from rq_broker.client import Client, Event


@click.command()
@OPTIONAL_TYPE
@OPTIONAL_JOB
@click.option("--after", default="", metavar="ID", show_default="from now on",
              help="Begin behind the event of this event_id, as --json prints it.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1), metavar="N", show_default="until Ctrl-C",
              help="Stop after so many events.")  # fmt: skip
@OWNER
@JSON
@with_client
def events(
    client: Client,
    type_: str | None,
    request_id: str | None,
    after: str,
    limit: int | None,
    owner_id: str,
    as_json: bool,
) -> None:
    """Print what happens to the jobs of a type, to one job, or without a type to all jobs.

    A connection that breaks is made again, and nothing is missed; where events are kept no more,
    the event `lost` says so.
    """
    from itertools import islice

    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.screen import show

    stream = client.events(type_, request_id, owner_id=owner_id, after=after)
    with suppress(KeyboardInterrupt):  # how it is left
        for event in islice(stream, limit):
            if as_json:
                print_objects([{"event_id": event.id, "event": event.kind, **event.data}])
            else:
                show(_line(event, with_type=type_ is None))


def _line(event: Event, *, with_type: bool = False) -> str:
    from rq_broker.cli.output.screen import styled
    from rq_broker.cli.output.text import harmless, visible
    from rq_broker.cli.verbs.listing import STATUS_STYLES

    data = event.data
    if event.is_gap:
        reason = f": {harmless(str(data['reason']))}" if data.get("reason") else ""
        of_type = f" of {harmless(str(data.get('type')))}" if with_type else ""
        return styled(f"lost{reason}; events{of_type} before the next one are missing", "red")
    status = data.get("to")
    words = [data.get("at"), data.get("type") if with_type else "", event.kind]
    words.append(visible(str(data["request_id"])) if data.get("request_id") else "")
    line = harmless(" ".join(str(word) for word in words if word))
    if status:
        before = f" {data['from']} →" if data.get("from") else ""
        line += before + " " + styled(harmless(str(status)), STATUS_STYLES.get(status, ""))
    return line + (harmless(f" by {data['by']}") if data.get("by") else "")
