"""`rq-broker run`: its options; what it does stands in cli/run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rq_broker.cli.connecting import Connection, with_connection
from rq_broker.cli.spans import SPAN
from rq_broker.cli.verbs.arguments import TYPE
from rq_broker.cli.verbs.demands import DEMAND, WHOSE, demand_of, new_name, owner_of, with_demand

_OUTAGE_SECONDS = 600.0
_GRACE_SECONDS = 10.0


@click.command()
@TYPE
@click.argument("command", nargs=-1, required=True, metavar="[--] COMMAND...")
@with_demand
@click.option("--expected", type=SPAN, metavar="SPAN",
              help="How long it will run, as 2h. A wish: nothing ends it.")  # fmt: skip
@click.option("--name", "--id", "request_id", metavar="JOB",
              show_default="your name and a random word", help="Its name.")  # fmt: skip
@WHOSE
@click.option("--priority", type=int, metavar="N", help="The smaller goes first.")
@click.option("--give-up-after", type=SPAN, metavar="SPAN", help="It ends if it waits for longer.")
@click.option("--hold-at-most", type=SPAN, metavar="SPAN", default="10m", show_default=True,
              help="When the capacity goes to others if this machine dies; it is renewed long"
              " before.")  # fmt: skip
@click.option("--outage", type=SPAN, metavar="SPAN", default=_OUTAGE_SECONDS, show_default="10m",
              help="How long to wait for a broker that does not answer.")  # fmt: skip
@click.option("--grace", type=SPAN, metavar="SPAN", default=_GRACE_SECONDS, show_default="10s",
              help="From SIGTERM to SIGKILL, where the command is to end.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Tell only what went wrong.")
@with_connection
def run(
    connection: Connection,
    type_: str,
    command: Sequence[str],
    **options: Any,
) -> None:
    """Wait for capacity, run a command while it is held, and give it back.

    The command has RQ_BROKER_HOSTS (by commas, one an instance), RQ_BROKER_REQUEST_ID,
    RQ_BROKER_FENCE and RQ_BROKER_JOB_TYPE in its environment. The job is `done` if it ends with 0,
    else in `error`. Ctrl-C while it waits withdraws it; while it runs it goes to the command.

    Exits as the command does, with 128 + N after signal N; with 123 if the hold was lost, 124 if
    the job was withdrawn by others or failed, 125 if the broker refuses it, 126 and 127 if the
    command cannot be run or found.
    """
    from rq_broker.cli.run.session import Job, run_job

    data = demand_of(**{name: options.pop(name) for name in DEMAND})
    name = options.pop("request_id")
    options["owner_id"] = owner_of(connection, options["owner_id"])
    job = Job(
        type_,
        new_name() if name is None else name,
        data.pop("instances"),
        command=command,
        outage=options.pop("outage"),
        grace=options.pop("grace"),
        quiet=options.pop("quiet"),
        options={"data": data, **options},
    )
    raise SystemExit(run_job(connection, job))
