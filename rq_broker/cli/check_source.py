"""`rq-broker check-source`: reads each source as a notifier would, and tells what it sees."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import click

from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import Invalid
from rq_broker.domain.scrubbing import scrubbed
from rq_broker.sources.checking import CheckedSnapshot, check_snapshot
from rq_broker.sources.failures import SourceFailed
from rq_broker.sources.feeds import Feed, read_feeds

_NAMED = 20
"""Names that a line shows before it counts the others."""


class Outcome(IntEnum):
    """Exit statuses; the worst of a file's sources counts."""

    FINE = 0
    INCOMPLETE = 1
    """A source has no host, or something that it could not read."""
    UNREADABLE = 2
    """A source gave no snapshot, or the file is wrong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One snapshot and its cost."""

    snapshot: CheckedSnapshot
    requests: int | None
    """None where the source does not count them."""
    seconds: float

    def __str__(self) -> str:
        counted = "" if self.requests is None else f"{self.requests:,} requests, "
        return f"{counted}{self.seconds:.2f} s"


def run(path: str) -> None:
    """Print what each source sees; exits with the worst outcome."""
    try:
        feeds = read_feeds(path)
    except Invalid as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(Outcome.UNREADABLE) from error
    outcome = asyncio.run(_check_all(feeds))
    if outcome:
        raise SystemExit(outcome)


async def _check_all(feeds: Iterable[Feed]) -> Outcome:
    worst = Outcome.FINE
    for feed in feeds:
        click.echo(f"source {feed.name} of type {feed.type}:")
        try:
            worst = max(worst, await _check(feed))
        finally:
            await feed.source.close()
    return worst


async def _check(feed: Feed) -> Outcome:
    try:
        first, later = await _read(feed), await _read(feed)
    except SourceFailed as failure:
        click.echo(f"  cannot be read ({failure.cause}): {failure}")
        return Outcome.UNREADABLE
    except Exception as error:  # a source may be anybody's code
        click.echo(f"  cannot be read (failed): {scrubbed(f'{type(error).__name__}: {error}')}")
        return Outcome.UNREADABLE
    snapshot = later.snapshot
    for line in _description(list(snapshot.hosts.values()), snapshot.out_of_service):
        click.echo(f"  {line}")
    click.echo(f"  cost: {first} for the first snapshot, {later} for the next; one each ", nl=False)
    click.echo(f"{feed.interval:g} s")
    for trouble in snapshot.troubles:
        click.echo(f"  missing: {scrubbed(trouble)}")
    return Outcome.INCOMPLETE if snapshot.cause or not snapshot.hosts else Outcome.FINE


async def _read(feed: Feed) -> Reading:
    before, start = feed.source.requests_sent, time.monotonic()
    snapshot = check_snapshot(await feed.source.snapshot(), {})
    seconds, after = time.monotonic() - start, feed.source.requests_sent
    requests = None if before is None or after is None else after - before
    return Reading(snapshot, requests, seconds)


def _description(hosts: list[Host], out_of_service: Mapping[str, str]) -> Iterator[str]:
    """Say in lines what there is; which hosts are out of service only where the source tells some:
    not every source does."""
    yield f"hosts: {_listed(sorted(host.name for host in hosts))}"
    if out_of_service:
        out = [f"{name} ({scrubbed(why)})" for name, why in sorted(out_of_service.items())]
        yield f"out of service: {_listed(out)}"
    sizes = Counter(label for host in hosts for label in host.aggregates)
    yield f"aggregates: {_listed([f'{label} ({count})' for label, count in sorted(sizes.items())])}"
    capacity = _total(host.capacity for host in hosts)
    used = _total(host.used for host in hosts)
    amounts = [f"{name} {capacity[name]} ({used[name]} used)" for name in sorted(capacity)]
    yield f"resources: {_listed(amounts)}"


def _total(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def _listed(items: list[str]) -> str:
    """Count the items and name some of them."""
    if not items:
        return "none"
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return f"{len(items):,}: {', '.join(items[:_NAMED])}{more}"
