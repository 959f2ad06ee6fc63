"""Brings destinations into a state: grants to one, its breaker open or half-open, dead couriers."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.deliveries import Delivery, Destination
from rq_broker.domain.jobs import Job, Status
from rq_broker.store.broker import Broker, FreeSlots, Settlement
from rq_broker.store.keys import Keys, receiver
from tests.making import TYPE, bring, claim_one, grant_to, planned_grant, publish, settle
from tests.redis_reads import members

HERE = "http://x:80"
RECEIVER = "http://x:80 o"
"""How the jobs of tests, whose owner is o, see HERE."""
FOR_EVER = 10**13
KEYS = Keys(TYPE)
UNHEALTHY = Settlement("retry", "timeout", health="unhealthy")
LOST = {"request_id": "gone", "owner": "", "id": 7, "fence": 0, "at": 0}
"""A write that `report_loss` looks for."""
HEALTHY = Settlement("delivered", "http_200", health="healthy")


async def destination_state(broker: Broker, name: str = HERE) -> Destination:
    """Read the state of one destination."""
    _, destinations = await broker.destinations(TYPE)
    return {destination.name: destination for destination in destinations}[name]


async def claim_due(broker: Broker, limit: int = 100, lease: float = 60.0) -> list[Delivery]:
    """Claim the callbacks that are due."""
    return (await broker.claim(TYPE, lease, limit))[1]


async def claim_with_grant(broker: Broker, job: Job) -> list[Delivery]:
    """Grant a waiting job, and claim its callback with the grant."""
    state, slots = await broker.type_state(TYPE), FreeSlots(60.0, 1, 1)
    return [*(await broker.grant_many(TYPE, [planned_grant(job)], state, slots)).deliveries]


async def grant_at(broker: Broker, host: str, *names: str) -> str:
    """Grant jobs whose callbacks go to `http://<host>:80`; return that destination."""
    destination = f"http://{host}:80"
    await publish(broker, VCPU=5000)
    for name in names:
        await grant_to(broker, destination, name)
    return destination


async def open_breaker(broker: Broker, host: str, *names: str) -> str:
    """Let callbacks of the first job fail until the breaker of its destination opens."""
    destination = await grant_at(broker, host, names[0])
    for _ in range(5):
        await settle(broker, await claim_one(broker), UNHEALTHY)
    assert (await destination_state(broker, destination)).state == "open"
    return destination


async def set_open_until(client: Redis, destination: str, ends: int) -> None:
    """Open a breaker until `ends` (ms); it is half-open if that has passed."""
    name = destination if " " in destination else receiver(destination, "o")
    await client.hset(KEYS.of("destination", name), "open_until", str(ends))
    await client.zadd(KEYS.of("open"), {name: ends})


async def half_open(client: Redis, destination: str) -> None:
    """Make a breaker half-open, and its parked callbacks due for the next sweep."""
    await set_open_until(client, destination, 1)
    await make_parked_due(client)


async def make_parked_due(client: Redis) -> None:
    """Let the next sweep check every receiver with parked callbacks."""
    for name in await members(client, KEYS.of("parked")):
        await client.zadd(KEYS.of("parked"), {name: 1})


async def end_leases(client: Redis, destination: str) -> None:
    """End the leases as if the couriers were dead: claims are due again, slots free."""
    for member in await members(client, KEYS.of("flying", destination)):
        await client.zadd(KEYS.of("flying", destination), {member: 1})
        await client.zadd(KEYS.of("deliveries"), {member: 1})


async def trouble_receivers(broker: Broker, client: Redis) -> None:
    """Let one receiver answer with Retry-After, three destinations fail, and one be tested."""
    await broker.send_test(TYPE, "t", "http://x/y", "http://x:80", "o")
    await broker.claim_tests(TYPE, 1)
    await broker.settle_test(TYPE, "t", "http_200", 1)
    await bring(broker, Status.GRANTED, "failing")
    await settle(broker, await claim_one(broker), Settlement("retry", "http_500", delay=40))
    await broker.job_hold(TYPE, "failing")
    await broker.withdraw(TYPE, "failing")
    now = round(await broker.now(TYPE) * 1000)
    await client.zadd(KEYS.of("failing"), {f"http://{host}:80": now for host in "abc"})
    await bring(broker, Status.GRANTED, "asked")
    await settle(broker, await claim_one(broker), Settlement("retry", "http_503", pause=600.0))
    await broker.type_state(TYPE)
    await broker.withdraw(TYPE, "asked")
