"""`rq-broker watch`: the life of a job, of a type's line or of all, a line for each change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from rq_broker.cli.connecting import with_client
from rq_broker.cli.verbs.arguments import JSON, OPTIONAL_JOB, OPTIONAL_TYPE, OWNER
from rq_broker.cli.verbs.listing import STATUSES

if TYPE_CHECKING:
    from rq_broker.client import Client

_ENDS = ("done", "error")
_LEAST = 20
"""Cells that a sentence has at least: a narrower terminal breaks lines by itself."""
_ROUND_SECONDS = 5.0
"""Seconds after which all counts are read though no event came: it may have come before the stream
of events was open."""
_GATHER_SECONDS = 0.2
"""Seconds for which events are gathered, so that many at once are one line of a type."""


@click.command()
@OPTIONAL_TYPE
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
    type_: str | None,
    request_id: str | None,
    until: str,
    interval: float,
    owner_id: str,
    as_json: bool,
) -> None:
    """Print each change of a job, of a type's line, or without TYPE of all lines.

    A job is watched until it ends, a line until Ctrl-C. Exits with 1 if the job ends without having
    been in one of the statuses of --until. A broker that is away is waited for.
    """
    wanted = _statuses(until)
    with suppress(KeyboardInterrupt):  # how it is left
        if type_ is None:
            for name, of_type in _changes_of_types(client, interval):
                words = f"{name}: {_counts_words(of_type) if of_type else 'the type is gone'}"
                _print({"type": name, **(of_type or {"gone": True})}, words, as_json)
            return
        if request_id is None:
            for counts in _changes(lambda _: client.types().get(type_) or {}, interval):
                _print(counts, _counts_words(counts), as_json)
            return

        def read(last: Mapping[str, Any] | None) -> Mapping[str, Any]:
            """Read the job; once it is known, as soon as its status is another."""
            if last and "Status" not in last:  # an array, of which the API waits for nothing
                return client.read(type_, request_id, owner_id=owner_id)
            wait = int(interval) if last else 0
            others = [status for status in STATUSES if last and status != last["Status"]]
            return client.read(type_, request_id, owner_id=owner_id, wait=wait, until=others)

        job: Mapping[str, Any] = {}
        for job in _changes(read, interval):
            _print(job, _job_words(job), as_json)
            if _statuses_of(job) <= {*wanted, *_ENDS}:
                break
        if not _statuses_of(job) <= {*wanted}:
            raise SystemExit(1)


def _statuses_of(job: Mapping[str, Any]) -> set[str]:
    """Return the status of a job, or those of all jobs of an array."""
    if "Counts" in job:
        return {status for status, count in job["Counts"].items() if count}
    return {job["Status"]}


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


def _changes_of_types(
    client: Client, interval: float
) -> Iterator[tuple[str, Mapping[str, int] | None]]:
    """Yield each type with its counts, again when they change; None once the type is gone."""
    news = _News(client)
    known: Mapping[str, Mapping[str, int]] = {}

    def read(last: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if last is not None:
            news.wait()
        return {"types": client.types()}

    for value in _changes(read, interval):
        types = value["types"]
        for name in sorted(types.keys() | known.keys()):
            if types.get(name) != known.get(name):
                yield name, types.get(name)
        known = types


class _News:
    """Tells when something happened in any type, by the stream of all events."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._happened = threading.Event()
        self._trouble: Exception | None = None
        self._thread = self._started()

    def _started(self) -> threading.Thread:
        self._trouble = None
        thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()
        return thread

    def wait(self) -> None:
        """Wait until something happened, and for what comes with it. Raises what refuses that."""
        if not self._thread.is_alive():
            self._thread = self._started()
        self._happened.wait(_ROUND_SECONDS)
        time.sleep(_GATHER_SECONDS)
        self._happened.clear()
        if self._trouble is not None:
            raise self._trouble

    def _follow(self) -> None:
        try:
            for _ in self._client.events():
                self._happened.set()
        except Exception as error:
            self._trouble = error
            self._happened.set()


def _print(value: Mapping[str, Any], words: str, as_json: bool) -> None:
    from rq_broker.cli.output.folding import folded
    from rq_broker.cli.output.objects import print_objects
    from rq_broker.cli.output.screen import show, width
    from rq_broker.cli.output.text import harmless

    if as_json:
        print_objects([value])
    else:
        now, most = f"{time.strftime('%H:%M:%S')} ", width()
        first, *others = folded(harmless(words), max(_LEAST, most - len(now))) if most else [words]
        show(now + harmless(first))
        for line in others:
            show(" " * len(now) + line)


def _counts_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts.get(status, 0)} {status}" for status in STATUSES)


def _job_words(job: Mapping[str, Any]) -> str:
    from rq_broker.cli.verbs.explaining import status_words
    from rq_broker.cli.verbs.listing import where

    place = f", {job['Position']} in line" if job.get("Position") else ""
    why = job.get("Reason") or job.get("Error") or where(job)
    return f"{status_words(job)}{place}" + (f": {why}" if why else "")
