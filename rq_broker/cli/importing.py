"""`rq-broker import`: puts the waiting jobs of the original service's database in the queue.

It submits straight to Redis, as an operator: in the order of the old queue, with its priorities.
How far it is stands in the type's key `imported`: a run that was killed goes on where it was. The
rows of its last step may be stored already: a repeated submit is known by its request_id.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click
import orjson

from rq_broker.api.paths import type_name
from rq_broker.cli.acting import act_as_user
from rq_broker.cli.exits import ExitCode
from rq_broker.cli.old_database import OldDatabase, Position, Row
from rq_broker.cli.output.text import harmless
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status, Submission
from rq_broker.domain.names import is_taken
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.keys import Keys

BATCH = 500
"""Rows after which it is kept how far the import is: a run that goes on repeats so many at most.
With fewer, more of the time goes to keeping it."""
_OF_THE_ROW = (errors.Invalid, errors.DuplicateRequestId, errors.DuplicateCallback)
"""Refusals that a row would get at any time; others are of the moment, and end the run."""
_LEFT = ("duplicates", "bad rows")
"""What rows are counted as that are not imported."""

Outcome = Job | errors.BrokerError


@dataclass(frozen=True, slots=True)
class Done:
    """How far the import of one type is."""

    until: int = 0
    """All rows up to this ID are done with."""
    newest: int = 0
    """The largest ID when the rows after those were begun; they are taken in the queue's order."""
    at: Position | None = None
    """The last one of them that is done with."""
    left: int = 0
    """How many of all these rows were not imported."""

    @classmethod
    def parse(cls, text: str | None) -> Done:
        """Read what `text` wrote; None: nothing is done."""
        if not text:
            return cls()
        until, newest, at, *left = orjson.loads(text)  # earlier versions kept no `left`
        return cls(until, newest, Position(*at) if at else None, *left)

    def text(self) -> str:
        """Write it as Redis keeps it."""
        at = self.at and list(self.at)
        return orjson.dumps((self.until, self.newest, at, self.left)).decode()


@dataclass
class Report:
    """What became of the rows."""

    counts: Counter[str] = field(default_factory=Counter)
    imported: str = "imported"

    def problem(self, kind: str, id_: int, sentence: str) -> None:
        """Tell of a row that is not imported."""
        self.counts[kind] += 1
        click.echo(harmless(f"row {id_}: {sentence}"))

    def count(self, type_: str, row: Row, outcome: Outcome) -> None:
        """Count what became of a row. Raises a refusal that is not the row's own."""
        if isinstance(outcome, Job):
            self.counts[self.imported] += 1
        elif isinstance(outcome, errors.DuplicateRequestId) and outcome.details.get("same"):
            self.counts["already there"] += 1
        elif isinstance(outcome, _OF_THE_ROW):
            is_taken = isinstance(outcome, errors.Conflict)
            kind = "duplicates" if is_taken else "bad rows"
            self.problem(kind, row.id, f"{type_}/{row.request_id}: {outcome}")
        else:
            raise outcome

    def summary(self) -> str:
        """Return one line for all rows."""
        kinds = (self.imported, "already there", *_LEFT)
        text = ", ".join(f"{self.counts[kind]:,} {kind}" for kind in kinds)
        if earlier := self.counts["earlier"]:
            text += f"; {earlier:,} not imported by earlier runs: --again looks at them"
        return text

    @property
    def left(self) -> int:
        """How many rows are not imported."""
        return sum(self.counts[kind] for kind in _LEFT)

    @property
    def is_clean(self) -> bool:
        """Whether every row that waits is in the queue."""
        return not self.left + self.counts["earlier"]


def run(settings: Settings, file: str) -> None:
    """Import a database; exits with 1 if some rows are not imported, with 3 without Redis."""
    report = Report(imported="would be imported" if settings.dry_run else "imported")
    try:
        with closing(OldDatabase(Path(file))) as old:
            asyncio.run(Import(old, settings, report).run())
    except errors.Unavailable as error:
        click.echo(f"Error: {error}; run it again, it goes on where it was", err=True)
        raise SystemExit(ExitCode.UNREACHABLE) from error
    except sqlite3.Error as error:
        raise errors.Invalid(f"{file}: {error}") from error
    if not report.is_clean:
        raise SystemExit(ExitCode.REFUSED)


