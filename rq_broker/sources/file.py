"""Hosts in a TOML file: for labs, licences, and whatever has no service that counts it.

[hosts.bench-1]
capacity = { Slots = 2, Scope = 1 }
used = { Slots = 1 }            # this and what follows may be left out
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
from rq_broker.domain.validation import json_object, refuse_unknown
from rq_broker.sources.failures import Misconfigured
from rq_broker.sources.source import Source, SourceSnapshot


class FileSource(Source):
    """Reads the file for every snapshot: an edit counts from the next snapshot on."""

    def __init__(self, path: str) -> None:
        """Read nothing yet; `path` is relative to the directory of the process."""
        self.path = Path(path)
        self._text: bytes | None = None
        """The text that `_hosts` were read from."""
        self._hosts: tuple[Host, ...] = ()

    async def snapshot(
        self,
        watch: frozenset[str] = frozenset(),  # noqa: ARG002 - a file knows no consumers
    ) -> SourceSnapshot:
        """Return the hosts as the file has them now.

        Raises:
            Misconfigured: The file cannot be read or is wrong; the sentence names file and place.
        """
        try:
            text = await asyncio.to_thread(self.path.read_bytes)
            if text != self._text:
                self._hosts = tuple(_hosts_of(tomllib.loads(text.decode())))
                self._text = text
        except OSError as error:
            raise Misconfigured(f"{self.path}: {error.strerror}") from error
        except (Invalid, ValueError) as error:
            raise Misconfigured(f"{self.path}: {error}") from error
        return SourceSnapshot(self._hosts)


def _hosts_of(document: dict[str, Any]) -> Iterator[Host]:
    refuse_unknown(document, ("hosts",), "the table")
    # [hosts] is required: an editor's half-written, empty file must not remove every host.
    for name, table in json_object(document.get("hosts"), "[hosts]").items():
        try:
            yield new_host(name, table, "the host")
        except Invalid as error:
            raise Invalid(f"hosts.{name}: {error}") from None
