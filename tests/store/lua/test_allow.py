"""allow: buckets that all processes share, which fill evenly and are never overdrawn."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings, strategies as st
from redis.asyncio import Redis

from rq_broker.store.broker import Broker
from rq_broker.store.connection import in_memory
from rq_broker.store.keys import INSTALLATION, Keys
from rq_broker.store.rates import Allowance, Bucket

SLOW = 0.001
"""A rate by which nothing comes while a test runs."""


def key(name: str) -> str:
    return Keys(INSTALLATION).of("rate", name)


async def test_a_bucket_is_shared_and_never_overdrawn(client: Redis) -> None:
    """Whatever several brokers take at once, no more comes out than was in."""
    brokers = [Broker(client) for _ in range(3)]
    bucket = Bucket("x", SLOW, 10)
    takes = [broker.allow([bucket], 3) for broker in brokers for _ in range(4)]
    taken = [take.requests for take in await asyncio.gather(*takes)]
    assert sum(taken) == 10
    assert sorted(taken)[-4:] == [1, 3, 3, 3]
    refused = await brokers[0].allow([bucket])
    assert refused.requests == 0
    assert 900 < refused.wait <= 1000
    assert refused.left == (0,)


async def test_several_buckets_give_as_many(broker: Broker) -> None:
    """The emptiest bucket decides, and nothing comes out of the others where it is empty."""
    buckets = [Bucket("identity:a", SLOW, 5), Bucket("owner:y", SLOW, 2)]
    assert await broker.allow(buckets, 4) == Allowance(2, 0.0, (3, 0))
    assert (await broker.allow(buckets)).left == (3, 0)
    assert (await broker.allow(buckets[:1], 9)).requests == 3


async def test_a_bucket_fills_evenly_and_forgets_itself(broker: Broker, client: Redis) -> None:
    """What has come since counts, up to the burst; the key goes when the bucket is full."""
    bucket = Bucket("x", 2.0, 10)
    await broker.allow([bucket], 10)
    assert 4_000 < await client.pttl(key("x")) <= 5_001
    seconds, microseconds = await client.time()
    now = int(seconds) * 1_000_000 + int(microseconds)
    await client.set(key("x"), f"0.5 {now - 2_000_000}")
    assert (await broker.allow([bucket], 9)).requests == 4
    await client.set(key("x"), f"0.5 {now - 2_000_000_000}")
    assert (await broker.allow([bucket], 99)).requests == 10
    await client.set(key("x"), f"3 {now + 3_600_000_000}")
    assert (await broker.allow([bucket], 9)).requests == 3
    for damaged in ("", "x", "nan 5", "5"):
        await client.set(key("x"), damaged)
        assert (await broker.allow([bucket])).requests in (0, 1)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.001, 1e6), st.integers(1, 5_000_000), st.lists(st.integers(1, 10**6), max_size=4)
)
async def test_any_rate_and_burst_fit(rate: float, burst: int, wanted: list[int]) -> None:
    """No rate, burst or wish makes a script fail, or gives more than was asked."""
    client = in_memory()
    broker = Broker(client)
    for number in wanted:
        taken = await broker.allow([Bucket("x", rate, burst)], number)
        assert 0 <= taken.requests <= min(number, burst)
        assert taken.wait >= 0
    await client.aclose()
