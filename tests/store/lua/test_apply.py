"""apply.lua: a snapshot is applied whole or not at all, and never over a newer one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.errors import Conflict
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker, SourceReport
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, publish, shape, submit

LAB = "lab"
Shares = Mapping[str, Mapping[tuple[str, str], int]]


class Lab:
    """A source whose snapshots the test writes."""

    def __init__(self, broker: Broker, name: str = LAB) -> None:
        self.broker = broker
        self.name = name
        self.sequence = 0

    async def begin(self, term: int = 1) -> int:
        await asyncio.sleep(0.002)  # a release of the same millisecond would not end
        watched = await self.broker.watch(TYPE, self.name, term, 5.0)
        assert watched is not None
        return watched.begun

    async def show(
        self, *hosts: Host, shares: Shares | None = None, knows_shares: bool = True, **at: int
    ) -> tuple[int, int] | None:
        """Apply a snapshot begun now; `at` may give another begun, sequence or term."""
        self.sequence += 1
        report = SourceReport(at.get("sequence", self.sequence), hosts, shares or {}, knows_shares)
        term = at.get("term", 1)
        begun = at["begun"] if "begun" in at else await self.begin(term)
        return await self.broker.apply(TYPE, self.name, term, begun, report)


@pytest.fixture
def lab(broker: Broker) -> Lab:
    return Lab(broker)


def host(name: str = "h1", used: int = 0, capacity: int = 8, **fields: Any) -> Host:
    return Host(name, {"VCPU": capacity}, {"VCPU": used}, **fields)


async def run(broker: Broker, name: str, amount: int, *servers: str, on: str = "h1") -> None:
    """Bring a job of one instance to running, with these servers."""
    wanted = shape({"VCPU": amount})
    job = await submit(broker, name, shape=wanted)
    assert await grant(broker, job, wanted, on) is not None
    await broker.transition(TYPE, name, Status.RUNNING, servers=servers)


async def until_seen(broker: Broker, **fields: object) -> None:
    await broker.set_policy(TYPE, {"holds": "until_seen", **fields})


async def held(broker: Broker, name: str = "h1") -> int:
    return (await broker.host(TYPE, name)).held.get("VCPU", 0)


async def host_names(broker: Broker) -> list[str]:
    """List the type's hosts by name."""
    return [published.name for published in await broker.hosts(TYPE)]


# Hosts


async def test_hosts_are_as_the_snapshot_reports_them(broker: Broker, lab: Lab) -> None:
    """Hosts read back as reported, with the source's name; others of the source are deleted."""
    full = host("h1", 2, aggregates=frozenset({"ä,b"}), max_unit={"VCPU": 4})
    assert await lab.show(full, host("h2")) == (2, 0)
    published = await broker.host(TYPE, "h1")
    assert published == host(
        "h1", 2, aggregates=frozenset({"ä,b"}), max_unit={"VCPU": 4}, source=LAB
    )
    assert await lab.show(host("h2", capacity=4)) == (2, 0)
    assert await host_names(broker) == ["h2"]
    assert (await broker.host(TYPE, "h2")).capacity == {"VCPU": 4}


async def test_only_changed_hosts_count(lab: Lab, client: Redis) -> None:
    """An unchanged snapshot moves no number; a change of `used` moves the host's number only."""
    hosts = [host(f"h{number}") for number in range(3)]
    await lab.show(*hosts)

    async def numbers() -> list[bytes | str | None]:
        return await client.hmget(Keys(TYPE).base, "hosts", "capacity_number")

    first = await numbers()
    assert await lab.show(*hosts) == (0, 0)
    assert await numbers() == first
    assert await lab.show(host("h0", 1), *hosts[1:]) == (1, 0)
    assert await numbers() == [str(int(first[0] or 0) + 1), first[1]]
    assert await Lab(Broker(client)).show(*hosts, sequence=9) == (1, 0)
    await lab.show(*hosts[:2], host("h2", capacity=9), sequence=10)
    assert (await numbers())[1] == str(int(first[1] or 0) + 1)