class Import:
    """One run over one database."""

    def __init__(self, old: OldDatabase, settings: Settings, report: Report) -> None:
        self._old = old
        self._settings = settings
        self._report = report
        self._duplicates = old.duplicates()

    async def run(self) -> None:
        """Import all types, and print what became of the rows."""
        act_as_user()
        left_out = self._old.left_out()
        for id_, sentence in self._old.unreadable():
            self._report.problem("bad rows", id_, sentence)
        async with aclosing(connect(self._settings.redis)) as client:
            broker = Broker(client)
            async with aclosing(broker):
                for type_ in self._old.types():
                    await self._import_type(broker, type_)
        click.echo(self._report.summary())
        if left_out:
            click.echo("left out: " + ", ".join(f"{n:,} {kind}" for kind, n in left_out.items()))

    async def _import_type(self, broker: Broker, type_: str) -> None:
        done = await self._done(broker, type_)
        self._report.counts["earlier"] += done.left
        if not done.at:
            done = Done(done.until, self._old.newest, left=done.left)
        rows = self._old.count(type_, done.until, done.newest)
        with _progress(type_, rows) as advance:
            while batch := self._old.waiting(type_, done.until, done.newest, done.at, BATCH):
                before = self._report.left
                await self._import_batch(broker, type_, batch)
                left = done.left + self._report.left - before
                at = Position(batch[-1].priority, batch[-1].id)
                done = Done(done.until, done.newest, at, left)
                await self._keep(broker, type_, done)
                advance(len(batch))
        await self._keep(broker, type_, Done(done.newest, left=done.left))

    async def _import_batch(self, broker: Broker, type_: str, batch: list[Row]) -> None:
        """Submit some rows. Raises a refusal that is not of one row."""
        valid: list[tuple[Row, Submission]] = []
        for row in batch:
            if (first := self._duplicates.get(row.id)) is not None:
                sentence = f"{type_}/{row.request_id}: row {first} has this request_id"
                self._report.problem("duplicates", row.id, sentence)
                continue
            try:
                type_name(type_)
                valid.append((row, row.submission(self._settings.callback_base)))
            except errors.Invalid as error:
                self._report.count(type_, row, error)
        submissions = [submission for _, submission in valid]
        if self._settings.dry_run:
            outcomes = await asyncio.gather(*(_would(broker, type_, one) for one in submissions))
        else:
            outcomes = await broker.submit_many(type_, submissions)
        for (row, _), outcome in zip(valid, outcomes, strict=True):
            self._report.count(type_, row, outcome)

    async def _done(self, broker: Broker, type_: str) -> Done:
        if self._settings.again:
            return Done()
        key = Keys(type_).of("imported")
        return Done.parse(await broker.runner.command("HGET", key, self._old.identity))

    async def _keep(self, broker: Broker, type_: str, done: Done) -> None:
        if not self._settings.dry_run:
            key = Keys(type_).of("imported")
            await broker.runner.command("HSET", key, self._old.identity, done.text())


async def _would(broker: Broker, type_: str, new: Submission) -> Outcome:
    """Return what a submit would, as far as the request_id tells; any job where it would be stored.

    Nothing is written.
    """
    try:
        job = await broker.read(type_, new.request_id, [new.owner_id])
    except errors.JobNotFound:
        try:
            job = await broker.read(type_, new.request_id)
        except errors.JobNotFound:
            return Job(0, type_, new.request_id, new.owner_id, "", "", 0, Status.QUEUED, 0, 0)
    is_same = (job.owner_id, job.data, job.callback) == (new.owner_id, new.data, new.callback)
    return errors.DuplicateRequestId(f"request_id {is_taken(job.request_id)}", same=is_same)


def is_terminal() -> bool:
    """Return whether somebody watches: then there is a bar."""
    return sys.stderr.isatty()


@contextmanager
def _progress(type_: str, length: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal; yields what moves it on."""
    if not is_terminal():
        yield lambda _: None
        return
    with click.progressbar(length=length, label=type_, file=sys.stderr) as bar:
        yield bar.update
