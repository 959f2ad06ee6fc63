"""Many types on few connections: a dead notifier, a lost subscription, no descriptors."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator

import pytest
import redis
from benches.kit import LOOPBACK_ONLY
from faulting.strikes import limit_descriptors
from redis.asyncio import Redis
from standins.receivers import Receiver, receiver, responding

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import WAKE_CHANNEL
from tests.making import publish, shape, submit
from tests.processes import Children, until

TYPES = [f"crowd{number}" for number in range(40)]


@pytest.fixture
async def client(store: Server) -> AsyncIterator[Redis]:
    client = connect(store.url)
    assert isinstance(client, Redis)
    yield client
    await client.aclose()


@pytest.fixture
async def broker(client: Redis) -> Broker:
    """Make the broker of a service that submits, with a host in every type."""
    broker = Broker(client)
    for type_ in TYPES:
        await publish(broker, type_=type_, VCPU=10)
    return broker


async def _listening(store: Server, count: int) -> None:
    with redis.Redis(port=store.port) as plain:

        async def listen() -> bool:
            return bool(plain.pubsub_numsub(WAKE_CHANNEL)[0][1] == count)

        await until(listen, f"{count} notifiers")


async def _submit_everywhere(broker: Broker, sink: Receiver, name: str) -> None:
    """Submit a job in each type, at once."""
    wanted = shape(destination=f"http://127.0.0.1:{sink.port}")
    await asyncio.gather(
        *(
            submit(broker, name, type_, callback=sink.url(path=f"/{type_}/{name}"), shape=wanted)
            for type_ in TYPES
        )
    )


async def _are(broker: Broker, status: Status, name: str) -> None:
    """Wait until the job of this name has a status in each type."""

    async def all_are() -> bool:
        jobs = await asyncio.gather(*(broker.read(type_, name) for type_ in TYPES))
        return all(job.status is status for job in jobs)

    await until(all_are, f"{name} to be {status} in {len(TYPES)} types")


async def _are_counted(broker: Broker) -> None:
    """Wait until the reports have all that happened: that is work, and ends."""

    async def all_are() -> bool:
        heads = await asyncio.gather(*(broker.report_state(type_) for type_ in TYPES))
        return all(head.newest == head.state.cursor for head in heads)

    await until(all_are, f"the events of {len(TYPES)} types to be counted")


async def _clean(client: Redis) -> None:
    for type_ in TYPES:
        assert await audit(client, type_) == []


async def test_a_crowd_needs_few_connections_and_commands(
    broker: Broker, client: Redis, store: Server, spawn: Children
) -> None:
    """Two notifiers serve 40 types over a few connections, and are quiet while nothing happens."""
    # What happened is counted for the reports, once; then only checks go on, within a budget.
    for _ in range(2):
        spawn.notifier(store.url)
    await _listening(store, 2)
    async with receiver(responding(200)) as sink:
        await _submit_everywhere(broker, sink, "a")
        await _are(broker, Status.RUNNING, "a")
    own = {str(await client.client_id())}

    async def commands() -> int:
        return int((await client.info("stats"))["total_commands_processed"])

    async def is_quiet() -> bool:
        before = await commands()
        await asyncio.sleep(3.0)
        return await commands() - before < 3 * 500

    await _are_counted(broker)
    await until(is_quiet, "fewer than 500 commands a second")
    others = [entry for entry in await client.client_list() if entry["id"] not in own]
    assert len(others) < 2 * 10
    await _clean(client)


@pytest.mark.parametrize("how", ["SIGKILL", "SIGSTOP"])
async def test_the_types_of_a_dead_notifier_are_taken_over(
    broker: Broker, client: Redis, store: Server, spawn: Children, how: str
) -> None:
    """One of two notifiers dies: new jobs are called at once, deadlines of its types still end."""
    doomed, _ = [spawn.notifier(store.url) for _ in range(2)]
    await _listening(store, 2)
    for type_ in TYPES:
        await broker.set_policy(type_, {"running": 8.0})
    async with receiver(responding(200)) as sink:
        await _submit_everywhere(broker, sink, "before")
        await _are(broker, Status.RUNNING, "before")
        doomed.send(signal.Signals[how])
        await _submit_everywhere(broker, sink, "after")
        await _are(broker, Status.RUNNING, "after")
        await _are(broker, Status.ERROR, "before")
    await _clean(client)


async def test_a_lost_subscription_loses_nothing(
    broker: Broker, client: Redis, store: Server, spawn: Children
) -> None:
    """While its subscription is cut again and again, a notifier calls every job back."""
    spawn.notifier(store.url)
    await _listening(store, 1)
    async with receiver(responding(200)) as sink:
        for number in range(5):
            await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await _submit_everywhere(broker, sink, f"d{number}")
        for number in range(5):
            await _are(broker, Status.RUNNING, f"d{number}")
    await _clean(client)


async def test_without_descriptors_no_receiver_is_blamed(
    broker: Broker, client: Redis, store: Server, spawn: Children
) -> None:
    """A notifier that may open no file says so once, and sends everything once it may."""
    child = spawn.notifier(store.url)
    await _listening(store, 1)
    limits = limit_descriptors(child.process.pid)
    async with receiver(responding(200)) as sink:
        await _submit_everywhere(broker, sink, "d")

        async def is_told() -> bool:
            return "no file descriptor is left" in child.output()

        await until(is_told, "the lack to be logged")
        await _are(broker, Status.GRANTED, "d")
        await asyncio.sleep(2.0)
        assert sink.heads == []
        for type_ in TYPES:
            assert await broker.attempts(type_, "d") == []
            (destination,) = (await broker.destinations(type_))[1]
            assert (destination.state, destination.failures) == ("closed", 0)
        resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE, limits)
        await _are(broker, Status.RUNNING, "d")
    assert child.output().count("no file descriptor is left") == 1
    assert "Traceback" not in child.output()
    await _clean(client)


async def test_more_types_than_descriptors_are_served(
    broker: Broker, client: Redis, store: Server, spawn: Children
) -> None:
    """A notifier that may open fewer files than there are types calls all of them back."""
    options = ("--redis", store.url, "--concurrency", "4", *LOOPBACK_ONLY)
    spawn.start("notifier", *options, descriptors=len(TYPES) - 5)
    await _listening(store, 1)
    async with receiver(responding(200)) as sink:
        await _submit_everywhere(broker, sink, "d")
        await _are(broker, Status.RUNNING, "d")
    await _clean(client)
