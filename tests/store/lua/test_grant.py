"""grant.lua: capacity held whole, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.holding_times import demand_key
from rq_broker.domain.jobs import Status
from rq_broker.domain.traits import Traits, instance_of
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, grant, planned_grant, publish, shape, submit

KEYS = Keys(TYPE)


async def test_a_grant_is_whole_or_nothing(broker: Broker, client: Redis) -> None:
    """When the last instance of a job does not fit, nothing is held for the others."""
    await publish(broker, "h1", VCPU=4)
    await publish(broker, "h2", VCPU=1)
    wanted = shape({"VCPU": 2}, {"VCPU": 2}, {"VCPU": 2})
    job = await submit(broker, shape=wanted)
    assert await grant(broker, job, wanted, "h1", "h1", "h2") is None
    assert all(not host.held for host in await broker.hosts(TYPE))
    await publish(broker, "h2", VCPU=2)
    assert await grant(broker, job, wanted, "h1", "h1", "h2") is not None
    assert {host.name: host.held for host in await broker.hosts(TYPE)} == {
        "h1": {"VCPU": 4},
        "h2": {"VCPU": 2},
    }
    job = await broker.read(TYPE, "d")
    assert (job.status, job.hosts) == (Status.GRANTED, ("h1", "h1", "h2"))
    assert await audit(client, TYPE) == []


async def test_instances_on_one_host_count_together(broker: Broker) -> None:
    """Two instances that fit one by one, but not together, are refused."""
    await publish(broker, VCPU=3)
    wanted = shape({"VCPU": 2}, {"VCPU": 2})
    assert await grant(broker, await submit(broker, shape=wanted), wanted) is None


async def test_used_counts_against_capacity(broker: Broker) -> None:
    """What a source counts as used is not granted, also where more is used than there is."""
    job = await submit(broker)
    for used in (4, 5):
        await broker.set_host(TYPE, Host("h1", {"VCPU": 4}, {"VCPU": used}))
        assert await grant(broker, job) is None
    await broker.set_host(TYPE, Host("h1", {"VCPU": 4}, {"VCPU": 3}))
    assert await grant(broker, job) is not None


async def test_a_plan_that_is_no_longer_true_is_refused(broker: Broker) -> None:
    """After a reorder, a withdrawal, a pause, or without the host, nothing is held."""
    await publish(broker)
    job = await submit(broker)
    assert await grant(broker, job, None, "nowhere") is None
    await broker.reorder(TYPE, "d", "priority", "5")
    assert await grant(broker, job) is None
    await broker.withdraw(TYPE, "d")
    again = await submit(broker, priority=job.priority)
    assert await grant(broker, job) is None
    state = await broker.type_state(TYPE)
    await broker.set_policy(TYPE, {"paused": True})
    assert await broker.grant(TYPE, planned_grant(again), state) is None
    assert await grant(broker, again) is None
    await broker.set_policy(TYPE, {"paused": False})
    assert await grant(broker, again) is not None
    assert await grant(broker, again) is None
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 1}


@pytest.mark.parametrize("wanted", ["a", "b"])
async def test_every_host_must_be_in_the_aggregate(broker: Broker, wanted: str) -> None:
    """A job of an aggregate is granted on hosts of that aggregate only."""
    await publish(broker, "in")
    await broker.set_host(TYPE, Host("out", {"VCPU": 9}, aggregates=frozenset({"ab", "xax"})))
    narrow = shape(aggregate=wanted)
    job = await submit(broker, shape=narrow)
    assert await grant(broker, job, narrow, "out") is None
    assert await grant(broker, job, narrow, "in") is not None


@pytest.mark.parametrize(("has", "wanted"), [({"a", "b"}, ","), ({'x"y'}, "y")])
async def test_an_aggregate_is_compared_as_a_whole(
    broker: Broker, has: set[str], wanted: str
) -> None:
    """Punctuation in the names of aggregates never puts a host into another one."""
    await broker.set_host(TYPE, Host("h1", {"VCPU": 9}, aggregates=frozenset(has)))
    narrow = shape(aggregate=wanted)
    assert await grant(broker, await submit(broker, shape=narrow), narrow) is None


async def test_a_host_that_left_the_aggregate_is_refused(broker: Broker) -> None:
    """A host whose aggregates changed after the plan gets no job of an aggregate, only others."""
    await publish(broker)
    narrow = shape(aggregate="a")
    job, other = await submit(broker, shape=narrow), await submit(broker, "e")
    state = await broker.type_state(TYPE)
    await broker.set_host(TYPE, Host("h1", {"VCPU": 9}, aggregates=frozenset({"b"})))
    assert await broker.grant(TYPE, planned_grant(job, narrow), state) is None
    assert await broker.grant(TYPE, planned_grant(other), state) is not None


@pytest.mark.parametrize("text", ['["a","b"]', '[ "b",\n"a" ]'])
async def test_aggregates_are_compared_as_they_are_written(
    broker: Broker, client: Redis, text: str
) -> None:
    """A host gets jobs of its aggregates however the JSON of its field is spaced and ordered."""
    await publish(broker)
    narrow = shape(aggregate="a")
    job = await submit(broker, shape=narrow)
    await client.hset(KEYS.of("host", "h1"), "aggregates", text)
    state = await broker.type_state(TYPE)
    assert state.hosts["h1"].aggregates == {"a", "b"}
    assert await broker.grant(TYPE, planned_grant(job, narrow), state) is not None


async def test_caps_hold_per_owner(broker: Broker, client: Redis) -> None:
    """An owner never exceeds its own cap, or that of all others; a release makes room again."""
    await publish(broker)
    await broker.set_policy(TYPE, {"limits": {"*": {"VCPU": 1}, "a/b:c": {"VCPU": 2}}})
    for owner, most in (("a/b:c", 2), ("p", 1)):
        names = [f"{most}-{n}" for n in range(most + 1)]
        jobs = [await submit(broker, name, owner_id=owner) for name in names]
        fences = [await grant(broker, job) for job in jobs]
        assert [fence is not None for fence in fences] == [True] * most + [False]
        await broker.transition(TYPE, jobs[0].request_id, Status.DONE)
        assert await grant(broker, jobs[-1]) is not None
    usage = (await broker.type_state(TYPE, usage=True)).usage
    assert usage == {"a/b:c": {"VCPU": 2}, "p": {"VCPU": 1}}
    assert await audit(client, TYPE) == []


async def test_an_instance_of_nothing_needs_a_host_too(broker: Broker) -> None:
    """The host of an instance without resources must exist and be in the aggregate too."""
    await publish(broker)
    nothing = shape({}, aggregate="other")
    job = await submit(broker, shape=nothing)
    assert await grant(broker, job, nothing, "nowhere") is None
    assert await grant(broker, job, nothing, "h1") is None


async def test_no_instance_is_larger_than_its_host_allows(broker: Broker) -> None:
    """The current max_unit limits each instance, not their sum, whatever was planned."""
    wanted = shape({"VCPU": 2, "Memory": 1}, {"VCPU": 1})
    job = await submit(broker, shape=wanted)
    for most, fits in ((1, False), (2, True)):
        await broker.set_host(TYPE, Host("h1", {"VCPU": 9, "Memory": 9}, max_unit={"VCPU": most}))
        assert (await grant(broker, job, wanted) is not None) is fits
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 3, "Memory": 1}


async def test_a_grant_keeps_what_was_predicted_of_it(broker: Broker, client: Redis) -> None:
    """The prediction is in the job's hash while the job holds, and leaves it with the grant."""
    await publish(broker)
    job = await submit(broker)
    assert await grant(broker, job, predicted=90.5) is not None
    key = demand_key(shape().demand)
    fields = ["predicted", "predicted_from", "demand_key", "size"]
    name = KEYS.of("job", "d")
    assert await client.hmget(name, fields) == ["90500", "owner", key, "-3"]
    await broker.transition(TYPE, "d", Status.RUNNING)
    assert await client.hmget(name, fields) == ["90500", "owner", key, "-3"]
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert await client.hmget(name, fields) == [None] * 4
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize(
    ("units", "is_granted"),
    [
        ({"min_unit": {"VCPU": 2}}, True),
        ({"min_unit": {"VCPU": 3}}, False),
        ({"step_size": {"VCPU": 2}}, True),
        ({"step_size": {"VCPU": 4}}, False),
    ],
)
async def test_no_instance_is_granted_that_its_host_refuses(
    broker: Broker, units: dict[str, Any], is_granted: bool
) -> None:
    """The current min_unit and step_size bind each instance, whatever was planned."""
    wanted = shape({"VCPU": 2}, {"VCPU": 4})
    job = await submit(broker, shape=wanted)
    await broker.set_host(TYPE, Host("h1", {"VCPU": 9}, **units))
    assert (await grant(broker, job, wanted) is not None) is is_granted


