"""Moves of a waiting job, with all that a reorder takes and tells."""

from __future__ import annotations

from rq_broker.domain.jobs import Shape
from rq_broker.store.broker import Broker
from tests.making import TYPE, submit


async def move_about(broker: Broker, shape: Shape) -> None:
    """Put job d to the front, ask for its exchange with another one, and read the heads."""
    await submit(broker, "after", shape=shape)
    moved = await broker.reorder(TYPE, "d", "position", "front")
    await broker.reorder(TYPE, "d", "place", "2", among_own=True, line=moved.line, dry_run=True)
    await broker.withdraw(TYPE, "after")
    await broker.heads(TYPE, 0, 10, 10, own=True)
