"""lib/offer.lua: offers are taken, declined or missed; a client that is gone starves nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import read_snapshot
from rq_broker.domain import errors
from rq_broker.domain.arrays import Template
from rq_broker.domain.jobs import Status
from rq_broker.domain.offers import OFFER
from rq_broker.domain.terms import Terms
from rq_broker.planner import ReasonCode, plan
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from rq_broker.store.repair import Repair
from tests.making import TYPE, array_submission, grant, publish, queue, shape, submit
from tests.redis_reads import members

KEYS = Keys(TYPE)
WANTED = shape(destination=OFFER)
RECEIVER = "offer o"


async def _submit(broker: Broker, *names: str, **changes: Any) -> None:
    for name in names:
        await submit(broker, name, **{"callback": "", "shape": WANTED, **changes})


async def _offered(broker: Broker, name: str = "d", **changes: Any) -> int:
    """Submit a job without callback and grant it; return its fence."""
    await publish(broker)
    await _submit(broker, name, **changes)
    fence = await grant(broker, await broker.read(TYPE, name), WANTED)
    assert fence is not None
    return fence


async def _end_offers(client: Redis, broker: Broker) -> int:
    """Let all offers end, and sweep; return how many jobs that moved."""
    for member in await members(client, KEYS.of("status", "granted")):
        await client.zadd(KEYS.of("deadlines"), {member: 1})
    return (await broker.sweep(TYPE))[1]


async def _miss(client: Redis, broker: Broker) -> int:
    """Grant what can be granted, and let the offers end; return how many there were."""
    granted = await Granter(broker, TYPE).run_once()
    assert await _end_offers(client, broker) == granted
    assert await audit(client, TYPE) == []
    return granted


async def _end_pause(client: Redis) -> None:
    """End the pause of the breaker."""
    await client.hset(KEYS.of("destination", RECEIVER), "open_until", "1")
    await client.zadd(KEYS.of("open"), {RECEIVER: 1})


async def _reasons(broker: Broker) -> set[ReasonCode]:
    window = await read_snapshot(broker, TYPE)
    return {reason.code for reason in plan(window.snapshot).reasons.values()}


async def _statuses(client: Redis) -> list[str]:
    entries: Any = await client.xrange(KEYS.of("events"))
    return [fields["status"] for _, fields in entries]


async def test_an_offer_is_taken(client: Redis, broker: Broker) -> None:
    """No callback is due for an offer; `running` takes it, and taking it twice changes nothing."""
    fence = await _offered(broker)
    assert await client.exists(KEYS.of("deliveries"), KEYS.of("prompt")) == 0
    assert await broker.claim(TYPE, 60.0, 10) == (None, [])
    assert "deliver" not in await members(client, KEYS.of("wake"))
    job = await broker.read(TYPE, "d")
    assert (job.status, job.attempts) == (Status.GRANTED, 0)
    assert job.offer_ends is not None
    assert 290 < (job.offer_ends - job.created) / 1e6 < 400
    assert await audit(client, TYPE) == []
    for before in (Status.GRANTED, Status.RUNNING):
        moved = await broker.transition(TYPE, "d", Status.RUNNING, fence=fence)
        assert moved is before
    assert (await broker.read(TYPE, "d")).offer_ends is None
    assert (await broker.host(TYPE, "h1")).held == {"VCPU": 1}
    assert await audit(client, TYPE) == []


async def test_jobs_without_callback_share_no_callback(client: Redis, broker: Broker) -> None:
    """Any number of jobs of a type have none, each is withdrawn alone, and the audit is clean."""
    await _submit(broker, "a", "b", "c")
    await submit(broker, "d")
    await broker.withdraw(TYPE, "b")
    assert await queue(broker) == ["a", "c", "d"]
    assert await audit(client, TYPE) == []


async def test_a_missed_offer_puts_the_job_back_at_its_place(client: Redis, broker: Broker) -> None:
    """It holds nothing then, says so, is told as an event, and the capacity is free at once."""
    await publish(broker, VCPU=1)
    await _submit(broker, "first", "second")
    await submit(broker, "third")
    await grant(broker, await broker.read(TYPE, "first"), WANTED)
    await client.delete(KEYS.of("wake"))
    assert await _end_offers(client, broker) == 1
    assert "grant" in await members(client, KEYS.of("wake"))
    assert await queue(broker) == ["first", "second", "third"]
    job = await broker.read(TYPE, "first")
    assert (job.status, job.error, job.hosts) == (Status.QUEUED, "offer_missed", ())
    assert (await broker.host(TYPE, "h1")).held == {}
    assert (await _statuses(client))[-3:] == ["granted", "offer_missed", "queued"]
    assert await audit(client, TYPE) == []


async def test_three_misses_in_a_row_end_in_error(client: Redis, broker: Broker) -> None:
    """The third miss is an error with a cause; a requeue counts anew and calls the owner back."""
    await publish(broker)
    await _submit(broker, "d")
    for _ in range(3):
        assert await _miss(client, broker) == 1
    job = await broker.read(TYPE, "d")
    assert (job.status, job.cause) == (Status.ERROR, "offer_missed")
    assert job.error == "offer_missed: 3 offers in a row were not taken"
    assert await broker.requeue(TYPE, OFFER) == 1
    assert await _miss(client, broker) == 1
    assert (await broker.read(TYPE, "d")).status is Status.QUEUED


async def test_a_take_ends_a_row_of_misses(client: Redis, broker: Broker) -> None:
    """Two misses, an offer that is taken, and two more misses are no three in a row."""
    await publish(broker)
    await _submit(broker, "d")
    for _ in range(2):
        for _ in range(2):
            await _miss(client, broker)
        assert await Granter(broker, TYPE).run_once() == 1
        await broker.transition(TYPE, "d", Status.RUNNING)
        await broker.transition(TYPE, "d", Status.QUEUED)
    assert (await broker.read(TYPE, "d")).status is Status.QUEUED


@pytest.mark.parametrize("decline", ["queued", "withdraw"])
async def test_an_offer_is_declined(client: Redis, broker: Broker, decline: str) -> None:
    """A decline gives the capacity back at once, and is no miss."""
    await _offered(broker)
    if decline == "withdraw":
        await broker.withdraw(TYPE, "d")
    else:
        await broker.transition(TYPE, "d", Status.QUEUED)
        assert (await broker.read(TYPE, "d")).error is None
    assert (await broker.host(TYPE, "h1")).held == {}
    assert "offer_missed" not in await _statuses(client)
    assert await audit(client, TYPE) == []


async def test_what_is_not_offered_cannot_be_taken(client: Redis, broker: Broker) -> None:
    """A job whose offer ended is not running, whether or not the client names the fence."""
    fence = await _offered(broker)
    await _end_offers(client, broker)
    with pytest.raises(errors.StaleFence, match="is over"):
        await broker.transition(TYPE, "d", Status.RUNNING, fence=fence)
    with pytest.raises(errors.ImpossibleMove, match="no offer to take"):
        await broker.transition(TYPE, "d", Status.RUNNING)
    newer = await grant(broker, await broker.read(TYPE, "d"), WANTED)
    with pytest.raises(errors.StaleFence):
        await broker.transition(TYPE, "d", Status.RUNNING, fence=fence)
    await broker.transition(TYPE, "d", Status.RUNNING, fence=newer)


async def test_a_policy_without_end_lets_offers_stand(client: Redis, broker: Broker) -> None:
    """With `offer` null no offer ends; a span that is set later ends those that are open."""
    await broker.set_policy(TYPE, {"offer": None})
    await _offered(broker)
    assert (await broker.read(TYPE, "d")).offer_ends is None
    assert (await broker.sweep(TYPE))[1] == 0
    await broker.set_policy(TYPE, {"offer": 0.001})
    await asyncio.sleep(0.01)
    await broker.sweep(TYPE)
    assert (await broker.read(TYPE, "d")).error == "offer_missed"
    assert await audit(client, TYPE) == []


async def test_own_terms_hold_for_offers_too(client: Redis, broker: Broker) -> None:
    """`hold_at_most` counts from the take, `give_up_after` on over a missed offer."""
    await _offered(broker, terms=Terms(give_up_after=60.0, hold_at_most=60.0))
    gives_up = await client.hget(KEYS.of("job", "d"), "gives_up")
    await _end_offers(client, broker)
    assert await client.hget(KEYS.of("job", "d"), "gives_up") == gives_up
    await grant(broker, await broker.read(TYPE, "d"), WANTED)
    await broker.transition(TYPE, "d", Status.RUNNING)
    assert await client.zcard(KEYS.of("deadlines")) == 1
    assert await audit(client, TYPE) == []


async def test_offers_wait_for_no_courier(client: Redis, broker: Broker) -> None:
    """While callbacks are late, jobs with one wait, and those without are granted."""
    await publish(broker)
    await submit(broker, "called")
    await grant(broker, await broker.read(TYPE, "called"))
    await client.hset(KEYS.base, "unclaimed_since", "1")
    await submit(broker, "waits")
    await _submit(broker, *(f"offered {number}" for number in range(3)))
    assert await Granter(broker, TYPE).run_once() == 3
    assert await broker.callbacks_are_late(TYPE)
    assert await queue(broker) == ["waits"]


async def test_an_owner_has_so_many_offers_open(client: Redis, broker: Broker) -> None:
    """Twice the policy's concurrency; others go on, and each offer that is taken frees one."""
    await broker.set_policy(TYPE, {"concurrency": 1})
    await publish(broker)
    await _submit(broker, "a", "b", "c")
    other = shape(destination=OFFER, owner="other")
    await _submit(broker, "d", owner_id="other", shape=other)
    assert await Granter(broker, TYPE).run_once() == 3
    assert await queue(broker) == ["c"]
    assert await _reasons(broker) == {ReasonCode.OFFERS_OPEN}
    await client.delete(KEYS.of("wake"))
    await broker.transition(TYPE, "a", Status.RUNNING)
    assert "grant" in await members(client, KEYS.of("wake"))
    assert await Granter(broker, TYPE).run_once() == 1