TRAITED = shape(aggregate="a", require=("T",), forbid=("U",))


@pytest.mark.parametrize("traits", [{"T", "V"}, {"T", "U"}, set()])
async def test_a_host_whose_traits_changed_is_refused(broker: Broker, traits: set[str]) -> None:
    """After the plan, a host of other traits gets no job that names some; others it does get."""
    host = Host("h1", {"VCPU": 9}, aggregates=frozenset("a"), traits=frozenset({"T"}))
    await broker.set_host(TYPE, host)
    job, other = await submit(broker, shape=TRAITED), await submit(broker, "e")
    state = await broker.type_state(TYPE)
    await broker.set_host(TYPE, replace(host, traits=frozenset(traits)))
    assert await broker.grant(TYPE, planned_grant(job, TRAITED), state) is None
    assert await broker.grant(TYPE, planned_grant(other), state) is not None
    await broker.set_host(TYPE, host)
    assert await broker.grant(TYPE, planned_grant(job, TRAITED), state) is not None


async def test_traits_of_one_instance_are_checked_where_it_is(broker: Broker) -> None:
    """A plan that puts an instance on a host without its own traits is refused."""
    for name, traits in (("h1", {"T"}), ("h2", set[str]())):
        await broker.set_host(TYPE, Host(name, {"VCPU": 9}, traits=frozenset(traits)))
    own = shape()
    fast = instance_of((("VCPU", 1),), Traits(("T",)))
    mixed = structs.replace(
        own, demand=structs.replace(own.demand, instances=(fast, *own.demand.instances))
    )
    job = await submit(broker, shape=mixed)
    assert await grant(broker, job, mixed, "h2", "h1") is None
    assert await grant(broker, job, mixed, "h1", "h2") is not None


