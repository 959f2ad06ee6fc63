"""The notifier in one process: its types, its stops, and a Redis that goes away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

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
from rq_broker.worker.notifier import Notifier
from tests.making import TYPE, bring, publish, submit


@dataclass
class RecordingSender:
    """A sender that keeps the URLs it is given, and returns 2xx unless `may_answer` is cleared."""

    urls: list[str] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:  # noqa: ARG002 - the names of the CallbackSender protocol
        self.urls.append(url)
        await self.may_answer.wait()
        return Outcome("ok", "http_200", 1)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@asynccontextmanager
async def running(notifier: Notifier) -> AsyncIterator[asyncio.Task[None]]:
    """Run a notifier, and stop it as SIGTERM does."""
    task = asyncio.create_task(notifier.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait until a condition is true; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.01)


def counting(
    broker: Broker, status: Status, count: int, type_: str = TYPE
) -> Callable[[], Awaitable[bool]]:
    """Build the condition that this many jobs have a status."""

    async def is_count() -> bool:
        return (await broker.counts(type_))[status] == count

    return is_count


# Serving types


async def test_a_job_is_granted_and_called_back(
    broker: Broker, client: Redis, sender: RecordingSender
) -> None:
    """A job is submitted, granted, called back and running; when it is done, the next one is."""
    await publish(broker, VCPU=1)
    async with running(Notifier(broker, sender)):
        await submit(broker, "a")
        await submit(broker, "b")
        await until(counting(broker, Status.RUNNING, 1))
        await broker.transition(TYPE, "a", Status.DONE)
        await until(counting(broker, Status.RUNNING, 1))
        await until(counting(broker, Status.QUEUED, 0))
    assert sender.urls == ["http://x/a", "http://x/b"]
    assert await audit(client, TYPE) == []


async def test_grants_are_logged_once_a_second_and_at_a_stop(
    broker: Broker, sender: RecordingSender, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten passes of one second write a line or two, which tell of every grant."""
    caplog.set_level("INFO", logger="rq_broker.worker.steps")
    await publish(broker, VCPU=10)
    async with running(Notifier(broker, sender)):
        for number in range(10):
            await submit(broker, f"d{number}")
            await until(counting(broker, Status.QUEUED, 0))
    granted = re.findall(rf"type {TYPE}: (\d+) granted", caplog.text)
    assert sum(map(int, granted)) == 10
    assert len(granted) < 5


async def test_a_receiver_test_is_sent(broker: Broker, sender: RecordingSender) -> None:
    """A test that somebody asks for is sent, also in a type without any other work."""
    await publish(broker)
    async with running(Notifier(broker, sender)):
        await broker.send_test(TYPE, "t", "http://x/y", "http://x:80")

        async def is_answered() -> bool:
            return (await broker.receiver_test(TYPE, "t")).cause == "http_200"

        await until(is_answered)
    assert sender.urls == ["http://x/y"]


async def test_a_new_type_is_served(broker: Broker, sender: RecordingSender) -> None:
    """A type that appears while the notifier runs is served, whatever its name."""
    async with running(Notifier(broker, sender)):
        for type_ in ("vm", "虛擬機", "100%"):
            await publish(broker, type_=type_)
            await submit(broker, type_=type_)
            await until(counting(broker, Status.RUNNING, 1, type_))


async def test_only_the_types_given_are_served(broker: Broker, sender: RecordingSender) -> None:
    """A notifier that is given its types serves no other."""
    for type_ in ("vm", "kube"):
        await publish(broker, type_=type_)
        await submit(broker, type_=type_)
    async with running(Notifier(broker, sender, types=["kube"])):
        await until(counting(broker, Status.RUNNING, 1, "kube"))
    assert (await broker.counts("vm"))[Status.QUEUED] == 1


async def test_many_types_are_served_by_one_process(
    redis_server: Server, real_client: Redis, sender: RecordingSender
) -> None:
    """More types than Redis connections are served, and none waits for another."""
    broker, types = Broker(real_client), [f"t{number}" for number in range(230)]
    await asyncio.gather(*(publish(broker, type_=type_) for type_ in types))
    client = connect(redis_server.url)
    try:
        async with running(Notifier(Broker(client), sender)):
            await asyncio.sleep(1.0)
            await asyncio.gather(*(submit(broker, type_=type_) for type_ in types))

            async def all_called() -> bool:
                return len(sender.urls) == len(types)

            await until(all_called, 5.0)
    finally:
        await client.aclose()


