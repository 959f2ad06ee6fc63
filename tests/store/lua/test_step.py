"""step.lua: steps of Redis's clock are taken out of the type's clock."""

from __future__ import annotations

import logging
import time

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store import type_clock
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring

KEYS = Keys(TYPE)
HOUR = 3_600_000


async def _step(client: Redis, milliseconds: int) -> None:
    """Do to the type's clock what a step of the wall clock does: its time is another at once."""
    offset = int(await client.hget(KEYS.base, "clock_offset") or 0)
    await client.hset(KEYS.base, "clock_offset", offset + milliseconds)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_step_changes_no_deadline(
    broker: Broker, client: Redis, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step of an hour a process that knew the time ends no offer, and tells of the step."""
    await bring(broker, Status.GRANTED)
    ends = await client.zrange(KEYS.of("deadlines"), 0, -1, withscores=True)
    before = await broker.now(TYPE)
    known = broker.runner.clocks._times[TYPE]
    await _step(client, step)
    offset = int(await client.hget(KEYS.base, "clock_offset") or 0)
    monkeypatch.setitem(
        broker.runner.clocks._times, TYPE, type_clock._Time(known.milliseconds, known.at, offset)
    )
    wait, moved = await broker.sweep(TYPE)
    assert moved == 0
    assert wait is not None
    assert 200 < wait < 301  # a measured time is some milliseconds late
    assert await client.zrange(KEYS.of("deadlines"), 0, -1, withscores=True) == ends
    assert -1 < await broker.now(TYPE) - before < 60
    steps = await broker.clock_steps(TYPE)
    assert steps is not None
    assert steps.count == 1
    assert steps.seconds == pytest.approx(step / 1000, abs=60)


async def test_a_step_is_taken_out_once(broker: Broker, client: Redis) -> None:
    """Who read the clock before another process took the step out changes nothing."""
    first = await broker.runner.run("step", TYPE, offset=0, step=HOUR)
    second = await broker.runner.run("step", TYPE, offset=0, step=HOUR)
    assert (first.taken, second.taken) == (True, False)
    assert await client.hget(KEYS.base, "clock_offset") == str(-HOUR)


async def test_a_step_back_shows_to_a_process_that_knows_nothing(
    broker: Broker, client: Redis
) -> None:
    """The time noted in Redis is ahead after a step back: it goes on from there."""
    await bring(broker, Status.GRANTED)
    ahead = int((time.time() + 3600) * 1000)
    await client.hset(KEYS.base, "clock_latest", ahead)
    stranger = Broker(client)
    await stranger.sweep(TYPE)
    assert 0 <= await stranger.now(TYPE) - ahead / 1000 < 60
    steps = await stranger.clock_steps(TYPE)
    assert steps is not None
    assert steps.seconds < -3500


async def test_a_slow_reply_is_no_step(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A time that is measured by a slow reply is not held against Redis."""
    await bring(broker, Status.GRANTED)
    clocks = broker.runner.clocks
    known = clocks._times[TYPE]
    wrong = type_clock._Time(known.milliseconds - HOUR, known.at, known.offset)
    monkeypatch.setitem(clocks._times, TYPE, wrong)
    monkeypatch.setattr(type_clock, "QUICK_SECONDS", -1.0)
    with caplog.at_level(logging.WARNING):
        await broker.sweep(TYPE)
    assert await broker.clock_steps(TYPE) is None
    assert not caplog.records
