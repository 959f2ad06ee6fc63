"""lib/destination.lua: the limit and the breaker of a destination, through the broker's verbs."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import read_snapshot
from rq_broker.delivery.outcome import Outcome
from rq_broker.delivery.retry import settlement
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.planner import ReasonCode, plan
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.worker.janitor import Janitor
from tests.making import (
    TYPE,
    bring,
    claim_one,
    grant,
    publish,
    settle,
    shape,
    submit,
)
from tests.redis_reads import members
from tests.store.lua.breaking import (
    FOR_EVER,
    HEALTHY,
    HERE,
    KEYS,
    RECEIVER,
    UNHEALTHY,
    claim_due,
    destination_state,
    end_leases,
    grant_at,
    half_open,
    make_parked_due,
    open_breaker,
    set_open_until,
)

# The limit of callbacks in flight


async def test_all_claimers_share_the_limit(client: Redis, broker: Broker) -> None:
    """Ten claimers at once get as many as the policy allows; the others are parked, not lost."""
    await grant_at(broker, "x", *(f"d{n}" for n in range(8)))
    await broker.set_policy(TYPE, {"concurrency": 3})
    others = [Broker(client) for _ in range(10)]
    claims = await asyncio.gather(*map(claim_due, others))
    deliveries = [delivery for claimed in claims for delivery in claimed]
    assert len(deliveries) == 3
    state = await destination_state(broker)
    assert (state.in_flight, state.parked) == (3, 5)
    assert await audit(client, TYPE) == []
    delivered = set()
    while deliveries:
        delivered.add(deliveries[0].job.request_id)
        await settle(broker, deliveries.pop(0), HEALTHY)
        deliveries += await claim_due(broker)
        assert (await destination_state(broker)).in_flight == len(deliveries) <= 3
    assert delivered == {f"d{n}" for n in range(8)}
    assert (await broker.counts(TYPE))[Status.RUNNING] == 8
    assert await client.exists(KEYS.of("parked", RECEIVER), KEYS.of("flying", HERE)) == 0
    assert await audit(client, TYPE) == []


async def test_the_slot_of_a_killed_courier_ends_with_its_lease(
    client: Redis, broker: Broker
) -> None:
    """After couriers die with all slots, a sweep unparks callbacks once their leases end."""
    await broker.set_policy(TYPE, {"concurrency": 2})
    await grant_at(broker, "x", "a", "b", "c", "d")
    assert len(await claim_due(broker, lease=0.2)) == 2
    await Janitor(broker, TYPE).run_once()
    assert await claim_due(broker) == []
    await asyncio.sleep(0.25)
    await make_parked_due(client)
    await Janitor(broker, TYPE).run_once()
    second = await claim_due(broker)
    assert len(second) == 2
    for delivery in second:
        await settle(broker, delivery, HEALTHY)
    third = await claim_due(broker)
    for delivery in third:
        await settle(broker, delivery, HEALTHY)
    assert {delivery.job.request_id for delivery in second + third} == {"a", "b", "c", "d"}
    assert await audit(client, TYPE) == []


async def test_slots_expire(client: Redis, broker: Broker) -> None:
    """A set of slots expires within a day, also if nobody calls the destination again."""
    await grant_at(broker, "x", "d")
    await claim_one(broker)
    await broker.withdraw(TYPE, "d")
    assert 0 < await client.pttl(KEYS.of("flying", HERE)) <= 86_400_000


@pytest.mark.parametrize("end", ["withdraw", "requeue", "expire"])
async def test_parked_callbacks_end_with_their_jobs(
    client: Redis, broker: Broker, end: str
) -> None:
    """A job withdrawn, requeued or expired while its callback is parked leaves nothing parked."""
    await broker.set_policy(TYPE, {"offer": 0.3 if end == "expire" else 300})
    await grant_at(broker, "x", "a", "b", "c")
    await broker.set_policy(TYPE, {"concurrency": 1})
    assert len(await claim_due(broker)) == 1
    assert (await destination_state(broker)).parked == 2
    parked = [member[17:] for member in await members(client, KEYS.of("parked", RECEIVER))]
    for name in parked if end != "expire" else ():
        if end == "withdraw":
            await broker.withdraw(TYPE, name)
        else:
            await broker.transition(TYPE, name, Status.QUEUED)
    if end == "expire":
        await asyncio.sleep(0.4)
    await make_parked_due(client)
    await Janitor(broker, TYPE).run_once()
    assert (await destination_state(broker)).parked == 0
    assert await client.exists(KEYS.of("parked"), KEYS.of("parked", RECEIVER)) == 0
    assert await claim_due(broker) == []
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("free", [1, 50])
async def test_a_dead_destination_does_not_delay_a_healthy_one(
    real_client: Redis, free: int
) -> None:
    """Behind a thousand callbacks to a dead destination, a healthy one is called in two claims."""
    broker = Broker(real_client)
    await broker.set_policy(TYPE, {"concurrency": 1000})
    for first in range(0, 1000, 100):
        dead = await grant_at(broker, "dead", *(f"d{n}" for n in range(first, first + 100)))
        await real_client.hdel(KEYS.base, "unclaimed_since")  # as if a courier came by
    await set_open_until(real_client, dead, FOR_EVER)
    await grant_at(broker, "healthy", "h")
    deliveries = await claim_due(broker, free) or await claim_due(broker, free)
    assert [delivery.job.request_id for delivery in deliveries] == ["h"]
    due = await real_client.zcard(KEYS.of("deliveries")) - len(deliveries)
    assert (await destination_state(broker, dead)).parked + due == 1000


# The breaker


async def test_refusals_do_not_open_the_breaker(broker: Broker) -> None:
    """Ten answers of 404, 429 or a redirect leave it closed, whatever they mean for the job."""
    await bring(broker, Status.GRANTED)
    for outcome in (
        Outcome("rejected", "http_404", 1),
        Outcome("retry", "http_408", 1),
        Outcome("retry", "http_429", 1),
        Outcome("fail", "redirect", 1),
    ):
        real = settlement(1, outcome)
        for _ in range(10):
            asked = Settlement("retry", real.cause, health=real.health)
            await settle(broker, await claim_one(broker), asked)
        state = await destination_state(broker)
        assert (state.state, state.failures) == ("closed", 0)


@pytest.mark.parametrize(
    "outcome",
    [Outcome("retry", cause, 1, unhealthy=True) for cause in ("http_503", "timeout", "dns")],
    ids=lambda outcome: outcome.cause,
)
async def test_five_failures_open_the_breaker(broker: Broker, outcome: Outcome) -> None:
    """5xx, timeouts and names that do not resolve count, five in a row."""
    await bring(broker, Status.GRANTED)
    for count in range(1, 6):
        assert (await destination_state(broker)).state == "closed"
        real = settlement(1, outcome)
        asked = Settlement("retry", real.cause, health=real.health)
        await settle(broker, await claim_one(broker), asked)
        assert (await destination_state(broker)).failures == count
    assert (await destination_state(broker)).state == "open"


async def test_a_429_slows_a_destination_down(broker: Broker) -> None:
    """Without Retry-After it gets one callback at a time for a second; then as many as before."""
    await grant_at(broker, "x", "a", "b", "c")
    first = (await claim_due(broker, 1))[0]
    real = settlement(1, Outcome("retry", "http_429", 1))
    await settle(broker, first, real)
    (single,) = await claim_due(broker)
    assert (await destination_state(broker)).parked == 1
    await settle(broker, single, HEALTHY)
    (single,) = await claim_due(broker)
    await asyncio.sleep(1.05)
    assert (await destination_state(broker)).in_flight == 1
    names = {delivery.job.request_id for delivery in await claim_due(broker)}
    assert names <= {first.job.request_id}
    assert (await destination_state(broker)).state == "closed"


async def test_an_open_breaker_stops_callbacks_and_grants(client: Redis, broker: Broker) -> None:
    """Callbacks stay parked over sweeps, a grant is refused, and the state lists it as closed."""
    await publish(broker, VCPU=5000)
    await grant_at(broker, "x", "b", "c")
    slow = await claim_due(broker)
    await open_breaker(broker, "x", "a")
    for delivery in slow:
        await settle(broker, delivery, UNHEALTHY)
    for _ in range(3):
        await make_parked_due(client)
        await Janitor(broker, TYPE).run_once()
        assert await claim_due(broker) == []
    assert (await destination_state(broker)).parked == 3
    waiting = await submit(broker, "e")
    assert await grant(broker, waiting) is None
    state = await broker.type_state(TYPE)
    assert state.closed == {*state.tried} == {RECEIVER}
    assert await Granter(broker, TYPE).run_once() == 0
    assert (await broker.read(TYPE, "e")).position == 1
    reasons = plan((await read_snapshot(broker, TYPE)).snapshot).reasons
    reason = reasons[waiting.shape]
    assert (reason.code, reason.until) == (ReasonCode.DESTINATION_CLOSED, state.tried[RECEIVER])
    assert await audit(client, TYPE) == []


async def test_an_open_breaker_blocks_no_other_destination(broker: Broker) -> None:
    """A job behind it in the queue, with another destination, gets the capacity."""
    await open_breaker(broker, "x", "a")
    await submit(broker, "first")
    other = shape(destination="http://y:80")
    await submit(broker, "second", callback="http://y/second", shape=other)
    assert await Granter(broker, TYPE).run_once() == 1
    assert (await broker.read(TYPE, "second")).status is Status.GRANTED
    assert (await broker.read(TYPE, "first")).position == 1


async def _many_parked(broker: Broker) -> str:
    """Open a breaker with twenty callbacks parked, one of them of the job that failed."""
    await grant_at(broker, "x", *(f"d{n}" for n in range(19)))
    slow = await claim_due(broker)
    destination = await open_breaker(broker, "x", "a")
    for delivery in slow:
        await settle(broker, delivery, Settlement("release"))
    assert await claim_due(broker) == []
    assert (await destination_state(broker)).parked == 20
    return destination


async def _all_claim(client: Redis) -> list[Delivery]:
    claims = await asyncio.gather(*(claim_due(Broker(client)) for _ in range(10)))
    return [delivery for claimed in claims for delivery in claimed]


async def test_a_half_open_breaker_lets_one_probe_out(client: Redis, broker: Broker) -> None:
    """Of twenty parked callbacks one is claimed, by ten claimers and sweepers at once."""
    destination = await _many_parked(broker)
    await half_open(client, destination)
    assert (await destination_state(broker)).state == "half-open"
    await asyncio.gather(*(Janitor(broker, TYPE).run_once() for _ in range(5)))
    assert len(await _all_claim(client)) == 1
    for _ in range(3):
        await make_parked_due(client)
        await Janitor(broker, TYPE).run_once()
        assert await _all_claim(client) == []
    state = await destination_state(broker)
    assert (state.in_flight, state.parked) == (1, 19)
    assert await audit(client, TYPE) == []


async def test_a_probe_that_succeeds_closes_the_breaker(client: Redis, broker: Broker) -> None:
    """All parked callbacks are due at once, and grants are made again."""
    destination = await _many_parked(broker)
    await half_open(client, destination)
    await Janitor(broker, TYPE).run_once()
    await settle(broker, await claim_one(broker), HEALTHY)
    state = await destination_state(broker)
    assert (state.state, state.failures, state.parked) == ("closed", 0, 0)
    rest = await claim_due(broker)
    assert len(rest) == 19
    for delivery in rest:
        await settle(broker, delivery, HEALTHY)
    assert (await broker.counts(TYPE))[Status.RUNNING] == 20
    assert await grant(broker, await submit(broker, "e")) is not None
    assert await audit(client, TYPE) == []


async def test_a_probe_that_fails_opens_the_breaker_for_longer(
    client: Redis, broker: Broker
) -> None:
    """For 5, 10, 20, 40, then 60 s; once it was closed, for 5 s again."""
    destination = await _many_parked(broker)
    for seconds in (10, 20, 40, 60, 60):
        await half_open(client, destination)
        await Janitor(broker, TYPE).run_once()
        await settle(broker, await claim_one(broker), UNHEALTHY)
        state = await destination_state(broker)
        assert state.state == "open"
        assert seconds - 1 < state.opens_for <= seconds
        assert await claim_due(broker) == []
    assert await audit(client, TYPE) == []
    await broker.reset(TYPE, destination)
    for delivery in await claim_due(broker):
        await settle(broker, delivery, UNHEALTHY)
    assert 4 < (await destination_state(broker)).opens_for <= 5


async def test_a_probe_of_a_killed_courier_is_sent_again(client: Redis, broker: Broker) -> None:
    """A courier killed with the probe blocks a half-open destination until its lease ends."""
    destination = await _many_parked(broker)
    await half_open(client, destination)
    await Janitor(broker, TYPE).run_once()
    await claim_one(broker)
    await end_leases(client, destination)
    assert len(await _all_claim(client)) == 1


async def test_one_grant_probes_a_half_open_destination(client: Redis, broker: Broker) -> None:
    """If no callback is parked there, one waiting job is granted as the probe, and no second."""
    await open_breaker(broker, "x", "a")
    await broker.withdraw(TYPE, "a")
    jobs = [await submit(broker, name) for name in ("b", "c")]
    await half_open(client, HERE)
    assert (await broker.type_state(TYPE)).closed == frozenset()
    fences = await asyncio.gather(*(grant(broker, job) for job in jobs))
    assert sorted(fence is not None for fence in fences) == [False, True]
    assert (await broker.type_state(TYPE)).closed == {RECEIVER}
    assert await Granter(broker, TYPE).run_once() == 0
    await settle(broker, await claim_one(broker), HEALTHY)
    assert (await broker.type_state(TYPE)).closed == frozenset()
    assert await Granter(broker, TYPE).run_once() == 1
    assert await audit(client, TYPE) == []


async def test_a_withdrawn_probe_makes_way_for_another(client: Redis, broker: Broker) -> None:
    """After the job of the probe is withdrawn, another one is granted as the probe."""
    await open_breaker(broker, "x", "a")
    await broker.withdraw(TYPE, "a")
    jobs = [await submit(broker, name) for name in ("b", "c")]
    await half_open(client, HERE)
    assert await grant(broker, jobs[0]) is not None
    await broker.withdraw(TYPE, "b")
    assert await grant(broker, jobs[1]) is not None
