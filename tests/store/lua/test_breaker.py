"""lib/destination.lua: the limit and the breaker, as claims, settlements and sweeps show them."""

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
    UNHEALTHY,
    claims,
    end_leases,
    granted_to,
    half_open,
    known,
    look_again,
    open_until,
    opened,
)

# The limit


async def test_the_limit_is_shared_by_all_claimers(client: Redis, broker: Broker) -> None:
    """Ten claimers at once get no more than the policy allows; the rest is parked, not lost."""
    await broker.set_policy(TYPE, {"concurrency": 3})
    await granted_to(broker, "x", *(f"d{n}" for n in range(8)))
    others = [Broker(client) for _ in range(10)]
    found = [each for one in await asyncio.gather(*map(claims, others)) for each in one]
    assert len(found) == 3
    seen = await known(broker)
    assert (seen.in_flight, seen.parked) == (3, 5)
    assert await audit(client, TYPE) == []
    heard = set()
    while found:
        heard.add(found[0].job.request_id)
        await settle(broker, found.pop(0), HEALTHY)
        found += await claims(broker)
        assert (await known(broker)).in_flight == len(found) <= 3
    assert heard == {f"d{n}" for n in range(8)}
    assert (await broker.counts(TYPE))[Status.RUNNING] == 8
    assert await client.exists(KEYS.of("parked", HERE), KEYS.of("flying", HERE)) == 0
    assert await audit(client, TYPE) == []


async def test_a_killed_couriers_slot_ends_with_its_lease(client: Redis, broker: Broker) -> None:
    """Couriers die with every slot taken: after their leases a sweep lets the parked go out."""
    await broker.set_policy(TYPE, {"concurrency": 2})
    await granted_to(broker, "x", "a", "b", "c", "d")
    assert len(await claims(broker, lease=0.2)) == 2
    await Janitor(broker, TYPE).run_once()
    assert await claims(broker) == []
    await asyncio.sleep(0.25)
    await look_again(client)
    await Janitor(broker, TYPE).run_once()
    second = await claims(broker)
    assert len(second) == 2
    for each in second:
        await settle(broker, each, HEALTHY)
    third = await claims(broker)
    for each in third:
        await settle(broker, each, HEALTHY)
    assert {each.job.request_id for each in second + third} == {"a", "b", "c", "d"}
    assert await audit(client, TYPE) == []


async def test_the_slots_of_the_dead_are_forgotten(client: Redis, broker: Broker) -> None:
    """A set of slots goes by itself, should nobody ever ask for that destination again."""
    await granted_to(broker, "x", "d")
    await claim_one(broker)
    await broker.withdraw(TYPE, "d")
    assert 0 < await client.pttl(KEYS.of("flying", HERE)) <= 86_400_000


@pytest.mark.parametrize("end", ["withdraw", "requeue", "expire"])
async def test_parked_callbacks_go_with_their_jobs(client: Redis, broker: Broker, end: str) -> None:
    """A job withdrawn, put back or expired while its callback is parked leaves nothing there."""
    await broker.set_policy(TYPE, {"concurrency": 1, "offer": 0.3 if end == "expire" else 300})
    await granted_to(broker, "x", "a", "b", "c")
    assert len(await claims(broker)) == 1
    assert (await known(broker)).parked == 2
    parked = [member[17:] for member in await members(client, KEYS.of("parked", HERE))]
    for name in parked if end != "expire" else ():
        if end == "withdraw":
            await broker.withdraw(TYPE, name)
        else:
            await broker.transition(TYPE, name, Status.QUEUED)
    if end == "expire":
        await asyncio.sleep(0.4)
    await look_again(client)
    await Janitor(broker, TYPE).run_once()
    assert (await known(broker)).parked == 0
    assert await client.exists(KEYS.of("parked"), KEYS.of("parked", HERE)) == 0
    assert await claims(broker) == []
    assert await audit(client, TYPE) == []


@pytest.mark.parametrize("free", [1, 50])
async def test_a_healthy_destination_is_not_hidden_behind_a_dead_one(
    real_client: Redis, free: int
) -> None:
    """A thousand callbacks owed to a dead destination hold up a healthy one for a claim or two."""
    broker = Broker(real_client)
    dead = await granted_to(broker, "dead", *(f"d{n}" for n in range(1000)))
    await open_until(real_client, dead, FOR_EVER)
    await granted_to(broker, "healthy", "h")
    found = await claims(broker, free) or await claims(broker, free)
    assert [each.job.request_id for each in found] == ["h"]
    due = await real_client.zcard(KEYS.of("deliveries")) - len(found)
    assert (await known(broker, dead)).parked + due == 1000