async def test_two_notifiers_share_the_work(
    broker: Broker, client: Redis, sender: RecordingSender
) -> None:
    """Two notifiers call each job back once between them."""
    await publish(broker)
    async with running(Notifier(broker, sender)), running(Notifier(Broker(client), sender)):
        for number in range(30):
            await submit(broker, f"d{number}")
        await until(counting(broker, Status.RUNNING, 30))
    assert sorted(sender.urls) == sorted(f"http://x/d{number}" for number in range(30))
    assert await audit(client, TYPE) == []


async def test_work_whose_marker_is_lost_is_found(
    broker: Broker, client: Redis, sender: RecordingSender
) -> None:
    """A marker lost with a process delays its work by a sweep at most."""
    await publish(broker)
    await submit(broker)
    await client.delete(Keys(TYPE).of("wake"))
    async with running(Notifier(broker, sender)):
        await until(counting(broker, Status.RUNNING, 1))


async def test_a_notifier_expires_jobs(broker: Broker, sender: RecordingSender) -> None:
    """Running times and retention end while a notifier runs."""
    await broker.set_policy(TYPE, {"running": 0.05, "retention": 0.05})
    await bring(broker, Status.GRANTED)
    async with running(Notifier(broker, sender)):
        await until(counting(broker, Status.GRANTED, 0))
        async with asyncio.timeout(20):
            while sum((await broker.counts(TYPE)).values()):
                await asyncio.sleep(0.01)
    assert sender.urls == ["http://x/d"]


async def test_a_stop_hands_back_callbacks_in_flight(
    broker: Broker, client: Redis, sender: RecordingSender
) -> None:
    """A stopped notifier leaves its callbacks to the next one, which sends them at once."""
    await publish(broker)
    sender.may_answer.clear()

    async def is_called() -> bool:
        return bool(sender.urls)

    async with running(Notifier(broker, sender, timeout=0.1)):
        await submit(broker)
        await until(is_called)
    assert (await broker.read(TYPE, "d")).status is Status.GRANTED
    sender.may_answer.set()
    async with running(Notifier(broker, sender, timeout=0.1)):
        await until(counting(broker, Status.RUNNING, 1))
    assert sender.urls == ["http://x/d"] * 2
    assert await audit(client, TYPE) == []


async def test_a_stop_takes_effect_at_any_moment(
    real_client: Redis, sender: RecordingSender
) -> None:
    """However soon after its start a notifier is cancelled, it stops."""
    broker = Broker(real_client)
    for type_ in ("vm", "kube"):
        await publish(broker, type_=type_)
    for half_ms in range(40):
        task = asyncio.create_task(Notifier(broker, sender).run())
        await asyncio.sleep(half_ms / 2000)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done


async def test_an_unreadable_record_does_not_end_the_notifier(
    broker: Broker, client: Redis, sender: RecordingSender
) -> None:
    """A record broken by another client stops neither the process nor other types."""
    await submit(broker, "broken")
    digest = (await broker.read(TYPE, "broken")).shape
    await client.hset(Keys(TYPE).of("shapes"), digest, "no JSON")
    await publish(broker, type_="kube")
    async with running(Notifier(broker, sender)) as task:
        await asyncio.sleep(0.2)
        await submit(broker, type_="kube")
        await until(counting(broker, Status.RUNNING, 1, "kube"), 5.0)
        assert not task.done()


# Redis


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Make a server of this test alone, which it can kill."""
    return Server(tmp_path / "redis", options=("--appendfsync", "always"))


async def test_redis_away_and_back_loses_nothing(server: Server, sender: RecordingSender) -> None:
    """Redis is killed and restarted on its append-only file, and the notifier goes on."""
    server.start()
    client = connect(server.url)
    broker = Broker(client)
    try:
        await publish(broker, VCPU=1)
        async with running(Notifier(broker, sender)):
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
        assert sender.urls == [f"http://x/d{number}" for number in range(3)]
        assert await audit(client, TYPE) == []
    finally:
        await client.aclose()
        server.stop()


async def test_a_notifier_waits_for_a_redis_that_is_not_there_yet(
    server: Server, sender: RecordingSender
) -> None:
    """A notifier that starts before Redis begins its work once Redis is there."""
    server.start()
    server.kill()
    client = connect(server.url)
    broker = Broker(client)
    try:
        async with running(Notifier(broker, sender)):
            await asyncio.sleep(0.2)
            server.start()
            await publish(broker)
            await submit(broker)
            await until(counting(broker, Status.RUNNING, 1))
    finally:
        await client.aclose()
        server.stop()