async def test_a_host_that_redis_lost_is_reported_again(
    broker: Broker, lab: Lab, client: Redis
) -> None:
    """After a host was deleted, or Redis lost its data, the next snapshot restores the hosts."""
    hosts = [host("h1"), host("h2")]
    await lab.show(*hosts)
    await broker.drop_host(TYPE, "h1")
    assert await lab.show(*hosts) == (1, 0)
    await client.flushall()
    assert await lab.show(*hosts) == (2, 0)
    assert await host_names(broker) == ["h1", "h2"]


async def test_an_older_snapshot_never_overwrites_a_newer(broker: Broker, lab: Lab) -> None:
    """An earlier or equal sequence is refused, and so is any sequence of an earlier term."""
    assert await lab.show(host(used=1), sequence=5) is not None
    for sequence in (4, 5):
        assert await lab.show(host(used=9), sequence=sequence) is None
    assert await lab.show(host(used=2), sequence=1, term=2) is not None
    assert await lab.show(host(used=9), sequence=99, term=1, begun=0) is None
    assert (await broker.host(TYPE, "h1")).used == {"VCPU": 2}


async def test_a_later_term_ends_the_earlier_when_it_begins_a_snapshot(
    broker: Broker, lab: Lab
) -> None:
    """Once a later term began a snapshot, an earlier term can neither apply, begin nor fail."""
    begun = await lab.begin(term=1)
    await lab.begin(term=2)
    assert await lab.show(host(), term=1, begun=begun) is None
    assert await broker.watch(TYPE, LAB, 1, 5.0) is None
    assert not await broker.fail(TYPE, LAB, 1, "faulty", "late")
    assert await broker.hosts(TYPE) == []


async def test_hosts_of_others_are_left_alone(broker: Broker, lab: Lab) -> None:
    """A host published by hand, or reported by another source, stays as it is: a clash, which is
    named."""
    await publish(broker, "mine", VCPU=3)
    other = Lab(broker, "other")
    await other.show(host("theirs", 1))
    assert await lab.show(host("mine", 7), host("theirs", 7), host("ours")) == (1, 2)
    states = {state.name: state.clashing for state in await broker.sources(TYPE)}
    assert states == {LAB: "mine", "other": ""}
    assert (await broker.host(TYPE, "mine")).capacity == {"VCPU": 3}
    assert (await broker.host(TYPE, "theirs")).used == {"VCPU": 1}
    assert await lab.show() == (1, 0)
    assert await host_names(broker) == ["mine", "theirs"]
    known = {
        each.name: (each.hosts, each.clashes, each.clashing) for each in await broker.sources(TYPE)
    }
    assert known == {LAB: (0, 0, ""), "other": (1, 0, "")}


async def test_a_reported_host_cannot_be_published(broker: Broker, lab: Lab) -> None:
    """Publishing a host that a source reports is refused until the host was deleted."""
    await lab.show(host(used=1))
    with pytest.raises(Conflict, match="lab"):
        await publish(broker)
    await broker.drop_host(TYPE, "h1")
    await publish(broker)
    assert await lab.show(host(used=1)) == (0, 1)


async def test_a_host_no_longer_reported_stays_while_it_holds(broker: Broker, lab: Lab) -> None:
    """It is out of service and keeps its holds; reported again, it is back in service."""
    await lab.show(host())
    await run(broker, "d", 2)
    await lab.show()
    gone = await broker.host(TYPE, "h1")
    assert (gone.dropped, gone.held, gone.capacity) == (True, {"VCPU": 2}, {})
    await lab.show(host())
    assert (await broker.host(TYPE, "h1")).free == {"VCPU": 6}
    await lab.show()
    await broker.transition(TYPE, "d", Status.DONE)
    assert await broker.hosts(TYPE) == []


async def test_a_snapshot_with_changes_wakes_the_granter(lab: Lab, client: Redis) -> None:
    """A changed host sets the wake marker; an unchanged snapshot does not."""
    wake = Keys(TYPE).of("wake")
    for expected in (["grant"], []):
        await client.delete(wake)
        await lab.show(host())
        assert await client.zrange(wake, 0, -1) == expected


# Holds


async def test_under_until_done_no_snapshot_ends_a_hold(broker: Broker, lab: Lab) -> None:
    """By default holds stay, whatever the job's servers are reported to use."""
    await lab.show(host())
    await run(broker, "d", 2, "s")
    await lab.show(host(used=2), shares={"s": {("h1", "VCPU"): 2}})
    assert await held(broker) == 2


