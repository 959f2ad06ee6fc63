"""`rq-broker watch`: the life of a job, or of a type's line, a line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, OPTIONAL_JOB, OWNER, TYPE
from rq_broker.cli.verbs.listing import STATUSES

if TYPE_CHECKING:
    from rq_broker.client import Client

_ENDS = ("done", "error")


@click.command()
@TYPE
@OPTIONAL_JOB
@click.option("--until", "until", metavar="STATUS,…", default=",".join(_ENDS), show_default=True,
              help="With a job: stop once it is in one of these.")  # fmt: skip
@click.option("--interval", type=click.FloatRange(0.1, 60), default=2.0, show_default=True,
              help="Seconds between two looks; a job's status is told at once.")  # fmt: skip
@OWNER
@JSON
@with_client
def watch(
    client: Client,
    type_: str,
    request_id: str | None,
    until: str,
    interval: float,
    owner_id: str,
    as_json: bool,
) -> None:
    """Print each change of a job, or of a type's line.

    A job is watched until it ends, a line until Ctrl-C. Exits with 1 if the job ends without having
    been in one of the statuses of --until. A broker that is away is waited for.
    """
    wanted = _statuses(until)
    with suppress(KeyboardInterrupt):  # how it is left
        if request_id is None:
            for counts in _changes(lambda _: client.types().get(type_) or {}, interval):
                _print(counts, _counts_words(counts), as_json)
            return

        def read(last: Mapping[str, Any] | None) -> Mapping[str, Any]:
            """Read the job; once it is known, as soon as its status is another."""
            wait = int(interval) if last else 0
            others = [status for status in STATUSES if last and status != last["Status"]]
            return client.read(type_, request_id, owner_id=owner_id, wait=wait, until=others)

        job: Mapping[str, Any] = {}
        for job in _changes(read, interval):
            _print(job, _job_words(job), as_json)
            if job.get("Status") in (*wanted, *_ENDS):
                break
        if job.get("Status") not in wanted:
            raise SystemExit(1)


def _statuses(text: str) -> tuple[str, ...]:
    statuses = tuple(status.strip() for status in text.split(","))
    if unknown := [status for status in statuses if status not in STATUSES]:
        raise click.UsageError(f"--until: '{unknown[0]}' is none of {', '.join(STATUSES)}")
    return statuses


Read = Callable[[Mapping[str, Any] | None], Mapping[str, Any]]
"""Reads what is watched, given how it was; it may wait for it to change."""
_UNTOLD = ("UpdatedAt", "ETA")
"""What changes without anything having happened."""


def _changes(read: Read, interval: float) -> Iterator[Mapping[str, Any]]:
    """Yield what is read, again whenever it differs; ends where it is not there any more."""
    import httpx

    from rq_broker.domain.errors import JobNotFound, Unavailable

    last: Mapping[str, Any] | None = None
    is_away = False
    while True:
        began = time.monotonic()
        try:
            value = read(last)
        except JobNotFound:
            if last is None:
                raise
            yield {"RequestID": last["RequestID"], "Status": "withdrawn"}
            return
        except (Unavailable, httpx.TransportError) as error:
            if last is None:
                raise
            if not is_away:
                click.echo(f"{error}; waiting for the broker", err=True)
            is_away = True
        else:
            is_away = False
            told = {name: part for name, part in value.items() if name not in _UNTOLD}
            if told != last:
                yield value
                last = told
                continue
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def _print(value: Mapping[str, Any], words: str, as_json: bool) -> None:
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.screen import show
    from rq_broker.cli.output.text import harmless

    if as_json:
        print_objects([value])
    else:
        show(f"{time.strftime('%H:%M:%S')} {harmless(words)}")


def _counts_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts.get(status, 0)} {status}" for status in STATUSES)


def _job_words(job: Mapping[str, Any]) -> str:
    from rq_broker.cli.verbs.listing import where

    place = f", {job['Position']} in line" if job.get("Position") else ""
    why = job.get("Reason") or job.get("Error") or where(job)
    return f"{job['Status']}{place}" + (f": {why}" if why else "")
