"""One destination with several owners: each has a breaker and room of its own there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.holding_times import Prediction, Source
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Grant
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.worker.janitor import Janitor
from tests.making import TYPE, claim_one, grant_to, planned_grant, publish, settle, shape, submit
from tests.store.lua.breaking import HEALTHY, HERE, UNHEALTHY, claim_due, half_open

SLOW = Settlement("delivered", "http_200", 5000, health="healthy")
PREDICTION = Prediction.same(60.0, Source.OWNER)


async def _grant(broker: Broker, owner: str, count: int, prefix: str = "") -> None:
    """Grant jobs of an owner, all at one gateway, in one call: grants wait for late callbacks."""
    await publish(broker, VCPU=5000)
    wanted, plans = shape(owner=owner, destination=HERE), list[Grant]()
    for number in range(count):
        name = f"{prefix or owner}{number}"
        job = await submit(broker, name, owner_id=owner, callback=f"{HERE}/{name}", shape=wanted)
        plans.append(replace(planned_grant(job, wanted), prediction=PREDICTION))
    granted = await broker.grant_many(TYPE, plans, await broker.type_state(TYPE))
    assert None not in granted.fences


def _count(deliveries: list[Delivery], owner: str) -> int:
    return sum(delivery.job.owner_id == owner for delivery in deliveries)


async def test_a_path_that_fails_closes_the_gateway_for_its_owner_alone(
    client: Redis, broker: Broker
) -> None:
    """Five failures of one owner's callbacks open its breaker; others are granted and called."""
    await _grant(broker, "bad", 1)
    for _ in range(5):
        await settle(broker, await claim_one(broker), UNHEALTHY)
    assert (await broker.type_state(TYPE)).closed == {f"{HERE} bad"}
    await _grant(broker, "good", 1)
    await _grant(broker, "", 1, "nobodys")
    claimed = await claim_due(broker)
    assert {delivery.job.request_id for delivery in claimed} == {"good0", "nobodys0"}
    for delivery in claimed:
        assert await settle(broker, delivery, HEALTHY) == "running"
    states = {d.owner: (d.state, d.parked) for d in (await broker.destinations(TYPE))[1]}
    assert states == {"bad": ("open", 1), "good": ("closed", 0), "": ("closed", 0)}
    assert await audit(client, TYPE) == []


async def test_a_gateway_that_answers_one_owner_is_no_outage(broker: Broker) -> None:
    """Failing paths behind gateways that answer others count against the paths."""
    await publish(broker, VCPU=5000)
    for host in "abc":
        await grant_to(broker, f"http://{host}:80", f"good-{host}", owner="good")
        await grant_to(broker, f"http://{host}:80", f"bad-{host}", owner="bad")
    for _ in range(5):
        for delivery in await claim_due(broker):
            is_good = delivery.job.owner_id == "good"
            await settle(broker, delivery, HEALTHY if is_good else UNHEALTHY)
    outage, destinations = await broker.destinations(TYPE)
    assert not outage
    assert {d.state for d in destinations if d.owner == "bad"} == {"open"}


async def test_one_owner_takes_all_slots_of_a_destination_of_its_own(broker: Broker) -> None:
    """As long as nobody else is called there, the policy's concurrency is its own."""
    await broker.set_policy(TYPE, {"concurrency": 8})
    await _grant(broker, "alone", 12)
    assert len(await claim_due(broker)) == 8


async def test_hanging_owners_never_hold_all_slots(client: Redis, broker: Broker) -> None:
    """Each takes no more slots than it leaves free, so that another owner is called at once."""
    await broker.set_policy(TYPE, {"concurrency": 32})
    await _grant(broker, "late", 1, "first")
    await settle(broker, await claim_one(broker), SLOW)
    hanging: list[Delivery] = []
    for owner, most in (("a", 16), ("b", 8), ("c", 4)):
        await _grant(broker, owner, 40)
        claimed = await claim_due(broker)
        hanging += claimed
        assert 0 < _count(claimed, owner) == len(claimed) <= most
    await _grant(broker, "late", 1)
    (delivery,) = await claim_due(broker)
    assert delivery.job.request_id == "late0"
    assert len(hanging) + 1 <= 32
    assert await audit(client, TYPE) == []


