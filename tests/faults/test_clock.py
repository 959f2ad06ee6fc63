"""Redis's clock is stepped by an hour, forward and back: no lease and no deadline moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from faulting.servers import CLOCKED_SERVER, FAKETIME, Node
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.keys import Keys
from tests.making import TYPE, bring, claim_one, grant, publish, submit

HOUR = 3600.0


@pytest.fixture
async def clocked(tmp_path: Path) -> AsyncIterator[Node]:
    """Start a server whose clock can be stepped."""
    assert CLOCKED_SERVER.exists(), "run scripts/install.sh version valkey"
    assert FAKETIME, "install libfaketime"
    node = Node(tmp_path, fake_clock=True)
    await asyncio.to_thread(node.start)
    await asyncio.to_thread(node.await_ready)
    yield node
    node.kill()


def _client(node: Node) -> Redis:
    client = connect(f"redis://127.0.0.1:{node.port}/0")
    assert isinstance(client, Redis)
    return client


@pytest.mark.parametrize("steps", [(HOUR,), (-HOUR,), (HOUR, 0.0, -HOUR)])
async def test_steps_end_and_prolong_nothing(clocked: Node, steps: tuple[float, ...]) -> None:
    """Offers, claims and locks outlive each step as if there were none; two processes agree."""
    client = _client(clocked)
    one, other = Broker(client), Broker(_client(clocked))
    await one.set_policy(TYPE, {"offer": 60, "running": 60})
    await bring(one, Status.RUNNING, "running")
    await bring(one, Status.GRANTED, "granted")
    await claim_one(one, lease=20.0)
    await other.sweep(TYPE)
    assert await one.turn(TYPE, "one", "take", 1.0)
    for number, seconds in enumerate(steps):
        clocked.step_clock(seconds)
        # Nothing ends, nothing that is leased is due, and what is granted now ends in time.
        wait, moved = await one.sweep(TYPE)
        _, claimed = await other.claim(TYPE, 20.0, 10)
        assert (moved, claimed) == (0, [])
        assert wait is not None
        assert 40 < wait <= 61
        await publish(one, "h2")
        assert await grant(other, await submit(other, f"new{number}"), None, "h2")
        await other.transition(TYPE, f"new{number}", Status.RUNNING)
        deadlines = Keys(TYPE).of("deadlines")
        ends: Any = await client.zrange(deadlines, 0, -1, withscores=True)
        spans = [score / 1000 - await one.now(TYPE) for _, score in ends]
        assert min(spans) > 40
        assert max(spans) <= 61
        # The lock of a process that is gone is taken after its span, and not before.
        assert not await other.turn(TYPE, "other", "take", 0.3)
        await asyncio.sleep(0.4)
        assert await other.turn(TYPE, "other", "take", 0.3)
        assert await other.turn(TYPE, "other", "give", 0.3) == 0
        assert await one.turn(TYPE, "one", "take", 0.3)
    told = await other.clock_steps(TYPE)
    assert told is not None
    assert told.count == len(steps)
    assert await audit(client, TYPE) == []
    await one.aclose()
    await other.aclose()
