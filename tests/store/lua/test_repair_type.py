"""repair_type.lua: sums and counters; tests/store/test_repair.py damages each of them."""

from __future__ import annotations

from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker
from tests.making import TYPE, bring


async def test_nothing_changes_where_nothing_is_wrong(broker: Broker) -> None:
    """Sums that are right are not set, and a counter above what is in use stays."""
    job = await bring(broker, Status.RUNNING)
    reply = await broker.runner.run(
        "repair_type",
        TYPE,
        counters=["fence", "1"],
        callbacks=[],
        shapes=[],
        receivers=[],
        servers=[],
        waiting=[],
        bytes=[],
    )
    assert reply.changed == 0
    assert (await broker.read(TYPE, "d")).fence == job.fence
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 1}
