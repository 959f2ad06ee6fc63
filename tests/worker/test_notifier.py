"""The notifier in one process: its loops, its types, and a store that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.delivery.outcome import Outcome
from rq_broker.domain import errors
from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys
from rq_broker.worker import notifier
from rq_broker.worker.loop import Loop
from rq_broker.worker.notifier import Notifier
from tests.making import TYPE, bring, publish, submit


@dataclass
class Ear:
    """A sender that hears everything, and answers 2xx once it may."""

    heard: list[str] = field(default_factory=list)
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answer.set()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:  # noqa: ARG002 - the Poster protocol's own names
        self.heard.append(url)
        await self.answer.wait()
        return Outcome("ok", "http_200", 1)


@pytest.fixture
def ear() -> Ear:
    return Ear()


@asynccontextmanager
async def running(one: Notifier) -> AsyncIterator[asyncio.Task[None]]:
    """Run a notifier, and stop it as SIGTERM does."""
    task = asyncio.create_task(one.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until something is so; fail if it never becomes so."""
    async with asyncio.timeout(seconds):
        while not await true():
            await asyncio.sleep(0.01)


def counting(broker: Broker, status: Status, count: int, type_: str = TYPE) -> Callable[[], Any]:
    """Build the question whether so many jobs have this status."""

    async def so() -> bool:
        return (await broker.counts(type_))[status] == count

    return so


# Loops


async def _loop(step: Callable[[], Awaitable[float | None]]) -> tuple[Loop, asyncio.Task[None]]:
    loop = Loop("test", step)
    return loop, asyncio.create_task(loop.run())


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_nudge_runs_the_step_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that has nothing to do runs again when it is nudged, long before it would look."""
    monkeypatch.setattr(notifier, "SWEEP_SECONDS", 3600.0)
    ran = asyncio.Semaphore(0)

    async def step() -> None:
        ran.release()

    loop, task = await _loop(step)
    for _ in range(3):
        await asyncio.wait_for(ran.acquire(), 10)
        loop.nudge()
    await asyncio.wait_for(ran.acquire(), 10)
    await _stop(task)


async def test_a_nudge_during_a_step_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens while a step runs makes it run once more."""
    monkeypatch.setattr(notifier, "SWEEP_SECONDS", 3600.0)
    entered, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def step() -> None:
        entered.release()
        await go_on.wait()

    loop, task = await _loop(step)
    await asyncio.wait_for(entered.acquire(), 10)
    loop.nudge()
    go_on.set()
    await asyncio.wait_for(entered.acquire(), 10)
    await _stop(task)


@pytest.mark.parametrize("due", [0.0, 0.01, None, 3600.0])
async def test_the_step_runs_when_it_said_and_at_the_sweep(
    monkeypatch: pytest.MonkeyPatch, due: float | None
) -> None:
    """A loop waits as long as its step said, and never longer than a sweep."""
    monkeypatch.setattr(notifier, "SWEEP_SECONDS", 0.02)
    ran = asyncio.Semaphore(0)

    async def step() -> float | None:
        ran.release()
        return due

    _, task = await _loop(step)
    for _ in range(4):
        await asyncio.wait_for(ran.acquire(), 10)
    await _stop(task)


@pytest.mark.parametrize(
    "error",
    [errors.Unavailable("away"), errors.Internal("refused"), errors.JobNotFound("gone")],
    ids=lambda error: error.code,
)
async def test_a_loop_outlives_the_brokers_errors(
    monkeypatch: pytest.MonkeyPatch, error: errors.BrokerError
) -> None:
    """Whatever the broker raises, the loop says it in the log and goes on."""
    monkeypatch.setattr(notifier, "SWEEP_SECONDS", 0.01)
    ran = asyncio.Semaphore(0)

    async def step() -> None:
        ran.release()
        raise error

    _, task = await _loop(step)
    for _ in range(3):
        await asyncio.wait_for(ran.acquire(), 10)
    assert not task.done()
    await _stop(task)


