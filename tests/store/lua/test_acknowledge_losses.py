"""acknowledge_losses.lua: an operator knows of a loss, and nothing tells of it any more."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from tests.making import TYPE, submit


async def _lose(broker: Broker, client: Redis) -> None:
    await submit(broker, "a")
    await submit(broker, "b")
    await client.flushall()
    await broker.notice_losses()


async def test_an_acknowledged_loss_is_told_no_more(broker: Broker, client: Redis) -> None:
    """Neither readiness nor the audit has it, another process does not report it anew."""
    other = Broker(client)
    await submit(other, "before")
    await _lose(broker, client)
    assert len(await broker.losses(TYPE)) == 1
    assert await audit(client, TYPE)
    assert await broker.acknowledge_losses(TYPE) == 1
    assert await broker.losses(TYPE) == []
    assert await audit(client, TYPE) == []
    await other.notice_losses()
    assert await broker.losses(TYPE) == []
    assert await broker.acknowledge_losses(TYPE) == 0


async def test_a_later_loss_is_told(broker: Broker, client: Redis) -> None:
    """To know of one loss is not to know of the next; the first one stays acknowledged."""
    await _lose(broker, client)
    await broker.acknowledge_losses(TYPE)
    kept = await client.dump(f"rqb:{{{TYPE}}}:lost")
    await submit(broker, "c")
    await client.flushall()
    await client.restore(f"rqb:{{{TYPE}}}:lost", 0, kept or b"")
    await broker.notice_losses()
    assert len(await broker.losses(TYPE)) == 1


async def test_a_loss_that_proves_larger_is_told_again(broker: Broker, client: Redis) -> None:
    """A process that remembers more of the lost life than was acknowledged brings it back."""
    other = Broker(client)
    for name in "abc":
        await submit(broker, name)
    for name in "defgh":
        await submit(other, name)
    await client.flushall()
    await broker.notice_losses()
    assert await broker.acknowledge_losses(TYPE) == 1
    await other.notice_losses()
    (loss,) = await broker.losses(TYPE)
    assert loss.last_id == 8
