"""Hosts written down in a TOML file: for labs, licences, and whatever nothing else can count.

[hosts.bench-1]
capacity = { Slots = 2, Scope = 1 }
used = { Slots = 1 }            # and these three only where they say something
max_unit = { Slots = 1 }
aggregates = ["basement"]
"""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rq_broker.domain.capacity import Host, new_host
from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import obj, only
from rq_broker.sources import Misconfigured, Source, SourceSnapshot


class FileSource(Source):
    """Reads the file for every snapshot, so an edit counts from the next one on."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._text: bytes | None = None
        self._hosts: tuple[Host, ...] = ()

    async def snapshot(
        self,
        watch: frozenset[str] = frozenset(),  # noqa: ARG002 - a file knows no consumers
    ) -> SourceSnapshot:
        """Read the hosts as they are written now; raises Misconfigured naming the place."""
        try:
            text = await asyncio.to_thread(self.path.read_bytes)
            if text != self._text:
                self._load(text)
        except OSError as error:
            raise Misconfigured(f"{self.path}: {error.strerror}") from error
        except (Invalid, ValueError) as error:
            raise Misconfigured(f"{self.path}: {error}") from error
        return SourceSnapshot(self._hosts)

    def _load(self, text: bytes) -> None:
        self._hosts = tuple(_read(tomllib.loads(text.decode())))
        self._text = text


def _read(document: dict[str, Any]) -> Iterator[Host]:
    only(document, ("hosts",), "the table")
    # Required, so that an editor's half-written file does not take every host away.
    for name, table in obj(document.get("hosts"), "[hosts]").items():
        try:
            yield new_host(name, table, "the host")
        except Invalid as error:
            raise Invalid(f"hosts.{name}: {error}") from None