async def test_hold_and_seen_add_up_to_the_grant(broker: Broker, lab: Lab, client: Redis) -> None:
    """The hold shrinks by what the job's servers use, and grows again as they use less."""
    await until_seen(broker)
    await lab.show(host())
    await run(broker, "d", 4, "a", "b")
    for a, b, left in ((0, 0, 4), (1, 0, 3), (1, 0, 3), (1, 2, 1), (3, 3, 0), (0, 2, 2), (0, 0, 4)):
        shares = {"a": {("h1", "VCPU"): a}, "b": {("h1", "VCPU"): b}}
        await lab.show(host(used=a + b), shares=shares)
        assert await held(broker) == left
        assert (await broker.type_state(TYPE, usage=True)).usage == {"o": {"VCPU": 4}}
        assert await audit(client, TYPE) == []
    await broker.transition(TYPE, "d", Status.DONE)
    await lab.show(host())
    assert (await held(broker), (await broker.type_state(TYPE, usage=True)).usage) == (0, {})


async def test_use_on_another_host_ends_the_hold_where_it_was_granted(
    broker: Broker, lab: Lab
) -> None:
    """A server that a scheduler started on another host, or moved there, ends the hold here."""
    await until_seen(broker)
    await lab.show(host("h1"), host("h2"))
    wanted = shape({"VCPU": 2}, {"VCPU": 2})
    job = await submit(broker, "d", shape=wanted)
    assert await grant(broker, job, wanted, "h1", "h2") is not None
    await broker.transition(TYPE, "d", Status.RUNNING, servers=("a", "b"))
    for places, left in (
        ({"a": "h1"}, [0, 2]),
        ({"a": "h2", "b": "h2"}, [0, 0]),
        ({"a": "h3"}, [0, 2]),
        ({"a": "h2"}, [2, 0]),
    ):
        shares = {
            server: {(places[server], "VCPU"): 2} if server in places else {} for server in "ab"
        }
        hosts = [host(f"h{n}", 2 * list(places.values()).count(f"h{n}")) for n in (1, 2, 3)]
        await lab.show(*hosts, shares=shares)
        assert [await held(broker, "h1"), await held(broker, "h2")] == left


async def test_use_on_hosts_of_others_ends_no_hold(broker: Broker, lab: Lab) -> None:
    """What a server uses on a host that the source may not change does not count."""
    await until_seen(broker)
    await publish(broker, "byhand", VCPU=4)
    await lab.show(host(), host("byhand"))
    await run(broker, "d", 2, "s")
    await lab.show(host(), host("byhand", 2), shares={"s": {("byhand", "VCPU"): 2}})
    assert await held(broker) == 2


async def test_a_server_without_a_share_is_held_for(broker: Broker, lab: Lab) -> None:
    """A server named after the snapshot was begun uses nothing in it, so the hold stays."""
    await until_seen(broker, settle=0)
    await lab.show(host())
    await run(broker, "d", 2, "s")
    await lab.show(host(used=2))
    assert await held(broker) == 2
    await lab.show(host(used=2), shares={"s": {("h1", "VCPU"): 2}})
    assert await held(broker) == 0


@pytest.mark.parametrize("servers", [(), ("s",)])
async def test_without_known_servers_a_settle_time_applies(
    broker: Broker, lab: Lab, servers: tuple[str, ...]
) -> None:
    """If servers or shares are unknown, a snapshot begun after the settle time ends the hold."""
    await until_seen(broker, settle=0.3)
    await lab.show(host())
    await run(broker, "d", 2, *servers)
    begun = await lab.begin()
    await asyncio.sleep(0.35)
    await lab.show(host(), knows_shares=not servers, begun=begun)
    assert await held(broker) == 2
    for _ in range(2):
        await lab.show(host(used=2), knows_shares=not servers)
        assert await held(broker) == 0
    await broker.set_policy(TYPE, {"holds": "until_done"})
    await lab.show(host(used=2))
    assert await held(broker) == 2


