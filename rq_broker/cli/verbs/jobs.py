"""The commands on jobs: submit, show, move, take, done, withdraw, attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import Connection, with_client, with_connection
from rq_broker.cli.exits import each_told
from rq_broker.cli.spans import SPAN
from rq_broker.cli.verbs.acting import act_on, jobs_of
from rq_broker.cli.verbs.arguments import JOB, JOBS, JSON, OWNER, TYPE, YES, confirm, said
from rq_broker.cli.verbs.demands import (
    DEMAND,
    WHOSE,
    demand_of,
    new_name,
    owner_of,
    with_demand,
)

if TYPE_CHECKING:
    from rq_broker.client import Client


@click.command()
@TYPE
@with_demand
@click.option("--data", type=click.File("rb"), metavar="FILE",
              help="The whole demand as a JSON object; - for the input.")  # fmt: skip
@click.option("--id", "request_id", metavar="JOB", show_default="your name and a random word",
              help="Its name.")  # fmt: skip
@WHOSE
@click.option("--callback", metavar="URL", show_default="none: `take` takes its offer",
              help="URL to call when the capacity is held.")  # fmt: skip
@click.option("--priority", type=int, metavar="N", help="The smaller goes first.")
@click.option("--expected", type=SPAN, metavar="SPAN", help="How long it will hold, as 2h.")
@click.option("--not-before", metavar="TIME", help="It is not granted before, RFC 3339.")
@click.option("--give-up-after", type=SPAN, metavar="SPAN", help="It ends if it waits for longer.")
@click.option("--hold-at-most", type=SPAN, metavar="SPAN",
              help="It may run so long without renewing.")  # fmt: skip
@click.option("--after", multiple=True, metavar="JOB", help="Only after this job is done.")
@click.option("--after-any", is_flag=True, help="Any end of those jobs will do.")
@click.option("--array", type=click.IntRange(1), metavar="N", help="Make so many jobs like it.")
@click.option("--at-once", type=click.IntRange(1), metavar="N",
              help="At most so many of the array hold capacity at a time.")  # fmt: skip
@JSON
@with_connection
def submit(connection: Connection, type_: str, as_json: bool, **fields: Any) -> None:
    """Submit a job, and print its name."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.text import harmless

    data = demand_of(**{name: fields.pop(name) for name in DEMAND}, data=fields.pop("data"))
    if fields["request_id"] is None:
        fields["request_id"] = new_name()
    fields["count"] = fields.pop("array")
    fields["owner_id"] = owner_of(connection, fields["owner_id"])
    terms: Any = said(fields)
    with connection.telling_client() as client:
        job = client.submit(type_, data=data, **terms)
    if as_json:
        print_objects([job])
    else:
        click.echo(harmless(job["RequestID"]))


@click.command()
@TYPE
@JOBS
@OWNER
@JSON
@with_client
def show(
    client: Client, type_: str, request_ids: Sequence[str], owner_id: str, as_json: bool
) -> None:
    """Show jobs with everything that is known of them."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.pairs import print_pairs

    def read(request_id: str) -> None:
        job = client.read(type_, request_id, owner_id=owner_id)
        if as_json:
            print_objects([job])
        else:
            print_pairs(_facts(job))

    each_told(request_ids, read, str if len(request_ids) > 1 else None)


def _facts(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known of a job or an array, as the API names it."""
    import json

    from rq_broker.cli.output.need import need_of
    from rq_broker.cli.output.text import age

    for key, value in job.items():
        if value is None or value in ([], ""):
            continue
        if key == "Data":
            yield "Need", need_of(job)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield key, f"{text} ({age(value)} ago)" if key in ("CreatedAt", "UpdatedAt") else text


@click.command()
@TYPE
@JOBS
@click.option("--before", metavar="JOB", help="Put it before this waiting job.")
@click.option("--after", metavar="JOB", help="Put it after this waiting job.")
@click.option("--front", is_flag=True, help="Put it first; several in the order given.")
@click.option("--back", is_flag=True, help="Put it last; likewise.")
@click.option("--to", type=click.IntRange(1), metavar="N", help="Put it at this place; 1 is next.")
@click.option("--priority", type=int, metavar="N", help="Give it this priority.")
@click.option("--dry-run", is_flag=True, help="Only tell whose start would change, and how.")
@click.option("--if-match", metavar="LINE",
              help="Only if it does what a dry run told: the line that it printed.")  # fmt: skip
