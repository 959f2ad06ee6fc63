"""Hosts in a TOML file: for labs, licences, and whatever has no service that counts it.

[hosts.bench-1]
capacity = { Slots = 2, Scope = 1 }
used = { Slots = 1 }            # this and what follows may be left out
max_unit = { Slots = 1 }
aggregates = ["basement"]
traits = ["QUIET"]

[hosts.gpu-1]
capacity = { GPU = [1000, 1000] }       # two devices
used = { GPU = [0, 500] }

[hosts.licences]
capacity = { matlab = 5 }
anywhere = true
"""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import Any

from rq_broker.domain.capacity import Host, new_host
from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import json_object, refuse_unknown
from rq_broker.sources.failures import Misconfigured
from rq_broker.sources.source import Source, SourceSnapshot


class FileSource(Source):
    """Reads the file for every snapshot: an edit counts from the next snapshot on."""

    naming = "none"

    def __init__(self, path: str) -> None:
        """Read nothing yet; `path` is relative to the directory of the process."""
        self.path = Path(path)
        self._text: bytes | None = None
        """The text that the hosts were read from."""
        self._hosts: tuple[Host, ...] = ()
        self._bad_hosts: dict[str, str] = {}

    async def snapshot(
        self,
        watch: frozenset[str] = frozenset(),  # noqa: ARG002 - a file knows no consumers
    ) -> SourceSnapshot:
        """Return the hosts as the file has them now.

        Raises:
            Misconfigured: The file cannot be read or is no TOML; the sentence names the place.
        """
        try:
            text = await asyncio.to_thread(self.path.read_bytes)
            if text != self._text:
                self._hosts, self._bad_hosts = _snapshot_of(tomllib.loads(text.decode()))
                self._text = text
        except OSError as error:
            raise Misconfigured(f"{self.path}: {error.strerror}") from error
        except (Invalid, ValueError) as error:
            raise Misconfigured(f"{self.path}: {error}") from error
        return SourceSnapshot(self._hosts, bad_hosts=self._bad_hosts)


def _snapshot_of(document: dict[str, Any]) -> tuple[tuple[Host, ...], dict[str, str]]:
    """Return the hosts of a file, and those that cannot be read with what is wrong.

    Raises:
        Invalid: The file has no [hosts], or more than that.
    """
    refuse_unknown(document, ("hosts",), "the table")
    hosts: list[Host] = []
    bad_hosts: dict[str, str] = {}
    # [hosts] is required: an editor's half-written, empty file must not remove every host.
    for name, table in json_object(document.get("hosts"), "[hosts]").items():
        try:
            hosts.append(new_host(name, table, "the host"))
        except Invalid as error:
            bad_hosts[name] = str(error)
    return tuple(hosts), bad_hosts
