"""The warning at submit that no host could ever hold the job."""

from __future__ import annotations

import pytest

from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.admission.submit_warning import SubmitWarnings
from rq_broker.domain.jobs import Demand
from rq_broker.store.broker import Broker, TypeState
from tests.making import TYPE, grant, publish, shape, submit
from tests.planner.oracle import known


async def _warning(
    broker: Broker, warnings: SubmitWarnings, request_id: str, vcpus: int
) -> str | None:
    wanted = shape({"VCPU": vcpus})
    job = await submit(broker, request_id, shape=wanted)
    reason = (await warnings.warnings(wanted.demand, job, "{}")).job
    return reason.text if reason else None


async def test_a_warning_follows_capacity(broker: Broker) -> None:
    """It comes with a host that is too small, goes with a larger one, and comes back without it."""
    warnings = SubmitWarnings(SnapshotReader(broker))
    assert await _warning(broker, warnings, "a", 9) is None
    await publish(broker, "h1", VCPU=8)
    assert "the largest is 8 on h1" in (await _warning(broker, warnings, "b", 9) or "")
    await publish(broker, "h2", VCPU=9)
    assert await _warning(broker, warnings, "c", 9) is None
    await broker.drop_host(TYPE, "h2")
    assert "the largest is 8 on h1" in (await _warning(broker, warnings, "d", 9) or "")


async def test_a_warning_lasts_while_capacity_does(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts are read once for each demand until one of them is set again; grants do not count."""
    await publish(broker)
    snapshots, reads = SnapshotReader(broker), [0]
    warnings, read_state = SubmitWarnings(snapshots), snapshots.read_state

    async def counted(type_: str) -> TypeState:
        reads[0] += 1
        return await read_state(type_)

    monkeypatch.setattr(snapshots, "read_state", counted)
    for number in range(3):
        assert await _warning(broker, warnings, f"d{number}", 1) is None
        assert await grant(broker, await broker.read(TYPE, f"d{number}")) is not None
    assert reads == [1]
    await publish(broker)
    await _warning(broker, warnings, "e", 1)
    assert reads == [2]


@pytest.mark.parametrize("others", [0, 1])
async def test_an_instance_that_needs_nothing_is_odd(broker: Broker, others: int) -> None:
    """Whoever asks for nothing has misspelt something: it is said, with hosts and without."""
    warnings = SubmitWarnings(SnapshotReader(broker))
    wanted = shape(*([{"VCPU": 1}] * others), {})
    for publishes in (False, True):
        if publishes:
            await publish(broker, "h1", VCPU=8)
        job = await submit(broker, f"d{publishes}", shape=wanted)
        found = await warnings.warnings(wanted.demand, job, "{}")
        assert "an instance needs nothing" in (found.beside or "")
    plain = shape({"VCPU": 1})
    job = await submit(broker, "e", shape=plain)
    assert (await warnings.warnings(plain.demand, job, "{}")).beside is None


async def test_remembered_warnings_are_bounded(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many demands are submitted, the memory of what is remembered is bounded."""
    monkeypatch.setattr("rq_broker.admission.submit_warning.REMEMBERED_BYTES", 2500)
    await publish(broker, VCPU=5)
    warnings = SubmitWarnings(SnapshotReader(broker))
    job = await submit(broker)
    for vcpus in range(1, 12):
        warning = (await warnings.warnings(Demand(((("VCPU", vcpus),),)), job, "{}")).job
        assert (warning is None) == (vcpus <= 5)
        assert len(warnings._remembered) <= 3


async def test_a_limit_below_the_demand_is_warned_of(broker: Broker) -> None:
    """Of the owner that the limit binds, and until the limit is raised."""
    warnings = SubmitWarnings(SnapshotReader(broker))
    await publish(broker)
    await broker.set_policy(TYPE, {"limits": {"o": {"VCPU": 3}}})
    wanted = shape({"VCPU": 2}, {"VCPU": 2})
    mine = await warnings.warnings(wanted.demand, await submit(broker, "a", shape=wanted), "{}")
    assert known(mine.job).text == (
        "needs VCPU 4, but its owner o may hold 3 at most: it can never be granted while that "
        "limit stands"
    )
    other = await submit(broker, "b", owner_id="p", shape=wanted)
    assert (await warnings.warnings(wanted.demand, other, "{}")).job is None
    await broker.set_policy(TYPE, {"limits": {"o": {"VCPU": 4}}})
    raised = await warnings.warnings(wanted.demand, await submit(broker, "c", shape=wanted), "{}")
    assert raised.job is None


async def test_a_type_without_hosts_is_warned_of(broker: Broker) -> None:
    """A misspelt type takes jobs as any other; the client is told that it has no host."""
    warnings = SubmitWarnings(SnapshotReader(broker))
    job = await submit(broker, type_="vmm")
    assert await warnings.warnings(shape().demand, job, "{}") == (
        None,
        "type vmm has no host yet: its jobs wait until there is one",
    )
    await publish(broker, type_="vmm")
    job = await submit(broker, "e", type_="vmm")
    assert await warnings.warnings(shape().demand, job, "{}") == (None, None)