async def test_a_stop_is_heard_while_the_store_is_away() -> None:
    """A step that fails in the very moment it is cancelled does not keep its loop alive."""
    fails, entered = asyncio.Event(), asyncio.Event()

    async def away() -> None:
        entered.set()
        await fails.wait()
        raise errors.Unavailable("Redis does not answer")

    async def step() -> None:
        await asyncio.gather(away(), asyncio.Event().wait())

    _, task = await _loop(step)
    await entered.wait()
    fails.set()
    await asyncio.sleep(0)  # the one part has failed, the step has yet to hear of it
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=3)
    await _stop(task)
    assert done


# The whole


async def test_a_job_goes_its_way(broker: Broker, client: Redis, ear: Ear) -> None:
    """Submitted, granted, called back, running; done, and the next one that waited runs."""
    await publish(broker, VCPU=1)
    async with running(Notifier(broker, ear)):
        await submit(broker, "a")
        await submit(broker, "b")
        await until(counting(broker, Status.RUNNING, 1))
        await broker.transition(TYPE, "a", Status.DONE)
        await until(counting(broker, Status.RUNNING, 1))
        await until(counting(broker, Status.QUEUED, 0))
    assert ear.heard == ["http://x/a", "http://x/b"]
    assert await audit(client, TYPE) == []


async def test_new_types_are_taken_up(broker: Broker, ear: Ear) -> None:
    """A type that appears while the notifier runs is served, whatever its name."""
    async with running(Notifier(broker, ear)):
        for type_ in ("vm", "虛擬機", "100%"):
            await publish(broker, type_=type_)
            await submit(broker, type_=type_)
            await until(counting(broker, Status.RUNNING, 1, type_))


async def test_only_the_types_given_are_served(broker: Broker, ear: Ear) -> None:
    """A notifier told its types leaves the others to others."""
    for type_ in ("vm", "kube"):
        await publish(broker, type_=type_)
        await submit(broker, type_=type_)
    async with running(Notifier(broker, ear, types=["kube"])):
        await until(counting(broker, Status.RUNNING, 1, "kube"))
    assert (await broker.counts("vm"))[Status.QUEUED] == 1


async def test_many_types_are_served_by_one_process(
    redis_server: Server, real_client: Redis, ear: Ear
) -> None:
    """More types than a pool has connections are watched, and none waits for another."""
    broker, types = Broker(real_client), [f"t{number}" for number in range(230)]
    await asyncio.gather(*(publish(broker, type_=type_) for type_ in types))
    client = connect(redis_server.url)
    try:
        async with running(Notifier(Broker(client), ear)):
            await asyncio.sleep(notifier.SWEEP_SECONDS)
            await asyncio.gather(*(submit(broker, type_=type_) for type_ in types))

            async def all_heard() -> bool:
                return len(ear.heard) == len(types)

            await until(all_heard, 5.0)
    finally:
        await client.aclose()


async def test_two_notifiers_share_the_work(broker: Broker, client: Redis, ear: Ear) -> None:
    """Side by side they call every job back once."""
    await publish(broker)
    async with running(Notifier(broker, ear)), running(Notifier(Broker(client), ear)):
        for number in range(30):
            await submit(broker, f"d{number}")
        await until(counting(broker, Status.RUNNING, 30))
    assert sorted(ear.heard) == sorted(f"http://x/d{number}" for number in range(30))
    assert await audit(client, TYPE) == []


async def test_what_a_dead_process_woke_for_is_found(
    broker: Broker, client: Redis, ear: Ear
) -> None:
    """Markers popped by somebody who died cost a sweep's wait, never the work."""
    await publish(broker)
    await submit(broker)
    await client.delete(Keys(TYPE).of("wake"))
    async with running(Notifier(broker, ear)):
        await until(counting(broker, Status.RUNNING, 1))