async def test_prompt_owners_share_nearly_all_slots(client: Redis, broker: Broker) -> None:
    """An owner that is answered promptly takes all but a ninth, and others get the rest."""
    await broker.set_policy(TYPE, {"concurrency": 32})
    for owner in ("a", "b"):
        await _grant(broker, owner, 1, f"first-{owner}")
        await settle(broker, await claim_one(broker), HEALTHY)
    claimed = {"a": 0, "b": 0}
    for owner in claimed:
        for number in range(35):  # a claim after each grant, as grants wait for late callbacks
            await _grant(broker, owner, 1, f"{owner}-{number}-")
            claimed[owner] += len(await claim_due(broker))
    assert 28 <= claimed["a"] <= 29
    assert 1 <= claimed["b"] <= 32 - claimed["a"]
    assert await audit(client, TYPE) == []


async def test_freed_slots_go_to_waiting_owners_in_turns(client: Redis, broker: Broker) -> None:
    """Behind many parked callbacks of one owner, another's are claimed as slots come free."""
    await _grant(broker, "few", 1, "first")
    await settle(broker, await claim_one(broker), SLOW)
    await _grant(broker, "many", 30)
    await broker.set_policy(TYPE, {"concurrency": 4})
    flying = await claim_due(broker)
    await _grant(broker, "few", 3)
    flying += await claim_due(broker)
    order = [delivery.job.owner_id for delivery in flying]
    while flying:
        await settle(broker, flying.pop(0), SLOW)
        claimed = await claim_due(broker)
        assert len(flying) + len(claimed) <= 4
        order += [delivery.job.owner_id for delivery in claimed]
        flying += claimed
    assert len(order) == 33
    assert max(number for number, owner in enumerate(order) if owner == "few") < 12
    assert (await broker.counts(TYPE))[Status.RUNNING] == 34
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("owner", ["a", None])
async def test_a_reset_is_for_one_owner_or_for_all(broker: Broker, owner: str | None) -> None:
    """A reset of one owner leaves the breakers of others open."""
    for name in ("a", "b"):
        await _grant(broker, name, 1)
        for _ in range(5):
            await settle(broker, await claim_one(broker), UNHEALTHY)
    await broker.reset(TYPE, HERE, owner)
    assert (await broker.type_state(TYPE)).closed == ({f"{HERE} b"} if owner else frozenset())
    with pytest.raises(errors.DestinationNotFound):
        await broker.reset(TYPE, HERE, "nobody")


@pytest.mark.parametrize(("owner", "queued"), [("a", {"a0"}), (None, {"a0", "b0"}), ("c", set())])
async def test_a_requeue_is_for_one_owner_or_for_all_but_for_those_withdrawn(
    broker: Broker, owner: str | None, queued: set[str]
) -> None:
    """Failed jobs are queued again, those that answered 410 are not."""
    for name in ("a", "b"):
        await _grant(broker, name, 1)
        await settle(broker, await claim_one(broker), Settlement("failed", "http_404"))
    await _grant(broker, "a", 1, "gone")
    gone = Settlement("failed", "http_410", error="withdrawn by the client (410)")
    await settle(broker, await claim_one(broker), gone)
    assert (await broker.read(TYPE, "gone0")).error == "withdrawn by the client (410)"
    assert [attempt.cause for attempt in await broker.attempts(TYPE, "gone0")] == ["http_410"]
    assert await broker.requeue(TYPE, HERE, owner) == len(queued)
    page = await broker.page(TYPE, status="queued")
    assert {job.request_id for job in page.jobs} == queued
    assert (await broker.read(TYPE, "gone0")).status is Status.ERROR


async def test_a_settlement_tells_each_change_once(client: Redis, broker: Broker) -> None:
    """The breaker's first opening, its closing and a new pause are told, repetitions are not."""
    await _grant(broker, "a", 1)
    told = []
    for decision in [UNHEALTHY] * 5 + [HEALTHY]:
        if decision is HEALTHY:
            await half_open(client, f"{HERE} a")
            await Janitor(broker, TYPE).run_once()
        settled = await broker.settle(TYPE, [(await claim_one(broker), decision)])
        told += [(change.change, change.owner, change.failures) for change in settled.changes]
    await _grant(broker, "a", 2, "asked")
    pause = Settlement("retry", "http_429", pause=600.0)
    for delivery in await claim_due(broker):
        settled = await broker.settle(TYPE, [(delivery, pause)])
        told += [(change.change, change.owner, change.seconds) for change in settled.changes]
    assert told == [("open", "a", 5), ("closed", "a", 5), ("asked", "a", 600)]
