"""Which sources feed which types: the TOML file that `rq-broker notifier --source` names.

[[source]]
type = "vm"
kind = "placement"     # what follows are the kind's own keys
interval = 10          # seconds between two snapshots; and, where the kind does not say enough:
name = "east"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import TYPE_NAME, Text, obj, only
from rq_broker.sources import Misconfigured, Source, open_source

INTERVAL_SECONDS = 10.0
SHORTEST_SECONDS = 0.1
_NAME = Text(64, "/{} ", segment=True)


@dataclass(frozen=True, slots=True)
class Feed:
    """One source and the type whose hosts it reports, every `interval` seconds."""

    name: str
    type: str
    interval: float
    source: Source


def read_feeds(path: str) -> list[Feed]:
    """Open every source of a file; raises Invalid, naming file and table."""
    try:
        document = tomllib.loads(Path(path).read_text())
        only(document, ("source",), "the table")
        feeds = list(_feeds(document.get("source")))
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    except (Invalid, Misconfigured, ValueError) as error:
        raise Invalid(f"{path}: {error}") from error
    return feeds


def _feeds(tables: Any) -> Iterator[Feed]:
    if not isinstance(tables, list) or not tables:
        raise Invalid("there is no [[source]]")
    known: set[tuple[str, str]] = set()
    for number, table in enumerate(tables, 1):
        try:
            feed = _feed(dict(obj(table, "it")))
        except (Invalid, Misconfigured) as error:
            raise Invalid(f"[[source]] number {number}: {error}") from error
        if (feed.type, feed.name) in known:
            raise Invalid(f"[[source]] number {number}: type {feed.type} has a {feed.name} already")
        known.add((feed.type, feed.name))
        yield feed


def _feed(table: dict[str, Any]) -> Feed:
    type_ = TYPE_NAME.check(table.pop("type", None), "type")
    name = _NAME.check(table.pop("name", table.get("kind")), "name")
    interval = table.pop("interval", INTERVAL_SECONDS)
    if type(interval) not in (int, float) or not SHORTEST_SECONDS <= interval <= 86400:
        raise Invalid(f"interval must be {SHORTEST_SECONDS} to 86400 seconds")
    return Feed(name, type_, float(interval), open_source(table))
