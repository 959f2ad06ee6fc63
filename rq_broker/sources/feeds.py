"""Which sources feed which types: the TOML file that `rq-broker notifier --source` names.

[[source]]
type = "vm"
kind = "placement"
interval = 10          # seconds from the start of one snapshot to the start of the next
name = "east"          # unique in the type; the kind where left out
cloud = "lab"          # this and all other keys are arguments of the kind
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import SOURCE_NAME, TYPE_NAME, json_object, refuse_unknown
from rq_broker.sources.failures import Misconfigured
from rq_broker.sources.kinds import open_source
from rq_broker.sources.source import Source

DEFAULT_INTERVAL = 10.0
"""Seconds between snapshots where a table sets none. A change is seen half an interval later on
average; a source without a snapshot for three intervals is stale."""
MIN_INTERVAL = 0.1
"""Seconds. Shorter, and polling would be all that the notifier does."""
MAX_INTERVAL = 86400
"""Seconds: a day."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One source, and the type whose hosts it reports every `interval` seconds."""

    name: str
    type: str
    interval: float
    source: Source


def read_feeds(path: str) -> list[Feed]:
    """Open every source that a file lists.

    Raises:
        Invalid: The file cannot be read or a table is wrong; the sentence names file and table.
    """
    try:
        document = tomllib.loads(Path(path).read_text())
        refuse_unknown(document, ("source",), "the table")
        feeds = list(_feeds(document.get("source")))
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}") from error
    except (Invalid, Misconfigured, ValueError, RecursionError) as error:
        raise Invalid(f"{path}: {error}") from error
    return feeds


def _feeds(tables: Any) -> Iterator[Feed]:
    if not isinstance(tables, list) or not tables:
        raise Invalid("there is no [[source]]")
    names: set[tuple[str, str]] = set()
    for number, table in enumerate(tables, 1):
        try:
            feed = _feed(dict(json_object(table, "the table")))
        except (Invalid, Misconfigured) as error:
            raise Invalid(f"[[source]] number {number}: {error}") from error
        if (feed.type, feed.name) in names:
            raise Invalid(
                f"[[source]] number {number}: type {feed.type} has a {feed.name} already; "
                "give it another name"
            )
        names.add((feed.type, feed.name))
        yield feed


def _feed(table: dict[str, Any]) -> Feed:
    type_ = TYPE_NAME.check(table.pop("type", None), "type")
    name = SOURCE_NAME.check(table.pop("name", table.get("kind")), "name")
    interval = table.pop("interval", DEFAULT_INTERVAL)
    if type(interval) not in (int, float) or not MIN_INTERVAL <= interval <= MAX_INTERVAL:
        raise Invalid(
            f"interval must be {MIN_INTERVAL} to {MAX_INTERVAL} seconds, not {interval!r}"
        )
    return Feed(name, type_, float(interval), open_source(table))
