"""The verbs that can be profiled: what each needs beforehand, and how it is carried out.

`prepare` makes the state that a verb begins with, once. `ready` starts from it, makes what else the
verb needs, and yields what is profiled: it carries the verb out and returns how often.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from benches import asking, calling, child, granting, kit
from standins.applications import serving_as

from rq_broker.admission.explain import Explainer
from rq_broker.admission.forecaster import COMPUTING
from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.delivery.courier import Courier
from rq_broker.delivery.http.sender import Sender
from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker, Cursor, Settlement
from rq_broker.store.embedded import Server, free_port

Work = Callable[[], Awaitable[int]]
BATCH = 16
"""Callbacks that a courier claims, or settles, in one call."""
_IN_FLIGHT = 16
_SUBMITS, _GRANTS, _CALLBACKS, _WAITING, _EXPLAINED = 10_000, 5_000, 3_000, 20_000, 50
_PAGE = 100
_WARM_UP = range(10_000_000, 10_002_000)
"""Jobs that are submitted before others are measured."""


@dataclass(frozen=True, slots=True)
class Verb:
    """What is profiled."""

    unit: str
    """What is counted, and how it is carried out."""
    prepare: Callable[[Server], None]
    ready: Callable[[Broker, Server], AbstractAsyncContextManager[Work]]


# Submits


def _nothing(_: Server) -> None:
    """Begin with an empty Redis."""


@asynccontextmanager
async def _submit(broker: Broker, _: Server) -> AsyncIterator[Work]:
    async def submit(numbers: range) -> int:
        await kit.fan(numbers, _IN_FLIGHT, partial(child.submit_trusted, broker))
        return len(numbers)

    await submit(_WARM_UP)
    yield partial(submit, range(_SUBMITS))


@asynccontextmanager
async def _http_submit(_: Broker, server: Server) -> AsyncIterator[Work]:
    """Serve in this process, and load from another."""
    port = free_port()

    async def load(numbers: range) -> int:
        command = kit.role("load", port, f"/v1/{kit.TYPE}/", numbers.start, len(numbers))
        process = await asyncio.create_subprocess_exec(
            *command, cwd=kit.SCRIPTS, stdout=asyncio.subprocess.DEVNULL
        )
        if await process.wait():
            raise RuntimeError("the client failed")
        return len(numbers)

    async with serving_as(child.api_config(server.url, port)):
        await load(_WARM_UP)
        yield partial(load, range(_SUBMITS))


# Grants and callbacks


def _granting(server: Server) -> None:
    """Let jobs of 100 shapes wait in a paused type, and publish hosts for all of them."""
    hosts = [Host(f"host{number}", {"VCPU": 64, "Memory": 1 << 20}) for number in range(1000)]

    async def publish(broker: Broker) -> None:
        await broker.set_policy(kit.TYPE, {"paused": True, "concurrency": 10_000})
        await kit.fan(range(len(hosts)), 100, lambda n: broker.set_host(kit.TYPE, hosts[n]))

    kit.run(server.url, publish)
    kit.fill(server, _GRANTS, granting.shaped)


@asynccontextmanager
async def _grant(broker: Broker, server: Server) -> AsyncIterator[Work]:
    granter = Granter(broker, kit.TYPE)
    await granter.run_once()  # a pass on the paused type reads the hosts
    await broker.set_policy(kit.TYPE, {"paused": False})
    client = kit.plain(server)

    async def work() -> int:
        granted = 0
        while committed := await granter.run_once():
            granted += committed
            kit.drop_callbacks(client, granting.DESTINATION)
        return granted

    yield work
    client.close()


def _due(server: Server, offer: float = 86400.0) -> None:
    """Let callbacks to four destinations be due."""
    calling.let_be_due(server, _CALLBACKS, _SINK, offer)
    calling.unpark(server)


@asynccontextmanager
async def _callback(broker: Broker, _: Server) -> AsyncIterator[Work]:
    """Claim, send and settle as a notifier does; the receiver is another process."""
    egress = Egress.of(allow=["127.0.0.0/8"])
    slots = asyncio.Semaphore(calling.IN_FLIGHT)
    with ExitStack() as stack:
        _SINK.serve(stack)
        async with Sender(egress, timeout_s=10.0) as sender:
            courier = Courier(broker, kit.TYPE, sender, slots)

            async def work() -> int:
                while await courier.run_once() == 0.0 or not courier.is_idle:
                    await asyncio.sleep(0.001)
                return _SINK.read("/stats")[0]

            yield work


async def _claim_all(broker: Broker, most: int) -> list[list[Delivery]]:
    batches: list[list[Delivery]] = []
    for _ in range(most // BATCH):
        _, deliveries = await broker.claim(kit.TYPE, 60.0, BATCH)
        batches.append(deliveries)
    return batches


async def _settle_all(broker: Broker, batches: list[list[Delivery]]) -> int:
    delivered = Settlement("delivered", "http_200", 1, health="healthy")
    for batch in batches:
        await broker.settle(kit.TYPE, [(delivery, delivered) for delivery in batch])
    return sum(map(len, batches))


@asynccontextmanager
async def _claim(broker: Broker, _: Server) -> AsyncIterator[Work]:
    await _settle_all(broker, await _claim_all(broker, 10 * BATCH))  # receivers become prompt

    async def work() -> int:
        return sum(map(len, await _claim_all(broker, _CALLBACKS // 2)))

    yield work


@asynccontextmanager
async def _settle(broker: Broker, _: Server) -> AsyncIterator[Work]:
    await _settle_all(broker, await _claim_all(broker, 10 * BATCH))  # receivers become prompt
    yield partial(_settle_all, broker, await _claim_all(broker, _CALLBACKS // 2))


@asynccontextmanager
async def _sweep(broker: Broker, _: Server) -> AsyncIterator[Work]:
    await asyncio.sleep(_OFFER)

    async def work() -> int:
        total = 0
        while (moved := (await broker.sweep(kit.TYPE))[1]) or not total:
            total += moved
        return total

    yield work


_SINK = calling.Sink()
"""The receiver of all callbacks."""
_OFFER = 1.0
"""Seconds for which jobs are offered that a sweep then takes back."""


# Questions


def _asked(server: Server) -> None:
    """Let many jobs wait for 1,000 full hosts, after others that ended."""
    kit.run(server.url, asking.publish)
    kit.fill(server, _WAITING, granting.shaped)
    kit.run(server.url, partial(asking.history, server))


@asynccontextmanager
async def _explain(broker: Broker, _: Server) -> AsyncIterator[Work]:
    explainer = Explainer(SnapshotReader(broker))
    page = await broker.page(kit.TYPE, status="queued", limit=500)
    names = [job.request_id for job in random.Random(1).sample(page.jobs, _EXPLAINED)]
    while (await explainer.explain(kit.TYPE, names[0])).forecast == COMPUTING:
        await asyncio.sleep(0.1)  # the first forecast takes long

    async def work() -> int:
        for name in names:
            await explainer.explain(kit.TYPE, name)
        return len(names)

    yield work


def _waiting(server: Server) -> None:
    kit.fill(server, _WAITING)


@asynccontextmanager
async def _page(broker: Broker, _: Server) -> AsyncIterator[Work]:
    async def work() -> int:
        cursor: Cursor | None = None
        for count in itertools.count(1):
            page = await broker.page(kit.TYPE, status="queued", limit=_PAGE, after=cursor)
            cursor = page.next
            if cursor is None:
                return count
        raise AssertionError("unreachable")

    yield work


VERBS = {
    "submit": Verb(f"Broker.submit, {_IN_FLIGHT} in flight", _nothing, _submit),
    "http-submit": Verb("POST of a job over HTTP, 16 connections", _nothing, _http_submit),
    "grant": Verb("grant by passes of the granter, 1,000 hosts, 100 shapes", _granting, _grant),
    "claim": Verb(f"callback claimed, {BATCH} a call", _due, _claim),
    "settle": Verb(f"callback settled, {BATCH} a call", _due, _settle),
    "explain": Verb(f"explanation, 1,000 hosts, {_WAITING:,} waiting", _asked, _explain),
    "page": Verb(f"page of {_PAGE} jobs, {_WAITING:,} waiting", _waiting, _page),
    "callback": Verb(
        f"callback claimed, sent and settled, {calling.IN_FLIGHT} in flight", _due, _callback
    ),
    "sweep": Verb("offer that a sweep ends, 100 a call", partial(_due, offer=_OFFER), _sweep),
}