async def test_expiry_is_part_of_it(broker: Broker, ear: Ear) -> None:
    """Offers and retention end under a notifier without anybody asking."""
    await broker.set_policy(TYPE, {"running": 0.05, "retention": 0.05})
    await bring(broker, Status.GRANTED)
    async with running(Notifier(broker, ear)):
        await until(counting(broker, Status.GRANTED, 0))
        async with asyncio.timeout(20):
            while sum((await broker.counts(TYPE)).values()):
                await asyncio.sleep(0.01)
    assert ear.heard == ["http://x/d"]


async def test_a_stop_hands_back_what_cannot_finish(
    broker: Broker, client: Redis, ear: Ear
) -> None:
    """A stopped notifier leaves its deliveries to the next one, which calls at once."""
    await publish(broker)
    ear.answer.clear()

    async def heard() -> bool:
        return bool(ear.heard)

    async with running(Notifier(broker, ear, timeout=0.1)):
        await submit(broker)
        await until(heard)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
    ear.answer.set()
    async with running(Notifier(broker, ear, timeout=0.1)):
        await until(counting(broker, Status.RUNNING, 1))
    assert ear.heard == ["http://x/d"] * 2
    assert await audit(client, TYPE) == []


async def test_a_stop_is_heard_at_any_instant(
    real_client: Redis, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However soon after its start it is stopped, no loop overhears it."""
    monkeypatch.setattr(notifier, "SWEEP_SECONDS", 0.05)
    broker = Broker(real_client)
    for type_ in ("vm", "kube"):
        await publish(broker, type_=type_)
    for turn in range(40):
        task = asyncio.create_task(Notifier(broker, ear).run())
        await asyncio.sleep(turn / 2000)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done


async def test_an_unreadable_record_does_not_end_the_notifier(
    broker: Broker, client: Redis, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's broken write to Redis stops neither the process nor the other types."""
    monkeypatch.setattr(notifier, "SWEEP_SECONDS", 0.05)
    await submit(broker, "broken")
    digest = (await broker.read(TYPE, "broken")).shape
    await client.hset(Keys(TYPE).of("shapes"), digest, "no JSON")
    await publish(broker, type_="kube")
    async with running(Notifier(broker, ear)) as task:
        await asyncio.sleep(0.2)
        await submit(broker, type_="kube")
        await until(counting(broker, Status.RUNNING, 1, "kube"), 5.0)
        assert not task.done()


# Redis


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """A server of one test's own, for it to kill."""
    return Server(tmp_path / "redis", options=("--appendfsync", "always"))


async def test_redis_away_and_back_loses_nothing(server: Server, ear: Ear) -> None:
    """Killed and started again on its append-only file, Redis finds its notifier still there."""
    server.start()
    client = connect(server.url)
    broker = Broker(client)
    try:
        await publish(broker, VCPU=1)
        async with running(Notifier(broker, ear)):
            for number in range(3):
                await submit(broker, f"d{number}")
            await until(counting(broker, Status.RUNNING, 1))
            server.kill()
            with pytest.raises(errors.Unavailable):
                await broker.ping()
            await asyncio.sleep(1.5)
            server.start()
            for number in range(3):
                await until(counting(broker, Status.RUNNING, 1))
                await broker.transition(TYPE, f"d{number}", Status.DONE)
        assert ear.heard == [f"http://x/d{number}" for number in range(3)]
        assert await audit(client, TYPE) == []
    finally:
        await client.aclose()
        server.stop()


async def test_a_notifier_waits_for_a_redis_that_is_not_there_yet(server: Server, ear: Ear) -> None:
    """Started before its Redis, a notifier takes up its work once Redis is there."""
    server.start()
    server.kill()
    client = connect(server.url)
    broker = Broker(client)
    try:
        async with running(Notifier(broker, ear)):
            await asyncio.sleep(0.2)
            server.start()
            await publish(broker)
            await submit(broker)
            await until(counting(broker, Status.RUNNING, 1))
    finally:
        await client.aclose()
        server.stop()


async def test_an_idle_wait_ends_in_nothing_and_no_error(real_client: Redis) -> None:
    """Blocking as long as the notifier blocks is not mistaken for a Redis that is away."""
    assert await Broker(real_client).wait(TYPE, notifier.BLOCK_SECONDS) is None