# The breaker


async def test_only_failures_of_health_open_it(broker: Broker) -> None:
    """Ten refusals by 404, 429 or a redirect, whatever they mean for the job, leave it closed."""
    await bring(broker, Status.GRANTED)
    for outcome in (
        Outcome("rejected", "http_404", 1),
        Outcome("retry", "http_408", 1),
        Outcome("retry", "http_429", 1),
        Outcome("fail", "redirect", 1),
    ):
        came = settlement(1, outcome)
        for _ in range(10):
            asked = Settlement("retry", came.cause, health=came.health)
            await settle(broker, await claim_one(broker), asked)
        seen = await known(broker)
        assert (seen.state, seen.failures) == ("closed", 0)


@pytest.mark.parametrize(
    "outcome",
    [Outcome("retry", cause, 1, unhealthy=True) for cause in ("http_503", "timeout", "dns")],
    ids=lambda outcome: outcome.cause,
)
async def test_failures_of_health_open_it_at_the_fifth(broker: Broker, outcome: Outcome) -> None:
    """5xx, silence and names that do not resolve count, five in a row."""
    await bring(broker, Status.GRANTED)
    for count in range(1, 6):
        assert (await known(broker)).state == "closed"
        came = settlement(1, outcome)
        asked = Settlement("retry", came.cause, health=came.health)
        await settle(broker, await claim_one(broker), asked)
        assert (await known(broker)).failures == count
    assert (await known(broker)).state == "open"


async def test_429_slows_to_one_at_a_time(broker: Broker) -> None:
    """For as long as it asked, a destination gets one callback at once; then all again."""
    await granted_to(broker, "x", "a", "b", "c")
    first = (await claims(broker, 1))[0]
    came = settlement(1, Outcome("retry", "http_429", 1, retry_after=0.4))
    await settle(broker, first, came)
    (single,) = await claims(broker)
    assert (await known(broker)).parked == 1
    await settle(broker, single, HEALTHY)
    (single,) = await claims(broker)
    await asyncio.sleep(0.45)
    assert (await known(broker)).in_flight == 1
    assert {each.job.request_id for each in (await claims(broker))} <= {first.job.request_id}
    assert (await known(broker)).state == "closed"


async def test_while_open_nothing_goes_there(client: Redis, broker: Broker) -> None:
    """Callbacks are parked and stay so over sweeps; a grant is refused, and the planner told."""
    await publish(broker, VCPU=5000)
    await granted_to(broker, "x", "b", "c")
    slow = await claims(broker)
    await opened(broker, "x", "a")
    for each in slow:
        await settle(broker, each, UNHEALTHY)
    for _ in range(3):
        await look_again(client)
        await Janitor(broker, TYPE).run_once()
        assert await claims(broker) == []
    assert (await known(broker)).parked == 3
    waiting = await submit(broker, "e")
    assert await grant(broker, waiting) is None
    assert (await broker.view(TYPE)).closed == {HERE}
    assert await Granter(broker, TYPE).run_once() == 0
    assert (await broker.read(TYPE, "e")).position == 1
    reasons = plan((await read_snapshot(broker, TYPE)).snapshot).reasons
    assert reasons[waiting.shape].code is ReasonCode.DESTINATION_CLOSED
    assert await audit(client, TYPE) == []


async def test_an_open_destination_blocks_nobody_else(broker: Broker) -> None:
    """A job of another destination, behind it in line, gets the capacity."""
    await opened(broker, "x", "a")
    await submit(broker, "first")
    other = shape(destination="http://y:80")
    await submit(broker, "second", callback="http://y/second", shape=other)
    assert await Granter(broker, TYPE).run_once() == 1
    assert (await broker.read(TYPE, "second")).status is Status.GRANTED
    assert (await broker.read(TYPE, "first")).position == 1


async def _many_parked(broker: Broker) -> str:
    """Open a breaker with twenty callbacks parked behind it, one of them of the job that failed."""
    await granted_to(broker, "x", *(f"d{n}" for n in range(19)))
    slow = await claims(broker)
    destination = await opened(broker, "x", "a")
    for each in slow:
        await settle(broker, each, Settlement("release"))
    assert await claims(broker) == []
    assert (await known(broker)).parked == 20
    return destination