async def test_a_client_that_is_gone_starves_nobody(client: Redis, broker: Broker) -> None:
    """After three misses of its owner one job at a time is offered, with pauses between."""
    await publish(broker, VCPU=3)
    await _submit(broker, *(f"gone {number}" for number in range(5)))
    await submit(broker, "patient")
    assert await Granter(broker, TYPE).run_once() == 3
    assert await _end_offers(client, broker) == 3
    # 1. While the breaker is open, others get the capacity.
    assert await _reasons(broker) == {ReasonCode.OFFERS_MISSED}
    assert await Granter(broker, TYPE).run_once() == 1
    assert (await broker.read(TYPE, "patient")).status is Status.GRANTED
    # 2. Then one offer at a time is open; if it is missed, the next pause is longer.
    spans = []
    for _ in range(5):
        _, destinations = await broker.destinations(TYPE)
        spans += [d.opens_for for d in destinations if d.name == OFFER]
        await _end_pause(client)
        assert await Granter(broker, TYPE).run_once() == 1
        for member in await members(client, KEYS.of("status", "granted")):
            if "gone" in member:
                await client.zadd(KEYS.of("deadlines"), {member: 1})
        assert (await broker.sweep(TYPE))[1] == 1
    assert [round(span / 300) for span in spans] == [1, 2, 4, 8, 8]
    # 3. One that is taken brings all of them back.
    await _end_pause(client)
    assert await Granter(broker, TYPE).run_once() == 1
    job = next(j for j in (await broker.page(TYPE, status="granted")).jobs if not j.callback)
    await broker.transition(TYPE, job.request_id, Status.RUNNING)
    assert await Granter(broker, TYPE).run_once() == 1
    assert await audit(client, TYPE) == []


