"""Holds that grow back: only into room that there is, and what is lost is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.connection import in_memory
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, shape, submit

KEYS = Keys(TYPE)
CAPACITY = 8


class Cloud:
    """Hosts of 8 VCPU, what others use there, and servers that the test starts and ends."""

    def __init__(self, broker: Broker) -> None:
        self.broker, self.sequence = broker, 0
        self.others = {"h1": 0, "h2": 0}
        self.servers: dict[str, tuple[str, int]] = {}

    def used(self, name: str) -> int:
        return self.others[name] + sum(n for host, n in self.servers.values() if host == name)

    async def snapshot(self) -> None:
        """Apply a snapshot that shows all as it is now."""
        await asyncio.sleep(0.002)  # a release of the same millisecond would not end
        self.sequence += 1
        started = await self.broker.watch(TYPE, "lab", 1, 5.0)
        assert started is not None
        hosts = [Host(name, {"VCPU": CAPACITY}, {"VCPU": self.used(name)}) for name in self.others]
        shares = {
            server: {(self.servers[server][0], "VCPU"): self.servers[server][1]}
            if server in self.servers
            else {}
            for server in started.servers
        }
        report = SourceReport(self.sequence, hosts, shares, knows_shares=True)
        assert await self.broker.apply(TYPE, "lab", 1, started.begun, report) is not None

    async def run(self, name: str, amount: int, on: str = "h1") -> None:
        """Have a job run as a server that is seen."""
        wanted = shape({"VCPU": amount})
        assert await grant(self.broker, await submit(self.broker, name, shape=wanted), wanted, on)
        self.servers[name] = on, amount
        await self.broker.transition(TYPE, name, Status.RUNNING, servers=(name,))
        await self.snapshot()


@pytest.fixture
async def cloud(broker: Broker) -> Cloud:
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    cloud = Cloud(broker)
    await cloud.snapshot()
    return cloud


async def parts(broker: Broker, name: str = "d") -> tuple[int, int, int]:
    """Return what is held, seen and unheld of a job's grant on h1."""
    hold = await broker.job_hold(TYPE, name)
    held, seen, unheld = (
        amounts.get("h1", {}).get("VCPU", 0) for amounts in (hold.held, hold.seen, hold.unheld)
    )
    return held, seen, unheld


async def events(client: Redis) -> list[str]:
    """Return what was told of holds."""
    entries: Any = await client.xrange(KEYS.of("events"))
    told = [fields["status"] for _, fields in entries]
    return [status for status in told if status.startswith("hold_")]


async def test_a_hold_grows_back_where_there_is_room(
    broker: Broker, client: Redis, cloud: Cloud
) -> None:
    """A server that goes leaves its room to the hold of its job, and nothing is told."""
    await cloud.run("d", 4)
    cloud.others["h1"] = 4
    await cloud.snapshot()
    assert await parts(broker) == (0, 4, 0)
    del cloud.servers["d"]
    for _ in range(2):
        await cloud.snapshot()
        assert await parts(broker) == (4, 0, 0)
        assert (await broker.host(TYPE, "h1")).free == {"VCPU": 0}
    assert await events(client) == []
    assert await audit(client, TYPE) == []


async def test_a_hold_whose_room_others_took_is_lost_and_told(
    broker: Broker, client: Redis, cloud: Cloud
) -> None:
    """It is never held beyond what is free; told in the second snapshot; regained with the room."""
    await cloud.run("d", 4)
    del cloud.servers["d"]
    cloud.others["h1"] = 6
    for told in ([], ["hold_lost"], ["hold_lost"]):
        await cloud.snapshot()
        assert await parts(broker) == (0, 0, 4)
        assert (await broker.host(TYPE, "h1")).free == {"VCPU": 2}
        assert await events(client) == told
        assert await audit(client, TYPE) == []
    assert (await broker.read(TYPE, "d")).trouble == "hold_lost"
    assert (await broker.type_state(TYPE, usage=True)).usage == {"o": {"VCPU": 4}}
    cloud.others["h1"] = 4
    await cloud.snapshot()
    assert await parts(broker) == (4, 0, 0)
    assert await events(client) == ["hold_lost", "hold_regained"]
    assert (await broker.read(TYPE, "d")).trouble == ""
    assert await audit(client, TYPE) == []


