"""No capacity is free twice: boot, status, deletion and snapshot in every order there is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from standins.placement_server import Placement

from rq_broker.domain.jobs import Status
from rq_broker.sources import SourceSnapshot
from rq_broker.sources.placement import PlacementSource
from rq_broker.sources.providers import amounts_of
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker, SourceReport, WatchStarted
from tests.making import TYPE, planned_grant, shape, submit

POLL = ("watch", "read", "apply")
"""The steps of one poll. A client's step falls into the gap before one of them, or after all."""
AFTER_POLLS, AFTER_QUIET_POLL = 2 * len(POLL), 2 * len(POLL) + 1
"""The gap after two polls, and the gap after one more poll, before which nothing happened."""
GAPS_OF_ONE_POLL = (*range(len(POLL) + 1), AFTER_QUIET_POLL)
GAPS_OF_TWO_POLLS = range(AFTER_QUIET_POLL + 1)
SAMPLES = 8
"""How many ways to distribute one order over two polls are tried; over one poll, all are, but of an
order with the callback's 2xx so many times MORE_SAMPLES."""
MORE_SAMPLES = 4
PARTS = 3
"""Tests over which the orders are split, so that each ends within a minute."""
CAPACITY, GRANTED = 4, 2
"""Amounts of each client's own resource: what the host has, and what the job is granted."""

Order = tuple[str, ...]
"""A client's steps, first to last."""
Schedule = tuple[Order, ...]
"""Gap → the steps that fall into it."""

ORDERS: tuple[Order, ...] = (
    ("boot", "running", "delete", "done"),
    ("boot", "running", "done", "delete"),
    ("boot", "delete", "running", "done"),
    ("running", "boot", "delete", "done"),
    ("running", "boot", "done", "delete"),
)
"""The orders open to a client: it boots before it says done, and deletes after it has booted."""
ORDERS_WITHOUT_RUNNING: tuple[Order, ...] = (
    ("boot", "delete", "done"),
    ("boot", "done", "delete"),
)
"""The orders of a client that ends its job without ever saying running."""


def with_callback(order: Order) -> Iterator[Order]:
    """Yield the order, and each order with the callback's 2xx, which makes the job running."""
    yield order
    for position in range(order.index("running") + 1):
        yield (*order[:position], "accepted", *order[position:])


ORDERS_NAMING_THE_SERVER = (
    *(variant for order in ORDERS for variant in with_callback(order)),
    *ORDERS_WITHOUT_RUNNING,
)
ORDERS_WITHOUT_SERVER = (*ORDERS[:3], *ORDERS_WITHOUT_RUNNING)
"""A client that does not name its server must have booted it when it says running."""


def schedules(order: Order, gaps: Iterable[int]) -> Iterator[Schedule]:
    """Distribute steps, in order, over these gaps in every way."""
    for chosen in combinations_with_replacement(gaps, len(order)):
        yield tuple(
            tuple(step for step, place in zip(order, chosen, strict=True) if place == gap)
            for gap in GAPS_OF_TWO_POLLS
        )


def schedules_of_all(orders: Iterable[Order]) -> Iterator[Schedule]:
    """Yield every schedule of each order around one poll, a sample of some; and around two."""
    rng = Random(0)
    for order in orders:
        around_one = list(schedules(order, GAPS_OF_ONE_POLL))
        is_sampled = "accepted" in order
        yield from rng.sample(around_one, MORE_SAMPLES * SAMPLES) if is_sampled else around_one
        yield from rng.sample(list(schedules(order, GAPS_OF_TWO_POLLS)), SAMPLES)


@dataclass
class Client:
    """One client whose job was granted, when it takes which step, and what it has done so far."""

    number: int
    schedule: Schedule
    names_server: bool
    """Whether `running` names the server; else the settle time, 0 here, ends the hold."""
    provider: str
    resource: str
    server: str = field(default_factory=lambda: str(uuid4()))
    allocated: bool = False
    job_ended: bool = False
    said_running: bool = False

    @property
    def job(self) -> str:
        return f"d{self.number}"

    @property
    def resource_name(self) -> str:
        return broker_name(self.resource)

    @property
    def most_free(self) -> int:
        """The most that may be shown as free: neither granted nor allocated.

        A job that has named no server holds nothing once it is settled.
        """
        holds = not self.job_ended and (self.names_server or not self.said_running)
        return CAPACITY - (GRANTED if holds or self.allocated else 0)

    @property
    def free_when_quiet(self) -> int:
        """What is free once all is quiet: a server not named yet counts beside its job's hold."""
        counted_twice = self.allocated and not self.job_ended and not self.said_running
        return self.most_free - (GRANTED if counted_twice else 0)

    def allocation(self, step: str) -> dict[str, Any]:
        """Return the body by which Nova allocates or removes the server."""
        allocations = {self.provider: {"resources": {self.resource: GRANTED}}}
        return {
            "allocations": allocations if step == "boot" else {},
            "consumer_generation": None if step == "boot" else 1,
            "consumer_type": "INSTANCE",
            "project_id": "project",
            "user_id": "user",
        }