async def test_an_operator_resets_the_offers_of_an_owner(client: Redis, broker: Broker) -> None:
    """The breaker of an owner's offers is listed and reset as that of a destination."""
    await publish(broker)
    await _submit(broker, "a", "b", "c", "d")
    await _miss(client, broker)
    assert await Granter(broker, TYPE).run_once() == 0
    await broker.reset(TYPE, OFFER, "o")
    assert await Granter(broker, TYPE).run_once() == 4


async def test_arrays_without_callback(client: Redis, broker: Broker) -> None:
    """Each job of an array without callback gets its offer; a repeated submit is the same."""
    new = array_submission(3, callback=Template(("",)), shapes=(WANTED,))
    await broker.submit_array(TYPE, new)
    with pytest.raises(errors.DuplicateRequestId) as refusal:
        await broker.submit_array(TYPE, new)
    assert refusal.value.details == {"same": True}
    await publish(broker)
    assert await Granter(broker, TYPE).run_once() == 3
    jobs, _ = await broker.page_array(TYPE, "s")
    assert all(job.offer_ends is not None and not job.callback for job in jobs)
    assert await _end_offers(client, broker) == 3
    assert await queue(broker) == ["s[0]", "s[1]", "s[2]"]
    assert await audit(client, TYPE) == []


async def test_an_offer_is_repaired(client: Redis, broker: Broker) -> None:
    """A repair gives an offer no callback, and takes one away that somebody scheduled."""
    await _offered(broker)
    (member,) = await members(client, KEYS.of("status", "granted"))
    await client.zadd(KEYS.of("deliveries"), {member: 1})
    (finding,) = await audit(client, TYPE)
    assert "its callback is in deliveries" in finding.text
    await Repair(broker.runner).repair(TYPE, [finding])
    assert await audit(client, TYPE) == []
    assert await client.exists(KEYS.of("deliveries")) == 0