@OWNER
@JSON
@with_client
def move(
    client: Client,
    type_: str,
    request_ids: Sequence[str],
    dry_run: bool,
    if_match: str | None,
    owner_id: str,
    as_json: bool,
    **places: Any,
) -> None:
    """Move a waiting job within the queue, or several to one end of it."""
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.verbs.moving import place_of, print_preview

    if if_match == "":
        raise click.UsageError("--if-match is empty: give the line that a dry run printed")
    place = place_of(**places)
    if len(request_ids) > 1:
        if dry_run or if_match or place.get("position") not in ("front", "back"):
            raise click.UsageError("several jobs go to the --front or --back, without --dry-run")
        act_on(client, type_, "move", request_ids, owner_id, end=place["position"])
    elif dry_run:
        whose: dict[str, Any] = {"owner_id": owner_id} if owner_id else {}
        told = client.what_if(type_, request_id=request_ids[0], **place, **whose)
        if as_json:
            print_objects([told])
        else:
            print_preview(request_ids[0], told)
        return
    else:
        version = if_match or ""
        client.reorder(type_, request_ids[0], owner_id=owner_id, if_match=version, **place)
    if as_json:
        print_objects(client.read(type_, name, owner_id=owner_id) for name in request_ids)


@click.command()
@TYPE
@JOBS
@OWNER
@JSON
@with_client
def take(
    client: Client, type_: str, request_ids: Sequence[str], owner_id: str, as_json: bool
) -> None:
    """Take what granted jobs are offered; print their hosts, with commas between them.

    They are running from then on. Of a running job it renews --hold-at-most.
    """
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.text import harmless
    from rq_broker.domain.errors import Conflict

    def take_one(request_id: str) -> None:
        job = client.read(type_, request_id, owner_id=owner_id)
        if job.get("Status") not in ("granted", "running"):
            what = "it is " + job["Status"] if "Status" in job else "none of its jobs is granted"
            raise Conflict(f"{what}: there is no offer to take")
        client.transition(type_, request_id, "running", owner_id=owner_id, fence=job["Fence"])
        if as_json:
            told = {"request_id": request_id, "type": type_, "status": "running"}
            print_objects([{**told, "hosts": job["Hosts"], "fence": job["Fence"]}])
        else:
            click.echo(harmless(",".join(job["Hosts"])))

    names = [*jobs_of(client, type_, request_ids, owner_id, ("granted",))] or request_ids
    each_told(names, take_one, str if len(names) > 1 else None)


@click.command()
@TYPE
@JOBS
@click.option("--error", metavar="TEXT", help="End them in error, for this reason.")
@OWNER
@JSON
@with_client
def done(
    client: Client,
    type_: str,
    request_ids: Sequence[str],
    error: str | None,
    owner_id: str,
    as_json: bool,
) -> None:
    """End running jobs, and give back what they hold."""
    status = "done" if error is None else "error"
    told = _telling(as_json, {"type": type_, "status": status})
    if error is None:
        act_on(client, type_, "done", request_ids, owner_id, told=told)
        return

    def end(request_id: str) -> None:
        client.transition(type_, request_id, "error", owner_id=owner_id, error=error)
        told(request_id)

    names = [*jobs_of(client, type_, request_ids, owner_id)]
    each_told(names, end, str if len(names) > 1 else None)


@click.command()
@TYPE
@JOBS
@OWNER
@YES
@JSON
@with_client
def withdraw(
    client: Client,
    type_: str,
    request_ids: Sequence[str],
    owner_id: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove jobs, and release what they hold."""
    from rq_broker.cli.output.text import harmless

    first = harmless(request_ids[0])
    some = first if len(request_ids) == 1 else f"{first} and {len(request_ids) - 1} more"
    confirm(f"Withdraw {some}?", yes=yes)
    told = _telling(as_json, {"type": type_, "withdrawn": True})
    act_on(client, type_, "withdraw", request_ids, owner_id, told=told)


def _telling(as_json: bool, result: Mapping[str, object]) -> Callable[[str], None]:
    """Return what prints that something was done to a job."""
    from rq_broker.cli.output.objects import print_objects

    def tell(request_id: str) -> None:
        if as_json:
            print_objects([{"request_id": request_id, **result}])

    return tell


@click.command()
@TYPE
@JOB
@OWNER
@JSON
@with_client
def attempts(client: Client, type_: str, request_id: str, owner_id: str, as_json: bool) -> None:
    """List the attempts to call a job back."""
    from rq_broker.cli.output.columns import Column
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table
    from rq_broker.cli.output.text import age

    tried = client.attempts(type_, request_id, owner_id=owner_id)
    if as_json:
        print_objects(tried)
        return
    columns = (
        Column("TIME"),
        Column("AGO", right=True),
        Column("FENCE", right=True),
        Column("ATTEMPT", right=True),
        Column("OUTCOME", gives_way=True, style=_outcome_style),
        Column("MS", right=True),
    )
    print_table((columns, (
        [attempt["time"], age(attempt["time"]), str(attempt["fence"]), str(attempt["attempt"]),
         attempt["cause"],
         "-" if attempt["milliseconds"] is None else str(attempt["milliseconds"])]
        for attempt in tried
    )))  # fmt: skip


def _outcome_style(cause: str) -> str:
    return "green" if cause.startswith("http_2") or cause == "delivered" else "red"