class World:
    """All clients at once, each with a resource of its own, in one Placement and one type."""

    def __init__(
        self,
        broker: Broker,
        placement: Placement,
        source: PlacementSource,
        orders: Iterable[Order],
        *,
        names_server: bool,
    ) -> None:
        self.broker = broker
        self.placement = placement
        self.source = source
        self.names_server = names_server
        entries = placement.call("GET", "/resource_classes")["resource_classes"]
        classes = [entry["name"] for entry in entries if not entry["name"].startswith("CUSTOM_")]
        self.hosts: dict[str, str] = {}
        self.clients: list[Client] = []
        for number, schedule in enumerate(schedules_of_all(orders)):
            if not number % len(classes):
                host = f"cn{number}"
                provider = placement.add(host, **dict.fromkeys(classes, CAPACITY))
                self.hosts[provider] = host
            resource = classes[number % len(classes)]
            self.clients.append(Client(number, schedule, names_server, provider, resource))

    async def grant_all(self) -> None:
        """Have every client's job granted, on the client's own host and resource."""
        settle = 3600 if self.names_server else 0
        await self.broker.set_policy(
            TYPE, {"holds": "until_seen", "settle": settle, "concurrency": 1000}
        )
        await self.poll()
        state = await self.broker.type_state(TYPE)

        async def grant(client: Client) -> int | None:
            wanted = shape({client.resource_name: GRANTED})
            job = await submit(self.broker, client.job, shape=wanted)
            planned = planned_grant(job, wanted, self.hosts[client.provider])
            return await self.broker.grant(TYPE, planned, state)

        assert all(await asyncio.gather(*map(grant, self.clients)))

    async def poll(self, before: Callable[[int], Awaitable[None]] | None = None) -> None:
        """Poll as the poller does, with the clients' steps before each of its own."""
        started, snapshot = WatchStarted(0, frozenset()), SourceSnapshot(())
        for number, step in enumerate(POLL):
            if before:
                await before(number)
            if step == "watch":
                await asyncio.sleep(0.005)
                started = await self.broker.watch(TYPE, "placement", 1, 1.0) or started
            elif step == "read":
                snapshot = await self.source.snapshot(started.servers)
            else:
                report = SourceReport(snapshot.sequence, snapshot.hosts, snapshot.consumers, True)
                assert await self.broker.apply(TYPE, "placement", 1, started.begun, report)

    async def take_steps(self, gap: int) -> None:
        """Take the clients' steps of one gap: all first ones, then all second ones, and so on."""
        for turn in range(max(len(client.schedule[gap]) for client in self.clients)):
            clients_by_step: dict[str, list[Client]] = {}
            for client in self.clients:
                if len(client.schedule[gap]) > turn:
                    clients_by_step.setdefault(client.schedule[gap][turn], []).append(client)
            for step, clients in clients_by_step.items():
                await self.take(step, clients)
            await self.check()

    async def take(self, step: str, clients: list[Client]) -> None:
        if step in ("boot", "delete"):
            body = {client.server: client.allocation(step) for client in clients}
            self.placement.call("POST", "/allocations", body)
        else:
            await asyncio.gather(*(self.transition(step, client) for client in clients))
        for client in clients:
            client.allocated = step == "boot" or (client.allocated and step != "delete")
            client.said_running = client.said_running or step == "running"
            client.job_ended = client.job_ended or step == "done"

    async def transition(self, step: str, client: Client) -> None:
        servers = (client.server,) if self.names_server and step == "running" else ()
        status = Status.DONE if step == "done" else Status.RUNNING
        await self.broker.transition(TYPE, client.job, status, servers=servers)

    async def check(self, *, quiet: bool = False) -> None:
        """Assert that no more is shown as free than is; once all is quiet, nor less."""
        state = await self.broker.type_state(TYPE)
        free_by_host = {name: host.free for name, host in state.hosts.items()}
        for client in self.clients:
            free = free_by_host[self.hosts[client.provider]][client.resource_name]
            if quiet:
                assert free == client.free_when_quiet, client
            else:
                assert free <= client.most_free, client


def broker_name(resource_class: str) -> str:
    (name,) = amounts_of({resource_class: 0})
    return name


@pytest.fixture
def proxy(placement: Placement) -> Placement:
    """Connect the source to Placement itself: it sends thousands of requests."""
    return placement


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("names_server", [True, False], ids=["names its server", "names none"])
async def test_free_capacity_is_right_at_every_interleaving(
    real_client: Redis, placement: Placement, source: PlacementSource, names_server: bool, part: int
) -> None:
    """In every order of boot, 2xx, status, deletion and snapshot each amount is counted once."""
    orders = ORDERS_NAMING_THE_SERVER if names_server else ORDERS_WITHOUT_SERVER
    world = World(
        Broker(real_client), placement, source, orders[part::PARTS], names_server=names_server
    )
    await world.grant_all()
    await world.check(quiet=True)
    await world.poll(world.take_steps)
    await world.poll(lambda number: world.take_steps(len(POLL) + number))
    for gap in (AFTER_POLLS, AFTER_QUIET_POLL):
        await world.take_steps(gap)
        await world.poll()
        await world.check(quiet=True)
    assert all(client.most_free == CAPACITY for client in world.clients)
    findings = await audit(real_client, TYPE)
    assert [finding for finding in findings if finding.severity is Severity.FAULT] == []
