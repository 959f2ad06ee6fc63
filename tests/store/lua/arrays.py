"""Calls every verb of arrays, with and without each argument that is optional."""

from __future__ import annotations

from rq_broker.domain.terms import Terms
from rq_broker.store.broker import Broker
from tests.making import TYPE, array_submission, submit

FAR = 4_000_000_000_000
"""A time in the year 2096, ms."""


async def handle_array(broker: Broker) -> None:
    """Submit an array with all there is, read it, and withdraw it."""
    new = array_submission(2, terms=Terms(FAR, 60.0, 60.0, ("e",)), at_once=1, expected=60.0)
    await broker.submit_array(TYPE, new, "key")
    assert (await broker.submit_array(TYPE, new, "key")).replayed
    await broker.page_array(TYPE, "s", limit=1, status="queued", owners=["o"])
    await broker.reorder_array(await broker.read_array(TYPE, "s", ["o"]), "priority", "7")
    await broker.holding(TYPE, ["s"])
    await broker.withdraw_array(await broker.read_array(TYPE, "s"), "key")
    await submit(broker, "f")
    await broker.submit_array(TYPE, array_submission(2, priority=5))
    await broker.page_array(TYPE, "s")
    await broker.runner.run("repair_array", TYPE, array="s")
