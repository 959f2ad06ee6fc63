"""begin_pass.lua: the lock on planning a type, and what a pass reads first, in one call."""

from __future__ import annotations

from redis.asyncio import Redis

from rq_broker.domain.capacity import Host
from rq_broker.domain.planning import Promise
from rq_broker.store.broker import Broker, Front, Window
from rq_broker.store.keys import Keys
from rq_broker.store.passes import Begun
from tests.making import TYPE, submit

WINDOW = Window(10, 10, 10)


async def test_it_reads_what_other_scripts_read(broker: Broker) -> None:
    """The state and the first jobs are those of type_state and heads, and the lock is held."""
    await broker.set_host(TYPE, Host("h1", {"VCPU": 4}))
    await submit(broker, "a", priority=2)
    await submit(broker, "b", owner_id="other", priority=1)
    front = (await _begin(broker)).front
    assert front is not None
    assert front.state == await broker.type_state(TYPE, usage=True)
    assert front.heads == await broker.heads(TYPE, 0, *WINDOW, own=True)
    assert abs(front.now - await broker.now(TYPE)) < 60
    assert not await broker.turn(TYPE, "another", "take", 60)


async def test_another_process_has_the_lock(broker: Broker) -> None:
    """Who is refused plans nothing, and the holder runs one more round before it gives it back."""
    await submit(broker)
    await broker.turn(TYPE, "holder", "take", 60)
    assert await _begin(broker) == Begun(is_refused=True)
    assert await broker.turn(TYPE, "holder", "give", 60)
    assert not await broker.turn(TYPE, "holder", "give", 60)


async def test_the_lock_of_a_dead_process_is_taken(broker: Broker) -> None:
    """Who sees the lock unchanged for its span takes it."""
    await submit(broker)
    await broker.turn(TYPE, "holder", "take", 0)
    assert (await _begin(broker, 0)).is_refused
    assert (await _begin(broker, 0)).front


async def test_without_a_waiting_job_the_lock_is_given_back(broker: Broker, client: Redis) -> None:
    """Nothing is to be planned, and the wake-up is answered: the next one is published."""
    await submit(broker)
    assert (await _begin(broker)).front
    await broker.withdraw(TYPE, "d")
    await client.zadd(Keys(TYPE).of("wake"), {"grant": 0})
    await client.set(Keys(TYPE).of("turn:plan:again"), "1")
    assert await _begin(broker) == Begun()
    assert not await broker.has_marker(TYPE, "grant")
    assert await client.exists(Keys(TYPE).of("turn:plan"), Keys(TYPE).of("turn:plan:again")) == 0


async def test_what_was_promised_is_taken_back(broker: Broker) -> None:
    """A pass is run as well while a promise stands, though no job waits any more."""
    job = await submit(broker)
    await broker.note(TYPE, [Promise(job.id, "d", 2.0, 1.0)], [])
    await broker.withdraw(TYPE, "d")
    assert isinstance((await _begin(broker)).front, Front)
    await broker.note(TYPE, [], [])
    assert await _begin(broker) == Begun()


async def _begin(broker: Broker, seconds: float = 60) -> Begun:
    return await broker.begin_pass(TYPE, "me", seconds, None, WINDOW, usage=True, own=True)