async def _all_claim(client: Redis) -> list[Delivery]:
    found = await asyncio.gather(*(claims(Broker(client)) for _ in range(10)))
    return [each for one in found for each in one]


async def test_half_open_lets_one_probe_out(client: Redis, broker: Broker) -> None:
    """Of twenty parked and to ten claimers and sweepers at once, one callback goes; no other."""
    destination = await _many_parked(broker)
    await half_open(client, destination)
    assert (await known(broker)).state == "half-open"
    await asyncio.gather(*(Janitor(broker, TYPE).run_once() for _ in range(5)))
    assert len(await _all_claim(client)) == 1
    for _ in range(3):
        await look_again(client)
        await Janitor(broker, TYPE).run_once()
        assert await _all_claim(client) == []
    seen = await known(broker)
    assert (seen.in_flight, seen.parked) == (1, 19)
    assert await audit(client, TYPE) == []


async def test_a_probe_that_succeeds_heals_it(client: Redis, broker: Broker) -> None:
    """All that were parked go out at once, and grants are made again."""
    destination = await _many_parked(broker)
    await half_open(client, destination)
    await Janitor(broker, TYPE).run_once()
    await settle(broker, await claim_one(broker), HEALTHY)
    seen = await known(broker)
    assert (seen.state, seen.failures, seen.parked) == ("closed", 0, 0)
    rest = await claims(broker)
    assert len(rest) == 19
    for each in rest:
        await settle(broker, each, HEALTHY)
    assert (await broker.counts(TYPE))[Status.RUNNING] == 20
    assert await grant(broker, await submit(broker, "e")) is not None
    assert await audit(client, TYPE) == []


async def test_a_probe_that_fails_opens_it_for_longer(client: Redis, broker: Broker) -> None:
    """5, 10, 20, 40, 60 s, and no longer; healed, it begins anew."""
    destination = await _many_parked(broker)
    for seconds in (10, 20, 40, 60, 60):
        await half_open(client, destination)
        await Janitor(broker, TYPE).run_once()
        await settle(broker, await claim_one(broker), UNHEALTHY)
        seen = await known(broker)
        assert seen.state == "open"
        assert seconds - 1 < seen.opens_for <= seconds
        assert await claims(broker) == []
    assert await audit(client, TYPE) == []
    await broker.reset(TYPE, destination)
    for each in await claims(broker):
        await settle(broker, each, UNHEALTHY)
    assert 4 < (await known(broker)).opens_for <= 5


async def test_a_probe_lost_with_its_courier_is_sent_again(client: Redis, broker: Broker) -> None:
    """A courier killed with the probe blocks a half-open destination for its lease alone."""
    destination = await _many_parked(broker)
    await half_open(client, destination)
    await Janitor(broker, TYPE).run_once()
    await claim_one(broker)
    await end_leases(client, destination)
    assert len(await _all_claim(client)) == 1


async def test_one_grant_probes_a_half_open_destination(client: Redis, broker: Broker) -> None:
    """With nothing of its own left to call, one waiting job is granted, and a second is not."""
    await opened(broker, "x", "a")
    await broker.withdraw(TYPE, "a")
    jobs = [await submit(broker, name) for name in ("b", "c")]
    await half_open(client, HERE)
    assert (await broker.view(TYPE)).closed == frozenset()
    fences = await asyncio.gather(*(grant(broker, job) for job in jobs))
    assert sorted(fence is not None for fence in fences) == [False, True]
    assert (await broker.view(TYPE)).closed == {HERE}
    assert await Granter(broker, TYPE).run_once() == 0
    await settle(broker, await claim_one(broker), HEALTHY)
    assert (await broker.view(TYPE)).closed == frozenset()
    assert await Granter(broker, TYPE).run_once() == 1
    assert await audit(client, TYPE) == []


async def test_a_probe_that_leaves_makes_way(client: Redis, broker: Broker) -> None:
    """When the probing job is withdrawn, another may be granted to probe."""
    await opened(broker, "x", "a")
    await broker.withdraw(TYPE, "a")
    jobs = [await submit(broker, name) for name in ("b", "c")]
    await half_open(client, HERE)
    assert await grant(broker, jobs[0]) is not None
    await broker.withdraw(TYPE, "b")
    assert await grant(broker, jobs[1]) is not None
