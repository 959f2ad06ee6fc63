"""report_loss.lua: what a process remembers beyond what Redis has."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.delivery.message import message_id
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, grant, publish, submit

BASE = Keys(TYPE).base


async def test_a_submit_after_a_loss_reports_it(
    broker: Broker, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """The first submit after a FLUSHALL is told to the log; IDs go on above those remembered."""
    for number in range(5):
        last = await submit(broker, f"d{number}")
    await client.flushall()
    with caplog.at_level(logging.ERROR):
        await submit(broker, "first")
    assert "Redis lost state: job IDs up to 5 were given" in caplog.text
    assert (await submit(broker, "second")).id > last.id
    (loss,) = await broker.losses(TYPE)
    assert (loss.last_id, loss.id_there) == (5, 1)
    events: Any = await client.xrange(Keys(TYPE).of("events"))
    assert "state_lost" in [fields["status"] for _, fields in events]


async def test_a_process_that_only_checked_a_type_notices_its_loss(
    broker: Broker, client: Redis
) -> None:
    """It learned of running jobs that it neither granted nor read; the type is listed again."""
    await bring(broker, Status.RUNNING)
    notifier = Broker(client)
    await notifier.learn(TYPE)
    await client.flushall()
    await notifier.notice_losses()
    (loss,) = await notifier.losses(TYPE)
    assert (loss.last_id, loss.id_there) == (1, 0)
    assert await notifier.names() == [TYPE]


async def test_each_loss_is_told_once(broker: Broker, client: Redis) -> None:
    """Two processes that remember report one loss; the higher number counts."""
    other = Broker(client)
    await submit(broker, "a")
    await submit(other, "b")
    await submit(broker, "c")
    await client.flushall()
    await other.notice_losses()
    await broker.notice_losses()
    await broker.notice_losses()
    (loss,) = await broker.losses(TYPE)
    assert (loss.last_id, loss.id_there) == (3, 0)
    assert (await submit(other, "d")).id == 4
    assert len(await broker.losses(TYPE)) == 1


async def test_a_state_that_went_back_gets_another_life(broker: Broker, client: Redis) -> None:
    """An ID counter below what is remembered is a loss too; later grants have another name."""
    await publish(broker)
    job = await submit(broker, "a")
    assert await grant(broker, job)
    before = await broker.read(TYPE, "a")
    await submit(broker, "b")
    await client.hset(BASE, "id", 1)
    await broker.type_state(TYPE)
    (loss,) = await broker.losses(TYPE)
    assert (loss.last_id, loss.id_there) == (2, 1)
    again = await submit(broker, "c")
    assert again.id == 3
    await grant(broker, again)
    after = await broker.read(TYPE, "c")
    assert after.incarnation != before.incarnation
    assert message_id(after).split("_")[1] == after.incarnation


async def _snapshot(client: Redis) -> dict[str, Any]:
    return {str(key): await client.dump(key) for key in await client.keys(f"{BASE}*")}


async def _lose(client: Redis, kept: dict[str, Any], broker: Broker) -> None:
    """Bring the type back to what it was; the process of `broker` has a new connection."""
    await client.delete(*await client.keys(f"{BASE}*"))
    for name, dump in kept.items():
        await client.restore(name, 0, dump)
    broker.runner.dials += 1


async def _ended(broker: Broker, name: str) -> None:
    await broker.transition(TYPE, name, Status.DONE)


async def test_a_lost_submit_whose_id_another_process_got_is_told(
    broker: Broker, client: Redis
) -> None:
    """The newest submit of a process is missed, though the type's counter has passed its ID."""
    other = Broker(client)
    await submit(broker, "a")
    kept = await _snapshot(client)
    await submit(broker, "lost")
    await _lose(client, kept, broker)
    assert (await submit(other, "b")).id == 2
    assert await broker.losses(TYPE) == []
    assert (await submit(broker, "c")).id == 3
    (loss,) = await broker.losses(TYPE)
    assert (loss.last_id, loss.id_there) == (2, 1)
    assert (await submit(other, "d")).id == 4
    assert len(await broker.losses(TYPE)) == 1