async def test_holds_on_published_hosts_stay(broker: Broker, lab: Lab) -> None:
    """No snapshot and no settle time ends a hold on a host that the source does not report."""
    await until_seen(broker, settle=0)
    await publish(broker, "byhand", VCPU=4)
    await lab.show(host())
    await run(broker, "d", 2, on="byhand")
    await run(broker, "e", 1, "s", on="byhand")
    await lab.show(host(used=9), shares={"s": {("h1", "VCPU"): 9}})
    assert await held(broker, "byhand") == 3
    await broker.transition(TYPE, "d", Status.DONE)
    assert await held(broker, "byhand") == 1


async def test_a_release_ends_with_a_snapshot_begun_after_it(
    broker: Broker, lab: Lab, client: Redis
) -> None:
    """A server may run that no snapshot shows, so capacity of an ended job stays held till then."""
    await until_seen(broker)
    await lab.show(host())
    await run(broker, "d", 2, "s")
    begun = await lab.begin()
    await asyncio.sleep(0.002)
    await broker.withdraw(TYPE, "d")
    await lab.show(host(), begun=begun)
    assert await held(broker) == 2
    assert await audit(client, TYPE) == []
    await lab.show(host(used=2))
    assert await held(broker) == 0
    assert await client.exists(Keys(TYPE).of("parting")) == 0


async def test_deleting_a_host_ends_its_releases(broker: Broker, lab: Lab, client: Redis) -> None:
    """A host deleted by hand leaves nothing held, also if its source never polls again."""
    await until_seen(broker)
    await lab.show(host())
    await run(broker, "d", 2)
    await broker.transition(TYPE, "d", Status.DONE)
    await broker.drop_host(TYPE, "h1")
    assert await broker.hosts(TYPE) == []
    assert await broker.sources(TYPE) == []
    assert await audit(client, TYPE) == []


async def test_a_damaged_job_does_not_stop_a_snapshot(
    broker: Broker, lab: Lab, client: Redis
) -> None:
    """A job whose amounts cannot be read keeps its holds; the snapshot's hosts are applied."""
    await until_seen(broker)
    await lab.show(host())
    await run(broker, "d", 2, "s")
    await client.hset(Keys(TYPE).of("seen", "d"), "h1/VCPU", "many")
    begun = await broker.watch(TYPE, LAB, 1, 5.0)
    assert begun is not None
    shares = {"s": {("h1", "VCPU"): 2}}
    report = SourceReport(9, [host(used=2), host("h2")], shares)
    assert await broker.apply(TYPE, LAB, 1, begun.begun, report) == (2, 0)
    hosts = {host.name: host for host in await broker.hosts(TYPE)}
    assert (hosts["h1"].used, hosts["h1"].held) == ({"VCPU": 2}, {"VCPU": 2})


@pytest.mark.parametrize("seed", range(3))
async def test_random_snapshots_keep_every_sum(
    broker: Broker, lab: Lab, client: Redis, seed: int
) -> None:
    """Servers appear, move and end as jobs do: the audit is clean and free capacity is right."""
    rng = Random(seed)
    await until_seen(broker)
    names = ["h1", "h2"]
    await lab.show(*(host(name, capacity=20) for name in names))
    jobs: dict[str, int] = {}
    has: dict[str, tuple[str, int]] = {}
    for step in range(25):
        name = f"d{step}"
        if len(jobs) < 4:
            jobs[name] = rng.randint(1, 4)
            await run(broker, name, jobs[name], f"s{name}", on=rng.choice(names))
        for each in jobs:
            if rng.random() < 0.5:
                has[f"s{each}"] = (rng.choice(names), rng.randint(0, 5))
        if rng.random() < 0.3:
            over = rng.choice(list(jobs))
            del jobs[over]
            has.pop(f"s{over}", None)
            await broker.transition(TYPE, over, Status.DONE)
        shares = {server: {(where, "VCPU"): n} for server, (where, n) in has.items()}
        used = {each: sum(n for where, n in has.values() if where == each) for each in names}
        await lab.show(*(host(each, used[each], 20) for each in names), shares=shares)
        faults = [
            finding for finding in await audit(client, TYPE) if finding.severity is Severity.FAULT
        ]
        assert faults == []
        taken = sum(max(amount, has.get(f"s{each}", ("", 0))[1]) for each, amount in jobs.items())
        free = sum(published.free["VCPU"] for published in await broker.hosts(TYPE))
        assert free == 40 - taken
