"""What tests of destinations need made: grants to one, a breaker in some state, dead couriers."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.deliveries import Delivery, Destination
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys
from tests.making import TYPE, claim_one, grant_to, publish, settle
from tests.redis_reads import members

HERE = "http://x:80"
FOR_EVER = 10**13
KEYS = Keys(TYPE)
UNHEALTHY = Settlement("retry", "timeout", health="unhealthy")
HEALTHY = Settlement("delivered", "http_200", health="healthy")


async def known(broker: Broker, name: str = HERE) -> Destination:
    """Read what is known of one destination."""
    return {each.name: each for each in (await broker.destinations(TYPE))[1]}[name]


async def claims(broker: Broker, limit: int = 100, lease: float = 60.0) -> list[Delivery]:
    """Claim what is due."""
    return (await broker.claim(TYPE, lease, limit))[1]


async def granted_to(broker: Broker, host: str, *names: str) -> str:
    """Grant jobs of these names whose callbacks go to `http://<host>:80`; return that."""
    destination = f"http://{host}:80"
    await publish(broker, VCPU=5000)
    for name in names:
        await grant_to(broker, destination, name)
    return destination


async def opened(broker: Broker, host: str, *names: str) -> str:
    """Let the first of these jobs fail until the breaker of its destination opens."""
    destination = await granted_to(broker, host, names[0])
    for _ in range(5):
        await settle(broker, await claim_one(broker), UNHEALTHY)
    assert (await known(broker, destination)).state == "open"
    return destination


async def open_until(client: Redis, destination: str, ends: int) -> None:
    """Have an open breaker, half-open where `ends` (ms) is over."""
    await client.hset(KEYS.of("destination", destination), "open_until", str(ends))
    await client.zadd(KEYS.of("open"), {destination: ends})


async def half_open(client: Redis, destination: str) -> None:
    """Let the time of being open be over, and the parked be looked at."""
    await open_until(client, destination, 1)
    await look_again(client)


async def look_again(client: Redis) -> None:
    """Let every destination with parked callbacks be looked at by the next sweep."""
    for destination in await members(client, KEYS.of("parked")):
        await client.zadd(KEYS.of("parked"), {destination: 1})


async def end_leases(client: Redis, destination: str) -> None:
    """Kill the couriers: what they claimed falls due, and its slots end."""
    for member in await members(client, KEYS.of("flying", destination)):
        await client.zadd(KEYS.of("flying", destination), {member: 1})
        await client.zadd(KEYS.of("deliveries"), {member: 1})
