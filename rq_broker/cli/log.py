"""`rq-broker log`: the audit log on the terminal, who changed what."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress

import click
import msgspec
import orjson

from rq_broker.api.views import AuditLineView
from rq_broker.domain.audit_line import AuditLine
from rq_broker.domain.errors import Unavailable
from rq_broker.domain.representation import rfc3339
from rq_broker.settings import Settings
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.keys import INSTALLATION

POLL_SECONDS = 0.5
"""Seconds between two rounds over the logs: so late a new line is shown."""
BATCH = 100
"""Lines read ahead of each log while several are merged: bounds the memory with many types."""
READ_AT_ONCE = 50
"""Logs read at the same time."""


def run(settings: Settings) -> None:
    """Print the lines of the types in the settings, else of all logs, the oldest first."""
    with suppress(KeyboardInterrupt):  # how a log that is followed is left
        asyncio.run(_print_logs(settings))


async def _print_logs(settings: Settings) -> None:
    async with aclosing(connect(settings.redis)) as client, aclosing(Broker(client)) as broker:
        start = ""
        if settings.since is not None:
            start = f"{max(0, int((await broker.runner.now() - settings.since) * 1000))}-0"
        logs = _Logs(broker, settings.types, start)
        while True:
            try:
                async for type_, line in logs.new_lines():
                    click.echo(_json(type_, line) if settings.as_json else _sentence(type_, line))
                logs.is_away = False
            except Unavailable as error:
                if not settings.follow:
                    raise
                logs.tell_away(error)
            if not settings.follow:
                return
            await asyncio.sleep(POLL_SECONDS)


class _Logs:
    """The logs that are read, and how far each was printed."""

    def __init__(self, broker: Broker, types: Iterable[str], start: str) -> None:
        self._broker = broker
        self._types = tuple(types)
        self._start = start
        self._printed: dict[str, str] = {}
        """Type → ID of the last line that was printed."""
        self.is_away = False

    def tell_away(self, error: Unavailable) -> None:
        """Say once that Redis does not answer; what is missed meanwhile is printed afterwards."""
        if not self.is_away:
            click.echo(f"{error}; waiting for it", err=True)
        self.is_away = True

    async def new_lines(self) -> AsyncIterator[tuple[str, AuditLine]]:
        """Yield the lines that were not printed yet, with their types, the oldest first."""
        types = self._types or (INSTALLATION, *await self._broker.names())
        pages: dict[str, list[AuditLine]] = {}
        for start in range(0, len(types), READ_AT_ONCE):
            batch = types[start : start + READ_AT_ONCE]
            pages |= zip(batch, await asyncio.gather(*map(self._page, batch)), strict=True)
        heap = [(_moment(page[0]), type_, 0) for type_, page in pages.items() if page]
        heapq.heapify(heap)
        while heap:
            _, type_, index = heapq.heappop(heap)
            line = pages[type_][index]
            self._printed[type_] = line.id
            yield type_, line
            index += 1
            if index == len(pages[type_]) == BATCH:
                pages[type_], index = await self._page(type_), 0
            if index < len(pages[type_]):
                heapq.heappush(heap, (_moment(pages[type_][index]), type_, index))

    async def _page(self, type_: str) -> list[AuditLine]:
        after = self._printed.get(type_, self._start)
        lines, _ = await self._broker.audit_log(type_, after=after, newest_first=False, limit=BATCH)
        return lines


def _moment(line: AuditLine) -> tuple[int, int]:
    milliseconds, _, number = line.id.partition("-")
    return int(milliseconds), int(number)


def _json(type_: str, line: AuditLine) -> str:
    fields = msgspec.to_builtins(AuditLineView.of(line))
    return orjson.dumps({"type": None if type_ == INSTALLATION else type_, **fields}).decode()


def _sentence(type_: str, line: AuditLine) -> str:
    """Return a line for people; a name that could forge another line is quoted."""
    values = " → ".join(
        "nothing" if values is None else orjson.dumps(values).decode()
        for values in (line.before, line.after)
    )
    words = (
        rfc3339(line.time),
        "-" if type_ == INSTALLATION else _word(type_),
        _word(line.who),
        _word(line.address) if line.address else "-",
        line.verb,
        _word(line.subject),
        values,
        _word(line.http_request_id) if line.http_request_id else "-",
    )
    return " ".join(words)


def _word(text: str) -> str:
    is_plain = text.isprintable() and " " not in text and not text.startswith('"')
    return text if text and is_plain else orjson.dumps(text).decode()