async def test_a_lost_submit_whose_id_the_same_process_gets_again_is_told(
    broker: Broker, client: Redis
) -> None:
    """Without a new connection too: an ID that is not higher than the last one shows the loss."""
    await submit(broker, "a")
    kept = await _snapshot(client)
    await submit(broker, "lost")
    await _lose(client, kept, Broker(client))
    await submit(broker, "b")
    (loss,) = await broker.losses(TYPE)
    assert loss.last_id == 2


async def test_a_lost_grant_that_another_process_made_again_is_told(
    broker: Broker, client: Redis
) -> None:
    """The granter misses its grant, though the job has a later one; to a receiver it is another."""
    other = Broker(client)
    await publish(broker)
    job = await submit(broker, "a")
    await broker.type_state(TYPE)
    kept = await _snapshot(client)
    await grant(broker, job)
    first = await broker.read(TYPE, "a")
    await _lose(client, kept, broker)
    await asyncio.sleep(0.1)  # no failover is quicker
    await grant(other, job)
    second = await broker.read(TYPE, "a")
    assert message_id(first) != message_id(second)
    await broker.notice_losses()
    (loss,) = await broker.losses(TYPE)
    assert loss.last_fence == first.fence
    assert loss.fence_there < loss.last_fence


@pytest.mark.parametrize("retention", [0, 3600])
async def test_what_has_ended_or_gone_since_is_not_missed(
    broker: Broker, client: Redis, retention: int
) -> None:
    """After a new connection a write is found by its event where its job is gone."""
    other = Broker(client)
    await broker.set_policy(TYPE, {"retention": retention})
    await publish(broker)
    job = await submit(broker, "a")
    await grant(broker, job)
    await _ended(other, "a")
    await submit(broker, "b")
    await broker.withdraw(TYPE, "b")
    broker.runner.dials += 1
    await broker.notice_losses()
    await submit(broker, "c")
    broker.runner.dials += 1
    await grant(broker, await submit(other, "d"))
    await broker.notice_losses()
    await grant(other, await broker.read(TYPE, "c"))
    broker.runner.dials += 1
    await broker.notice_losses()
    assert await broker.losses(TYPE) == []


async def test_an_unused_type_that_was_forgotten_is_no_loss(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A type that never granted may be deleted as empty: after a minute that is not reported."""
    await submit(broker, "a")
    await broker.withdraw(TYPE, "a")
    await client.flushall()
    monkeypatch.setattr("rq_broker.store.continuity.UNUSED_SECONDS", 0.0)
    await submit(broker, "b")
    await broker.notice_losses()
    assert await broker.losses(TYPE) == []


async def test_what_is_whole_is_not_reported(broker: Broker) -> None:
    """Submits, grants and endings in two processes are no loss for either."""
    await bring(broker, Status.DONE)
    await broker.type_state(TYPE)
    await broker.notice_losses()
    assert await broker.losses(TYPE) == []


async def test_the_audit_notes_a_loss(broker: Broker, client: Redis) -> None:
    """What was lost cannot be known, so it is a note: when, and which numbers are affected."""
    await submit(broker, "a")
    await submit(broker, "b")
    await client.flushall()
    await broker.notice_losses()
    (finding,) = await audit(client, TYPE)
    assert finding.severity is Severity.NOTE
    assert "IDs up to 2 were given and Redis had 0" in finding.text


async def test_the_audit_lists_the_grants_from_before_a_loss(broker: Broker, client: Redis) -> None:
    """Whether a job that was granted before the loss still runs cannot be known: it is a note."""
    await bring(broker, Status.RUNNING, "before")
    await submit(broker, "b")
    await client.hset(BASE, "id", 1)
    await broker.notice_losses()
    assert await grant(broker, await broker.read(TYPE, "b"))
    notes = [str(finding) for finding in await audit(client, TYPE)]
    assert [note for note in notes if ":before is running by a grant from before" in note]
    assert not [note for note in notes if ":b is" in note]
