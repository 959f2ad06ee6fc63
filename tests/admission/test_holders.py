"""Who has what a waiting job lacks, where it is not only jobs of its type."""

from __future__ import annotations

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, SourceReport
from tests.explaining import explanation_of, holding
from tests.making import TYPE, shape, submit


async def _snapshot(broker: Broker, number: int, **used: int) -> None:
    """Apply a snapshot of hosts of 8 VCPU; every server that is watched uses 2 on h1."""
    started = await broker.watch(TYPE, "lab", 1, 5.0)
    assert started is not None
    hosts = [Host(name, {"VCPU": 8}, {"VCPU": amount}) for name, amount in used.items()]
    shares = {server: {("h1", "VCPU"): 2} for server in started.servers}
    report = SourceReport(number, hosts, shares)
    assert await broker.apply(TYPE, "lab", 1, started.begun, report) is not None


async def test_a_gang_that_others_block_is_told_by_whom_and_where(broker: Broker) -> None:
    """Where not even the end of every hold would do, hosts, shortfalls and holders are there."""
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    await _snapshot(broker, 1, h1=0, h2=0)
    await holding(broker, "a", 2)
    await broker.transition(TYPE, "a", Status.RUNNING, servers=("s",))
    await holding(broker, "b", 1)
    await _snapshot(broker, 2, h1=6, h2=5)
    await submit(broker, "gang", shape=shape({"VCPU": 6}, {"VCPU": 6}))
    explanation = await explanation_of(broker, "gang")
    assert explanation["hosts"] == ("h1", "h2")
    assert explanation["shortfalls"] == [
        {"host": "h1", "resource": "VCPU", "needed": 6, "free": 1},
        {"host": "h2", "resource": "VCPU", "needed": 6, "free": 3},
    ]
    assert explanation["used_by_others"] == [
        {"host": "h1", "resource": "VCPU", "amount": 4},
        {"host": "h2", "resource": "VCPU", "amount": 5},
    ]
    held = {(row["request_id"], row["host"], row["amount"]) for row in explanation["holders"]}
    assert held == {("a", "h1", 2), ("b", "h1", 1)}
