"""Jobs that leave a choice to their grant: which alternative, and how many instances."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.choices import Elastic
from rq_broker.domain.holding_times import demand_key
from rq_broker.domain.jobs import Demand, Job, Shape, Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, array_submission, planned_grant, publish, submit

KEYS = Keys(TYPE)
OLD, NEW = Demand(((("VCPU", 8),),)), Demand(((("VCPU", 2),),) * 2)
EITHER = replace_struct(OLD, alternatives=(NEW,))
ELASTIC = replace_struct(NEW, elastic=Elastic(0, 3))


def shape_of(demand: Demand) -> Shape:
    """Build a shape of a job of `making.submit`."""
    return Shape(demand, "o", "http://x:80")


async def submit_demand(broker: Broker, demand: Demand, name: str = "d") -> Job:
    """Submit a job of a demand."""
    return await submit(broker, name, shape=shape_of(demand))


async def grant_as(
    broker: Broker, job: Job, demand: Demand, count: int, alternative: int = 0
) -> int | None:
    """Grant a job so many instances on h1, as an alternative; return its fence."""
    planned = planned_grant(job, shape_of(demand), *("h1",) * count)
    state = await broker.type_state(TYPE)
    return await broker.grant(TYPE, replace_struct(planned, alternative=alternative), state)


async def events(client: Redis) -> list[tuple[str, str | None]]:
    """Return the status and the alternative of each event."""
    entries: Any = await client.xrange(KEYS.of("events"))
    return [(fields["status"], fields.get("alternative")) for _, fields in entries]


async def test_a_job_holds_what_the_alternative_takes(broker: Broker, client: Redis) -> None:
    """Held and usage are of the granted alternative; job and events say which one it is."""
    await publish(broker)
    job = await submit_demand(broker, EITHER)
    assert job.alternative is None
    assert await grant_as(broker, job, EITHER, 2, alternative=1) is not None
    granted = await broker.read(TYPE, "d")
    assert (granted.alternative, granted.hosts) == (1, ("h1", "h1"))
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 4}
    assert (await broker.type_state(TYPE, usage=True)).usage == {"o": {"VCPU": 4}}
    (hold,) = (await broker.running_holds(TYPE, Status.GRANTED))[1]
    assert (hold.amounts, hold.demand) == ({"h1": {"VCPU": 4}}, EITHER)
    assert hold.demand_key == demand_key(NEW)
    assert await audit(client, TYPE) == []
    await broker.transition(TYPE, "d", Status.RUNNING)
    await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.read(TYPE, "d")).alternative is None
    assert await events(client) == [
        *[("queued", None), ("granted", "1"), ("running", "1"), ("queued", None)]
    ]
    again = await broker.read(TYPE, "d")
    assert await grant_as(broker, again, EITHER, 1) is not None
    await broker.transition(TYPE, "d", Status.DONE)
    assert (await events(client))[-2:] == [("granted", "0"), ("done", "0")]
    assert await audit(client, TYPE) == []


async def test_a_job_holds_as_many_instances_as_it_was_granted(
    broker: Broker, client: Redis
) -> None:
    """Of an elastic job each instance counts; it has no alternative to tell of."""
    await publish(broker)
    job = await submit_demand(broker, ELASTIC)
    assert await grant_as(broker, job, ELASTIC, 4) is not None
    granted = await broker.read(TYPE, "d")
    assert (granted.alternative, granted.hosts) == (None, ("h1",) * 4)
    (hold,) = (await broker.running_holds(TYPE, Status.GRANTED))[1]
    assert hold.amounts == {"h1": {"VCPU": 8}}
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize(
    ("demand", "count", "alternative"),
    [
        (EITHER, 1, 2),
        (EITHER, 1, -1),
        (EITHER, 2, 0),
        (EITHER, 1, 1),
        (ELASTIC, 1, 0),
        (ELASTIC, 6, 0),
        (ELASTIC, 2, 1),
        (NEW, 3, 0),
    ],
)
async def test_what_a_job_does_not_allow_is_not_granted(
    broker: Broker, demand: Demand, count: int, alternative: int
) -> None:
    """An alternative that the job has not, or a number out of its range, holds nothing."""
    await publish(broker)
    job = await submit_demand(broker, demand)
    assert await grant_as(broker, job, demand, count, alternative) is None
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_a_choice_is_of_the_job_as_it_is(broker: Broker) -> None:
    """A plan for another shape than the job has now holds nothing, whatever that allowed."""
    await publish(broker)
    job = await submit_demand(broker, EITHER)
    other = replace_struct(EITHER, alternatives=(OLD, NEW))
    assert await grant_as(broker, job, other, 2, alternative=2) is None
    await broker.set_expected(TYPE, "d", 60.0)
    assert await grant_as(broker, job, EITHER, 2, alternative=1) is None
    assert (await broker.host(TYPE, "h1")).held == {}


async def test_traits_of_the_alternative_are_checked(broker: Broker) -> None:
    """What only another alternative asks of its hosts does not count."""
    await publish(broker)
    demand = replace_struct(OLD, aggregate="nowhere", alternatives=(NEW,))
    job = await submit_demand(broker, demand)
    assert await grant_as(broker, job, demand, 1) is None
    assert await grant_as(broker, job, demand, 2, alternative=1) is not None


# Preferring the first


async def test_a_job_prefers_its_first_alternative_until_a_time(
    broker: Broker, client: Redis
) -> None:
    """Heads and the line tell until when; at that time the granter is woken."""
    demand = replace_struct(EITHER, prefer_for=40)
    before = await broker.now(TYPE)
    await submit_demand(broker, demand)
    (shape,) = (await broker.heads(TYPE, 0, 10, 10)).waiting
    (waiting,) = (await broker.line(TYPE)).jobs
    until = shape.heads[0].prefers_until
    assert before + 0.039 <= until <= await broker.now(TYPE) + 0.04
    assert waiting.prefers_until == until
    await client.delete(KEYS.of("wake"))
    while await broker.now(TYPE) < until:
        assert await client.zrange(KEYS.of("wake"), 0, -1) == []
        await asyncio.sleep(0.002)
    await broker.sweep(TYPE)
    assert await client.zrange(KEYS.of("wake"), 0, -1) == ["grant"]


async def test_a_job_that_is_gone_wakes_nobody(broker: Broker, client: Redis) -> None:
    """What would wake the granter goes with the job, and comes back with a repair."""
    demand = replace_struct(EITHER, prefer_for=3_600_000)
    job = await submit_demand(broker, demand)
    later = await client.zrange(KEYS.of("later"), 0, -1, withscores=True)
    await client.delete(KEYS.of("later"))
    name = member(job.id, "d")
    await broker.runner.run("repair_job", TYPE, member=name, callback=None, sets=[])
    assert await client.zrange(KEYS.of("later"), 0, -1, withscores=True) == later
    await broker.withdraw(TYPE, "d")
    assert await client.exists(KEYS.of("later")) == 0
    await submit_demand(broker, EITHER)
    assert await client.exists(KEYS.of("later")) == 0


# Arrays


async def test_jobs_of_an_array_choose_each_for_itself(broker: Broker, client: Redis) -> None:
    """Alternatives, their time and a range are of each job, as if it were submitted alone."""
    await publish(broker, VCPU=14)
    demand = replace_struct(ELASTIC, alternatives=(OLD,), prefer_for=3_600_000)
    before = await broker.now(TYPE)
    await broker.submit_array(TYPE, array_submission(3, shapes=(shape_of(demand),)))
    (waiting,) = (await broker.heads(TYPE, 0, 10, 10)).waiting
    assert waiting.shape.demand == demand
    untils = [line_job.prefers_until for line_job in (await broker.line(TYPE)).jobs]
    assert len(untils) == 3
    assert all(until >= before + 3_599 for until in untils)
    assert len(await client.zrange(KEYS.of("later"), 0, -1)) == 3
    assert await audit(client, TYPE) == []
    first, second, third = [await broker.read(TYPE, f"s[{number}]") for number in range(3)]
    assert await grant_as(broker, first, demand, 6) is None
    assert await grant_as(broker, first, demand, 3) is not None
    assert await grant_as(broker, second, demand, 1, alternative=1) is not None
    granted = [await broker.read(TYPE, f"s[{number}]") for number in range(2)]
    assert [(job.alternative, len(job.hosts)) for job in granted] == [(0, 3), (1, 1)]
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 14}
    assert await grant_as(broker, third, demand, 2) is None
    assert await audit(client, TYPE) == []
    await broker.withdraw_array(await broker.read_array(TYPE, "s"))
    assert (await broker.host(TYPE, "h1")).held == {}
    assert await client.exists(KEYS.of("later")) == 0
    assert await audit(client, TYPE) == []


# Others that read it


@pytest.mark.parametrize("demand", [EITHER, ELASTIC])
async def test_an_older_notifier_refuses_choices(
    broker: Broker, client: Redis, demand: Demand
) -> None:
    """While a notifier that would misread it serves the type, such a job is not stored."""
    now = round(await broker.runner.now() * 1000)
    await client.hset("rqb:notifiers", "old", f'{{"reported":{now},"types":[]}}')
    with pytest.raises(errors.OlderNotifiers, match="notifier old serves vm"):
        await submit_demand(broker, demand)
    await submit_demand(broker, NEW)


@pytest.mark.parametrize(("field", "value"), [("alternative", "2"), ("hosts", '["h1"]')])
async def test_the_audit_tells_what_no_choice_allows(
    broker: Broker, client: Redis, field: str, value: str
) -> None:
    """A job that holds as an alternative, or as a number, that it does not have is a fault."""
    await publish(broker)
    job = await submit_demand(broker, EITHER)
    assert await grant_as(broker, job, EITHER, 2, alternative=1) is not None
    await client.hset(KEYS.of("job", "d"), field, value)
    faults = [finding.text for finding in await audit(client, TYPE)]
    assert [text for text in faults if "instances, which its demand does not allow" in text]


async def test_the_audit_tells_an_alternative_of_a_job_that_holds_nothing(
    broker: Broker, client: Redis
) -> None:
    """An alternative is of a grant: a job without one has none, and a repair takes it away."""
    job = await submit_demand(broker, EITHER)
    await client.hset(KEYS.of("job", "d"), "alternative", "1")
    (finding,) = await audit(client, TYPE)
    assert finding.text == "is queued but has an alternative"
    name = member(job.id, "d")
    await broker.runner.run("repair_job", TYPE, member=name, callback=None, sets=[])
    assert await audit(client, TYPE) == []
