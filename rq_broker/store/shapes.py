"""What the shapes of waiting jobs stand for, kept parsed: each pass of the planner needs them all.

A digest names one text for ever, so a shape is read and parsed once, however often it is asked for.
Texts may have a megabyte each: they are read a few at a time, and parsing them leaves the event
loop at least half of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping

from rq_broker.domain.bounded_cache import BoundedCache
from rq_broker.domain.jobs import Shape
from rq_broker.store import records
from rq_broker.store.keys import Keys
from rq_broker.store.runner import Runner

KEPT_BYTES = 64 << 20
"""Memory of the parsed shapes that one process keeps. A shape of one instance takes some 1 KB. With
less, types with many shapes parse them again in each pass."""
READ_BYTES = 256 << 10
"""Text read from Redis with one command, unless one shape has more: bounds the time for which Redis
and the event loop do nothing else."""
_PAUSE_FROM = 0.001
"""Seconds of parsing from which on the loop is given as many: shorter ones are not worth a turn."""


class Shapes:
    """The shapes of all types, for one process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._kept = BoundedCache[tuple[str, str], Shape](KEPT_BYTES)

    async def read(self, type_: str, sizes: Mapping[str, int]) -> dict[str, Shape]:
        """Return shapes by digest; without those that no longer wait, and damaged ones.

        Args:
            type_: The type.
            sizes: Digest → bytes of the shape's text.
        """
        found: dict[str, Shape] = {}
        missing: dict[str, int] = {}
        for digest, size in sizes.items():
            shape = self._kept.get((type_, digest))
            if shape is None:
                missing[digest] = size
            else:
                found[digest] = shape
        for digests in _parts(missing):
            texts = await self._runner.command("HMGET", Keys(type_).of("shapes"), *digests)
            started = time.perf_counter()
            entries = [
                (digest, text)
                for digest, text in zip(digests, texts, strict=True)
                if text is not None
            ]
            for digest, shape in records.readable(_parsed, entries):
                found[digest] = shape
                self._kept.put((type_, digest), shape, shape.demand.bytes)
            seconds = time.perf_counter() - started
            if seconds > _PAUSE_FROM:
                await asyncio.sleep(seconds)
        return found


def _parsed(entry: tuple[str, str]) -> tuple[str, Shape]:
    digest, text = entry
    return digest, Shape.parse(text)


def _parts(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Split digests into parts of READ_BYTES of text, or of one digest."""
    part: list[str] = []
    total = 0
    for digest, size in sizes.items():
        if part and total + size > READ_BYTES:
            yield part
            part, total = [], 0
        part.append(digest)
        total += size
    if part:
        yield part
