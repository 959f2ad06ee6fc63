"""Reads the audit log: who changed what of a type, and of what belongs to no type.

The scripts write its lines, see lua/lib/audit_log.lua.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rq_broker.domain.audit_line import AuditLine, WantedLines
from rq_broker.store import policy_record, records
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner

BATCH = 500
"""Lines that one command reads: some 100 KB, for which Redis serves nobody else a millisecond."""
MOST_BATCHES = 20
"""Commands of one call. A page whose conditions few lines meet may come out short, and goes on
from its cursor; without this bound one call would read the whole log."""
_JSON_FIELDS = frozenset({"aggregates", "traits", "owners", "types", "callback_hosts"})
"""Fields of a host, and of a token, that its hash holds as JSON."""


class AuditLog:
    """Reads lines in pages."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def audit_log(
        self,
        type_: str,
        wanted: WantedLines | None = None,
        *,
        after: str = "",
        newest_first: bool = True,
        limit: int = BATCH,
    ) -> tuple[list[AuditLine], str | None]:
        """Read one page.

        Args:
            type_: The type; INSTALLATION for what belongs to no type.
            wanted: Which lines; None for all.
            after: ID of the line behind which the page begins, in its order; empty: at the first.
            newest_first: Whether the newest line is the first one; otherwise the oldest is.
            limit: Most lines of the page.

        Returns:
            The lines, perhaps fewer than there are; and the ID behind which the next page begins,
            None if there is none.
        """
        count = BATCH if wanted else min(BATCH, limit)
        wanted = wanted or WantedLines()
        lines: list[AuditLine] = []
        for _ in range(MOST_BATCHES):
            entries = await self._entries(type_, after, count, newest_first=newest_first)
            for line in records.readable(_line, entries):
                if wanted.include(line):
                    lines.append(line)
                    if len(lines) == limit:
                        return lines, line.id
            if len(entries) < count:
                return lines, None
            after = entries[-1][0]
        return lines, after

    async def _entries(
        self, type_: str, after: str, count: int, *, newest_first: bool
    ) -> Sequence[tuple[str, Any]]:
        key = Keys(type_).of("audit")
        first = f"({after}" if after else "+" if newest_first else "-"
        command, last = ("XREVRANGE", "-") if newest_first else ("XRANGE", "+")
        entries: Sequence[tuple[str, Any]] = await self._runner.command(
            command, key, first, last, "COUNT", count
        )
        return entries


def _line(entry: tuple[str, Any]) -> AuditLine:
    id_, flat = entry
    fields = {name: _text(value) for name, value in records.pairs(flat).items()}
    verb = fields["verb"]
    return AuditLine(
        id_,
        int(id_.partition("-")[0]) * 1000,
        fields["who"],
        fields["address"],
        verb,
        fields["subject"],
        _values(verb, fields["before"]),
        _values(verb, fields["after"]),
        fields["http_request_id"],
    )


def _text(value: str) -> str:
    """Replace bytes that are no UTF-8, which JSON cannot hold."""
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _values(verb: str, text: str) -> Mapping[str, Any] | None:
    """Read one side of a line; values have the form that they have in the API."""
    if not text:
        return None
    values = orjson.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f"one side of a line is {text!r}")
    return {name: _value(verb, name, value) for name, value in values.items()}


def _value(verb: str, name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if verb == "set_policy":
        return policy_record.parsed(name, value)
    if name.startswith("policy:"):
        return policy_record.parsed(name.removeprefix("policy:"), value)
    if name in _JSON_FIELDS:
        try:
            return orjson.loads(value)
        except ValueError:  # it was cut, or the hash held no JSON
            return value
    return value
