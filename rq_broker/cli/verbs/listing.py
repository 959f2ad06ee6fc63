"""`rq-broker list`: the jobs of a type in columns, in the order of the queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, TYPE

if TYPE_CHECKING:
    from rq_broker.cli.output.table import Table
    from rq_broker.client import Client

STATUSES = ("queued", "granted", "running", "done", "error")
STATUS_STYLES = {
    "queued": "yellow", "granted": "cyan", "running": "green", "done": "dim", "error": "red"
}  # fmt: skip


@click.command("list")
@TYPE
@click.option("--owner", "owner_id", default="", metavar="OWNER", help="Only jobs of this owner.")
@click.option("--status", type=click.Choice(STATUSES), metavar="STATUS",
              help=f"Only jobs in this status: {', '.join(STATUSES)}.")  # fmt: skip
@click.option("--array", metavar="NAME", help="Only jobs of this array, by numbers.")
@click.option("--limit", type=click.IntRange(1), metavar="N", show_default="all",
              help="Stop after so many jobs.")  # fmt: skip
@click.option("--fast", is_flag=True,
              help="Without ETA and reason, which have to be computed.")  # fmt: skip
@JSON
@with_client
def list_jobs(
    client: Client,
    type_: str,
    owner_id: str,
    status: str | None,
    array: str | None,
    limit: int | None,
    fast: bool,
    as_json: bool,
) -> None:
    """List the jobs of a type in the order of the queue; those that have ended come last.

    SINCE is how long a queued job waits, and how long any other one has been in its status. ETA is
    in how long half of the simulations start the job, and nine in ten of them.
    """
    from itertools import chain, islice

    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.table import print_table
    from rq_broker.domain.similar import did_you_mean

    filters: dict[str, Any] = {"owner_id": owner_id}
    if array is not None:
        filters["request_id"] = f"{array.removesuffix('[*]')}[*]"
    told: dict[str, Any] = {"eta": True, "reason": True}
    by_status = (
        client.jobs(
            type_, **filters, status=name, **(told if name == "queued" and not fast else {})
        )
        for name in ((status,) if status else STATUSES)
    )
    jobs = islice(chain.from_iterable(by_status), limit)
    first = next(jobs, None)
    listed = () if first is None else chain((first,), jobs)
    if as_json:
        print_objects(listed)
    else:
        print_table(table_of_jobs(listed))
    if first is None and type_ not in (known := client.types()):
        click.echo(f"there is no type {type_} yet{did_you_mean(type_, known)}", err=True)


def table_of_jobs(jobs: Iterable[Mapping[str, Any]]) -> Table:
    """Return jobs in columns."""
    from rq_broker.cli.output.columns import Column

    columns = (
        Column("JOB", gives_way=True),
        Column("OWNER", gives_way=True, left_out=2),
        Column("NEED", gives_way=True, left_out=4),
        Column("PRIORITY", right=True, left_out=1),
        Column("POS", right=True),
        Column("STATUS", style=lambda cell: STATUS_STYLES.get(cell, "")),
        Column("SINCE", right=True, left_out=3),
        Column("ETA", right=True),
        Column("REASON", gives_way=True, goes_below=True),
    )
    return columns, _rows(jobs)


def _rows(jobs: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    from rq_broker.cli.output.need import need_of
    from rq_broker.cli.output.text import age, visible

    now = datetime.now(UTC)
    for job in jobs:
        position = job.get("Position")
        yield [
            visible(job["RequestID"]),
            visible(job["OwnerID"]) if job["OwnerID"] else "",
            need_of(job),
            str(job["Priority"]),
            "-" if position is None else str(position),
            job["Status"],
            age(since(job), now),
            eta_words(job.get("ETA")),
            job.get("Reason") or job.get("Error") or where(job) or "-",
        ]


def since(job: Mapping[str, Any]) -> str:
    """Return since when a job waits, or has been in its status."""
    return str(job["CreatedAt" if job["Status"] == "queued" else "UpdatedAt"])


def left(time: str) -> str:
    """Render how long it is until a time of the API."""
    from rq_broker.cli.output.text import moment, span

    return span((moment(time) - datetime.now(UTC)).total_seconds())


def where(job: Mapping[str, Any]) -> str:
    """Name the hosts that a job holds capacity on, and until when it must be taken; '' for none."""
    if not job.get("Hosts"):
        return ""
    within = f"; take it within {left(job['OfferEnds'])}" if job.get("OfferEnds") else ""
    return f"on {', '.join(dict.fromkeys(job['Hosts']))}{within}"


def eta_words(eta: Mapping[str, Any] | None) -> str:
    """Render a forecast as `3m–12m`; `-` without one."""
    from rq_broker.cli.output.text import span

    if not eta or eta.get("p50") is None:
        return "-"
    first, last = span(eta["p50"]), "later" if eta.get("p90") is None else span(eta["p90"])
    return first if first == last else f"{first}–{last}"
