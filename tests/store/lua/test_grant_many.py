"""grant.lua with several grants in one call: each is decided as if it were alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from msgspec import structs
from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.offers import OFFER
from rq_broker.domain.planning import Grant
from rq_broker.domain.terms import AtOnce, Terms
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, FreeSlots
from rq_broker.store.keys import Keys
from tests.making import array_submission, planned_grant, publish, shape, submit

ALONE, TOGETHER = "alone", "together"
Scene = Callable[[Broker, Redis, str], Awaitable[list[Grant]]]


async def _plain(
    broker: Broker, type_: str, names: str, owner: str = "o", **changes: Any
) -> list[Grant]:
    """Submit jobs of one VCPU, named by a letter each, and plan them on h1."""
    jobs = [await submit(broker, name, type_, owner_id=owner, **changes) for name in names]
    return [planned_grant(job, changes.get("shape")) for job in jobs]


async def _no_room(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """The gang fits on h1, but not on h2: it takes nothing from the job behind it."""
    await publish(broker, type_=type_, VCPU=3)
    await publish(broker, "h2", type_, VCPU=1)
    before, after = await _plain(broker, type_, "ab"), await _plain(broker, type_, "yz")
    wanted = shape({"VCPU": 1}, {"VCPU": 2})
    gang = planned_grant(await submit(broker, "gang", type_, shape=wanted), wanted, "h1", "h2")
    return [*before, gang, *after]


async def _caps(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """Two owners, of which one has a limit of its own."""
    await publish(broker, type_=type_)
    await broker.set_policy(type_, {"limits": {"o": {"VCPU": 2}, "*": {"VCPU": 1}}})
    return [*await _plain(broker, type_, "abc"), *await _plain(broker, type_, "xy", "p")]


async def _twice(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """A job stands twice in the plan; another one was withdrawn; a third moved."""
    await publish(broker, type_=type_)
    grants = await _plain(broker, type_, "abcd")
    await broker.withdraw(type_, "b")
    await broker.reorder(type_, "c", "priority", "5")
    return [*grants, grants[0]]


async def _half_open(broker: Broker, client: Redis, type_: str) -> list[Grant]:
    """The receiver takes one probe; that of another owner takes all."""
    await publish(broker, type_=type_)
    name, keys = "http://x:80 o", Keys(type_)
    await client.hset(keys.of("destination", name), "open_until", "1")
    await client.zadd(keys.of("open"), {name: 1})
    return [*await _plain(broker, type_, "abc"), *await _plain(broker, type_, "xy", "p")]


async def _behind(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """Two first callbacks may wait for a receiver that is not known to be prompt."""
    await publish(broker, type_=type_)
    await broker.set_policy(type_, {"concurrency": 1})
    return [*await _plain(broker, type_, "abc"), *await _plain(broker, type_, "xyz", "p")]


async def _late(broker: Broker, client: Redis, type_: str) -> list[Grant]:
    """Callbacks are late: offers are granted, and nothing else."""
    await publish(broker, type_=type_)
    await client.zadd(Keys(type_).of("prompt"), {"0000000000000001:gone": 1})
    offered = shape(destination=OFFER)
    offers = await _plain(broker, type_, "xy", shape=offered, callback="")
    return [*await _plain(broker, type_, "ab"), *offers]


async def _array(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """Two of an array may hold at a time."""
    await publish(broker, type_=type_)
    array = await broker.submit_array(type_, array_submission(4, "row", at_once=2))
    wanted = structs.replace(shape(), at_once=AtOnce("row", 2))
    jobs = [await broker.read(type_, f"{array.name}[{n}]") for n in range(4)]
    return [planned_grant(job, wanted) for job in jobs]


async def _devices(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """Two devices of 1,000: a third job of 600 fits on neither."""
    devices = {"GPU": (1000, 1000)}
    await broker.set_host(type_, Host("h1", {"GPU": 2000}, devices=devices))
    wanted = shape({"GPU": 600})
    jobs = [await submit(broker, name, type_, shape=wanted) for name in "abc"]
    return [
        Grant(planned.head, wanted, ("h1",), devices=({"GPU": (number,)},))
        for planned, number in zip((planned_grant(job) for job in jobs), (0, 1, 0), strict=True)
    ]


async def _terms(broker: Broker, _: Redis, type_: str) -> list[Grant]:
    """Jobs with terms of their own, one with a forecast and one that was passed; nothing shared."""
    await publish(broker, type_=type_)
    await broker.set_policy(type_, {"share": "owner", "offer": None})
    timed = await _plain(broker, type_, "ab", terms=Terms(give_up_after=60.0, hold_at_most=60.0))
    others = await _plain(broker, type_, "cd")
    await broker.forecast(type_, [(await broker.read(type_, "c"), 60.0, 60.0)])
    await broker.note(type_, (), [others[1].head])
    return [*timed, *others]


SCENES: Mapping[str, tuple[Scene, str]] = {
    "no room": (_no_room, "110 10"),
    "caps": (_caps, "110 10"),
    "twice": (_twice, "1001 0"),
    "half open": (_half_open, "100 11"),
    "behind": (_behind, "110 110"),
    "late": (_late, "00 11"),
    "array": (_array, "1100"),
    "devices": (_devices, "110"),
    "terms": (_terms, "1111"),
}
"""Name → what is planned, and which of it is granted."""
NOT_CLAIMED = ("late", "behind")
"""Where callbacks are late none is claimed; those to a receiver that is behind a claim parks."""


@pytest.mark.parametrize("name", SCENES)
async def test_together_is_as_one_after_the_other(broker: Broker, client: Redis, name: str) -> None:
    """Grants of one call succeed and fail as in calls of their own, and leave the same state."""
    make, expected = SCENES[name]
    plans = {type_: await make(broker, client, type_) for type_ in (ALONE, TOGETHER)}
    states = {type_: await broker.type_state(type_) for type_ in plans}
    alone = [await broker.grant(ALONE, planned, states[ALONE]) for planned in plans[ALONE]]
    together = (await broker.grant_many(TOGETHER, plans[TOGETHER], states[TOGETHER])).fences
    for fences in (alone, together):
        assert [fence is not None for fence in fences] == [
            digit == "1" for digit in expected.replace(" ", "")
        ]
        given = [fence for fence in fences if fence is not None]
        assert given == sorted(set(given))
    assert await _stored(client, TOGETHER) == await _stored(client, ALONE)
    if name != "late":  # its delivery is of no job
        assert await audit(client, TOGETHER) == []


@pytest.mark.parametrize("slots", [FreeSlots(60.0, 2, 1), FreeSlots(60.0, 16, 16)])
@pytest.mark.parametrize("name", [name for name in SCENES if name not in NOT_CLAIMED])
async def test_grants_claim_what_a_claim_behind_them_claims(
    broker: Broker, client: Redis, name: str, slots: FreeSlots
) -> None:
    """A courier gets the same callbacks with the grants as by a claim after them, in one state."""
    make, _ = SCENES[name]
    plans = {type_: await make(broker, client, type_) for type_ in (ALONE, TOGETHER)}
    await broker.grant_many(ALONE, plans[ALONE], await broker.type_state(ALONE))
    _, behind = await broker.claim(ALONE, slots.lease, slots.count, slots.unproven)
    state = await broker.type_state(TOGETHER)
    with_them = (await broker.grant_many(TOGETHER, plans[TOGETHER], state, slots)).deliveries
    assert behind
    assert [_seen(each) for each in with_them] == [_seen(each) for each in behind]
    await client.hdel(Keys(TOGETHER).base, "unclaimed_since")  # of those that no claim found yet
    assert await _stored(client, TOGETHER) == await _stored(client, ALONE)
    assert await audit(client, TOGETHER) == []


def _seen(delivery: Delivery) -> tuple[Any, ...]:
    """Return of a delivery what does not differ from type to type, and from submit to submit."""
    job = delivery.job
    kept = (job.request_id, job.status, job.owner_id, job.callback, job.hosts, job.devices)
    return *kept, job.attempts, delivery.attempt, delivery.keys, delivery.unproven


async def test_no_grants_are_no_call(broker: Broker) -> None:
    """An empty plan, and one that no host of the state allows, commit nothing."""
    await publish(broker)
    narrow = shape(aggregate="elsewhere")
    job = await submit(broker, shape=narrow)
    state = await broker.type_state(job.type)
    assert (await broker.grant_many(job.type, [], state)).fences == []
    refused = await broker.grant_many(job.type, [planned_grant(job, narrow)], state)
    assert refused.fences == [None]


async def _stored(client: Redis, type_: str) -> dict[str, Any]:
    """Read all keys of a type without times, and without what counts changes of hosts."""
    base, stored = Keys(type_).base, dict[str, Any]()
    for name in map(str, await client.keys()):
        if name.startswith(base):
            stored[name.removeprefix(base)] = await _contents(client, name)
    return stored


async def _contents(client: Any, name: str) -> Any:
    kind = await client.type(name)
    if kind == "hash":
        return _fields(await client.hgetall(name))
    if kind == "zset":
        return sorted(await client.zrange(name, 0, -1))
    if kind == "set":
        return sorted(await client.smembers(name))
    if kind == "stream":
        return [_fields(entry) for _, entry in await client.xrange(name)]
    return kind


def _fields(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """List fields without numbers of times, of how long somebody waited, and of hosts' changes."""
    kept, waits = list[tuple[str, str]](), Counter[str]()
    for field, text in fields.items():
        size = re.match(r"wait:\S+?:(?!ms)", field)
        if size:  # how long each waited is the machine's doing
            waits[size[0]] += int(text)
        elif field not in ("hosts", "waited") and not field.endswith(":ms"):
            kept.append((field, _timeless(text)))
    return sorted([*kept, *((size, str(count)) for size, count in waits.items())])


def _timeless(text: str) -> str:
    return re.sub(r"^[\d.e-]+ (?=\d{13})|\d{13,}", "time", text)  # an average until a time
