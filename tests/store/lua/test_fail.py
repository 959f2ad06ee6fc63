"""fail.lua: why a source gave no snapshot."""

from __future__ import annotations

from rq_broker.domain.capacity import Host
from rq_broker.store.broker import Broker, SourceReport
from tests.making import TYPE


async def test_a_cause_stays_until_the_next_good_snapshot(broker: Broker) -> None:
    """A failed poll keeps the hosts and records its cause; the next snapshot clears it."""
    watched = await broker.watch(TYPE, "lab", 1, 5.0)
    assert watched is not None
    hosts = [Host("h1", {"VCPU": 1})]
    await broker.apply(TYPE, "lab", 1, watched.begun, SourceReport(1, hosts, {}))
    assert await broker.fail(TYPE, "lab", 1, "faulty", "torn: ü")
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.text, state.hosts) == ("faulty", "torn: ü", 1)
    await broker.apply(TYPE, "lab", 1, watched.begun, SourceReport(2, hosts, {}))
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.text) == ("", "")