async def test_after_a_migration_the_old_host_is_others(
    broker: Broker, client: Redis, cloud: Cloud
) -> None:
    """A server that moved and is deleted there does not overcommit the host it came from."""
    await cloud.run("d", 4)
    cloud.servers["d"] = "h2", 4
    await cloud.snapshot()
    assert await parts(broker) == (0, 4, 0)
    cloud.others["h1"] = 8
    await cloud.snapshot()
    del cloud.servers["d"]
    for _ in range(2):
        await cloud.snapshot()
    assert await parts(broker) == (0, 0, 4)
    assert (await broker.host(TYPE, "h1")).free == {"VCPU": 0}
    assert await events(client) == ["hold_lost"]
    await broker.transition(TYPE, "d", Status.QUEUED)
    job = await broker.read(TYPE, "d")
    assert await grant(broker, job, shape({"VCPU": 4}), "h2") is not None
    assert not await client.exists(KEYS.of("unheld"), KEYS.of("unheld", "d"))
    assert await audit(client, TYPE) == []


async def test_a_torn_snapshot_is_not_told(broker: Broker, client: Redis, cloud: Cloud) -> None:
    """A server that shows on no host in one snapshot only loses nothing and is not told."""
    await cloud.run("d", 4)
    server = cloud.servers.pop("d")
    cloud.others["h1"] = 8
    await cloud.snapshot()
    assert await parts(broker) == (0, 0, 4)
    cloud.servers["d"], cloud.others["h1"] = server, 4
    await cloud.snapshot()
    assert await parts(broker) == (0, 4, 0)
    assert await events(client) == []
    assert await audit(client, TYPE) == []


async def test_room_that_comes_free_goes_to_the_lost_hold_first(
    broker: Broker, client: Redis, cloud: Cloud
) -> None:
    """What a job that ended gave back is held again before a waiting job can be granted it."""
    await cloud.run("d", 4)
    await cloud.run("e", 4)
    cloud.servers["x"] = "h1", 4
    del cloud.servers["d"]
    for _ in range(2):
        await cloud.snapshot()
    assert await parts(broker) == (0, 0, 4)
    del cloud.servers["e"]
    await broker.transition(TYPE, "e", Status.DONE)
    await cloud.snapshot()
    assert await parts(broker) == (4, 0, 0)
    waiting = await submit(broker, "w")
    assert await grant(broker, waiting) is None
    assert await audit(client, TYPE) == []


async def test_under_until_done_every_hold_comes_back(
    broker: Broker, client: Redis, cloud: Cloud
) -> None:
    """A type that goes back to until_done holds its grants whole, whether there is room or not."""
    await cloud.run("d", 4)
    del cloud.servers["d"]
    cloud.others["h1"] = 8
    await cloud.snapshot()
    await broker.set_policy(TYPE, {"holds": "until_done"})
    await cloud.snapshot()
    assert await parts(broker) == (4, 0, 0)
    findings = await audit(client, TYPE)
    assert {finding.severity for finding in findings} == {Severity.NOTE}


async def test_on_a_host_out_of_service_a_hold_grows_back(
    broker: Broker, client: Redis, cloud: Cloud
) -> None:
    """A host that its source no longer shows, as it was disabled, loses nobody's hold."""
    await cloud.run("d", 4)
    del cloud.servers["d"], cloud.others["h1"]
    for _ in range(2):
        await cloud.snapshot()
    assert await parts(broker) == (4, 0, 0)
    assert (await broker.host(TYPE, "h1")).dropped
    assert await events(client) == []


@pytest.mark.parametrize("damage", ["zset", "hash"])
async def test_the_audit_finds_and_mends_what_is_unheld(
    broker: Broker, client: Redis, cloud: Cloud, damage: str
) -> None:
    """A job that is listed as unheld and is not, or the reverse, is found and mended."""
    await cloud.run("d", 4)
    del cloud.servers["d"]
    cloud.others["h1"] = 8
    await cloud.snapshot()
    await client.delete(KEYS.of("unheld") if damage == "zset" else KEYS.of("unheld", "d"))
    findings = await audit(client, TYPE)
    assert any("unheld" in finding.text for finding in findings)
    await broker.repair(TYPE, findings)
    await broker.repair(TYPE, await audit(client, TYPE))
    assert await audit(client, TYPE) == []


