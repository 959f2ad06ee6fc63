"""Claims of callbacks: for which slots they are made, and what was claimed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rq_broker.domain.deliveries import Delivery
from rq_broker.store import records


@dataclass(frozen=True, slots=True)
class FreeSlots:
    """What a courier can send at once."""

    lease: float
    """Seconds until a claimed callback is due again, unless it is settled."""
    count: int
    """How many callbacks."""
    unproven: int
    """How many of them at most to destinations not known to answer promptly."""


NO_SLOTS = FreeSlots(0.0, 0, 0)


def claimed(type_: str, rows: Iterable[Any]) -> list[Delivery]:
    """Read the rows of a claim; damaged ones are left out."""

    def read(row: Any) -> Delivery:
        job = records.job(type_, row.request_id, row.priority, None, row.fields)
        keys = tuple(row.signing_keys.split())
        return Delivery(job, row.attempt, keys, unproven=not row.prompt)

    return records.readable(read, rows)