async def test_a_host_that_is_not_anywhere_any_more_is_refused(
    broker: Broker, client: Redis
) -> None:
    """What counted as anywhere in the plan must be so still, in whatever aggregate it is."""
    licences = Host("licences", {"VCPU": 9}, anywhere=True)
    await broker.set_host(TYPE, licences)
    job = await submit(broker, shape=TRAITED)
    state = await broker.type_state(TYPE)
    await broker.set_host(TYPE, replace(licences, anywhere=False))
    assert await broker.grant(TYPE, planned_grant(job, TRAITED, "licences"), state) is None
    await broker.set_host(TYPE, licences)
    assert await broker.grant(TYPE, planned_grant(job, TRAITED, "licences"), state) is not None
    assert await audit(client, TYPE) == []


async def test_traits_are_read_back(broker: Broker) -> None:
    """A host is read as it was published, and loses its traits when it goes out of service."""
    host = Host("h1", {"VCPU": 9}, traits=frozenset({"T", "a b"}), anywhere=True)
    await broker.set_host(TYPE, host)
    assert await broker.host(TYPE, "h1") == host
    assert await grant(broker, await submit(broker)) is not None
    await broker.drop_host(TYPE, "h1")
    dropped = await broker.host(TYPE, "h1")
    assert (dropped.dropped, dropped.traits, dropped.anywhere) == (True, frozenset(), False)
