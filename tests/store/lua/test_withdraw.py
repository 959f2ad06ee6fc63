"""withdraw.lua: the end of a job."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import TYPES, Keys
from tests.making import TYPE, bring, submit
from tests.redis_reads import key_names
from tests.store.lua.altering import altered


@pytest.mark.parametrize("status", list(Status))
async def test_withdraw_frees_both_names_in_every_status(
    broker: Broker, client: Redis, status: Status
) -> None:
    """A withdrawn job holds nothing, leaves no key, and frees its request_id and callback."""
    await bring(broker, status)
    await broker.withdraw(TYPE, "d")
    assert await audit(client, TYPE) == []
    assert not [host for host in await broker.hosts(TYPE) if host.held]
    suffixes = {key.removeprefix(Keys(TYPE).base) for key in await key_names(client)} - {TYPES}
    of_the_type = {"", ":events", ":wake", ":hosts", ":host:h1", ":holding_times", ":destinations"}
    of_the_type.add(":owners:http://x:80")
    assert suffixes - of_the_type == {":withdrawn"}
    await submit(broker)


async def test_a_job_withdrawn_is_told_from_one_that_never_was(
    broker: Broker, client: Redis
) -> None:
    """For a day a second withdrawal is refused as such, until another job takes the name."""
    for name in ("d", "e"):
        await submit(broker, name)
        await broker.withdraw(TYPE, name)
        with pytest.raises(errors.AlreadyWithdrawn, match=f"job {name} was withdrawn"):
            await broker.withdraw(TYPE, name)
    with pytest.raises(errors.JobNotFound) as refused:
        await broker.withdraw(TYPE, "never")
    assert type(refused.value) is errors.JobNotFound
    withdrawn = Keys(TYPE).of("withdrawn")
    assert 86_390_000 < await client.pttl(withdrawn) <= 86_400_000
    await client.zincrby(withdrawn, -86_400_001, "e")
    with pytest.raises(errors.JobNotFound) as refused:
        await broker.withdraw(TYPE, "e")
    assert type(refused.value) is errors.JobNotFound
    await submit(broker, "d")
    assert await client.zscore(withdrawn, "d") is None


async def test_a_withdrawal_repeated_with_its_key_withdraws_nothing_else(broker: Broker) -> None:
    """With its key it succeeds again, also where another job has the name by then, which stays."""
    await submit(broker)
    assert not await broker.withdraw(TYPE, "d", "k1")
    assert await broker.withdraw(TYPE, "d", "k1")
    with pytest.raises(errors.AlreadyWithdrawn):
        await broker.withdraw(TYPE, "d", "k2")
    again = await submit(broker)
    assert await broker.withdraw(TYPE, "d", "k1")
    assert (await broker.read(TYPE, "d")).id == again.id
    assert not await broker.withdraw(TYPE, "d", "k2")
    await submit(broker, "e")
    assert not await broker.withdraw(TYPE, "e", "k1"), "a key is of one job's name"


async def test_the_record_of_withdrawn_jobs_is_bounded(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest stay: a full record loses its oldest entries, few at a time."""
    altered(monkeypatch, "withdraw", "WITHDRAWN_MOST = 10000", "WITHDRAWN_MOST = 3")
    withdrawn, withdrawals = Keys(TYPE).of("withdrawn"), Keys(TYPE).of("withdrawals")
    await client.zadd(withdrawn, {f"old{n:02}": n for n in range(20)})
    for number in range(5):
        await submit(broker, f"r{number}")
        await asyncio.sleep(0.002)  # what is recorded in one millisecond is in no order
        await broker.withdraw(TYPE, f"r{number}", "k")
        assert await client.zcard(withdrawn) == max(6, 12 - 8 * number)
    kept = {name for number in (2, 3, 4) for name in (f"r{number}", f"o/r{number}")}
    assert set(await client.zrange(withdrawn, 0, -1)) == kept
    assert await client.zcard(withdrawals) == 3


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("damage", ["no hash", "an ID that is no number", "no ID"])
async def test_a_job_that_cannot_be_read_is_deleted(
    broker: Broker, client: Redis, status: Status, damage: str
) -> None:
    """Its names are free and its hosts hold nothing for it, once a repair has followed."""
    await bring(broker, status)
    name = Keys(TYPE).of("job", "d")
    if damage == "no hash":
        await client.set(name, "damaged")
    elif damage == "no ID":
        await client.hdel(name, "id")
    else:
        await client.hset(name, "id", "damaged")
    await broker.withdraw(TYPE, "d")
    with pytest.raises(errors.AlreadyWithdrawn):
        await broker.withdraw(TYPE, "d")
    await _repair(broker, client)
    assert not [host for host in await broker.hosts(TYPE) if host.held]
    assert (await submit(broker, "d")).status is Status.QUEUED
    await _repair(broker, client)  # only now has the owner a job, by which its set is found


async def _repair(broker: Broker, client: Redis) -> None:
    """Repair as often as `rq-broker audit --repair` does."""
    for _ in range(4):
        await broker.repair(TYPE, await audit(client, TYPE))
    assert await audit(client, TYPE) == []