async def test_grants_and_snapshots_at_once_never_overcommit(real_client: Redis) -> None:
    """While granters take what is free and snapshots let holds grow, no host has less than 0."""
    broker = Broker(real_client)
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    cloud = Cloud(broker)
    await cloud.snapshot()
    await cloud.run("d", 4)
    await cloud.run("e", 4, on="h2")
    for number in range(30):
        jobs = [await submit(broker, f"w{number}-{at}", shape=shape({"VCPU": 2})) for at in (1, 2)]
        server = cloud.servers.pop("de"[number % 2], None)
        granting = (grant(broker, job, shape({"VCPU": 2}), "h1") for job in jobs)
        await asyncio.gather(cloud.snapshot(), *granting)
        hosts = await broker.hosts(TYPE)
        assert all(host.free["VCPU"] >= 0 for host in hosts), hosts
        if server:
            cloud.others[server[0]] = number % 5
        for job in jobs:
            await broker.withdraw(TYPE, job.request_id)
        await cloud.snapshot()
    assert await audit(real_client, TYPE) == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["others", "boot", "delete", "move", "end", "submit"]),
        st.integers(0, 8),
        st.sampled_from(["h1", "h2"]),
        st.booleans(),
    ),
    max_size=14,
)


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_no_hold_ever_grows_beyond_what_is_free(steps: list[tuple[str, int, str, bool]]) -> None:
    """Whatever others, servers and jobs do: held + seen + unheld is the grant, and a snapshot that
    lets holds of a host grow leaves it at least 0 free."""
    asyncio.run(_live(steps))


async def _live(steps: list[tuple[str, int, str, bool]]) -> None:
    client = in_memory()
    broker = Broker(client)
    await broker.set_policy(TYPE, {"holds": "until_seen"})
    cloud = Cloud(broker)
    await cloud.snapshot()
    jobs = {"a": 4, "b": 3}
    await cloud.run("a", 4)
    await cloud.run("b", 3, on="h2")
    for number, (step, amount, host, is_seen) in enumerate(steps):
        await _do(cloud, jobs, (step, amount, host), f"j{number}")
        if is_seen:
            before = {each.name: each.held.get("VCPU", 0) for each in await broker.hosts(TYPE)}
            await cloud.snapshot()
            for each in await broker.hosts(TYPE):
                grew = each.held.get("VCPU", 0) > before[each.name]
                assert not grew or each.free["VCPU"] >= 0, each
            for name, granted in jobs.items():
                hold = await broker.job_hold(TYPE, name)
                assert _sum(hold.held) + _sum(hold.seen) + _sum(hold.unheld) == granted
    findings = await audit(client, TYPE)
    assert [finding for finding in findings if finding.severity is Severity.FAULT] == []
    await client.aclose()


def _sum(amounts: Mapping[str, Mapping[str, int]]) -> int:
    return sum(amount for of_host in amounts.values() for amount in of_host.values())


async def _do(cloud: Cloud, jobs: dict[str, int], what: tuple[str, int, str], new: str) -> None:
    """Carry out one step; one that is impossible now does nothing."""
    step, amount, host = what
    name = [*jobs, ""][amount % (len(jobs) + 1)]
    if step == "others":
        cloud.others[host] = amount
    elif step == "submit" and amount:
        wanted = shape({"VCPU": amount})
        job = await submit(cloud.broker, new, shape=wanted)
        if await grant(cloud.broker, job, wanted, host) is not None:
            jobs[new] = amount
            await cloud.broker.transition(TYPE, new, Status.RUNNING, servers=(new,))
    elif step == "boot" and name:
        cloud.servers[name] = host, jobs[name]
    elif step == "move" and name in cloud.servers:
        cloud.servers[name] = host, cloud.servers[name][1]
    elif step == "delete":
        cloud.servers.pop(name, None)
        cloud.others[host] += amount
    elif step == "end" and name:
        jobs.pop(name)
        cloud.servers.pop(name, None)
        await cloud.broker.transition(TYPE, name, Status.DONE)
