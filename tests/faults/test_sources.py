"""Capacity from the real Placement service: grants, faults, take-overs, and every interleaving."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from rq_broker.answers import reason
from rq_broker.audit import Severity, audit
from rq_broker.broker import Broker, Sight, Watched
from rq_broker.granter import Granter
from rq_broker.models import Host, Status
from rq_broker.poller import Poller
from rq_broker.sources import SourceSnapshot
from rq_broker.sources.feeds import Feed
from rq_broker.sources.placement import PlacementSource
from rq_broker.sources.providers import amounts_of
from rq_broker.store import Server, free_port
from tests.making import TYPE, proposal, shape, submit
from tests.processes import children, until
from tests.sources.placement_server import Placement

SIZE = {"VCPU": 4, "MEMORY_MB": 4096}


@pytest.fixture(scope="module")
def placement_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placement]:
    placement = Placement(tmp_path_factory.mktemp("placement"))
    yield placement
    placement.stop()


@pytest.fixture
def placement(placement_process: Placement) -> Placement:
    placement_process.clear()
    return placement_process


@pytest.fixture
def clouds(placement: Placement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clouds.yaml whose Nova answers nobody."""
    path = tmp_path / "clouds.yaml"
    lab = {
        "auth_type": "admin_token",
        "auth": {"endpoint": placement.url, "token": "admin"},
        "compute_endpoint_override": f"http://127.0.0.1:{free_port()}",
    }
    path.write_text(json.dumps({"clouds": {"lab": lab}}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    return path


@pytest.fixture
async def source(clouds: Path) -> AsyncIterator[PlacementSource]:
    assert clouds.name == "clouds.yaml"
    source = PlacementSource(cloud="lab", connections=4)
    yield source
    await source.close()


@pytest.fixture
def broker(real_client: Redis) -> Broker:
    return Broker(real_client)


@pytest.fixture
def poller(broker: Broker, source: PlacementSource) -> Poller:
    return Poller(broker, Feed("placement", TYPE, 0.0, source))


async def granted(broker: Broker) -> list[str]:
    await Granter(broker, TYPE).run_once()
    return [job.request_id for job in (await broker.page(TYPE, status="granted")).jobs]


# Grants


async def test_a_job_is_granted_when_it_fits_and_not_before(
    broker: Broker, placement: Placement, poller: Poller
) -> None:
    """Full, disabled, and too small an instance: the job waits; a server deleted, it is granted."""
    full, off = placement.add("cn1", **SIZE), placement.add("cn2", **SIZE)
    small = placement.add("cn3", **SIZE)
    servers = [str(uuid4()), str(uuid4())]
    placement.boot(servers[0], **{full: {"VCPU": 3}})
    placement.traits(off, "COMPUTE_STATUS_DISABLED")
    placement.inventory(small, {"VCPU": {"total": 4, "max_unit": 1}, "MEMORY_MB": {"total": 4096}})
    job = await submit(broker, shape=shape({"VCPU": 2, "Memory": 1}))
    await poller.run_once()
    assert await granted(broker) == []
    told = await reason(broker, TYPE, job)
    assert told is not None
    assert told.startswith("needs VCPU 2 on one host; the most free is 1 on cn1")
    placement.delete(servers[0])
    await poller.run_once()
    assert await granted(broker) == ["d"]
    assert (await broker.read(TYPE, "d")).hosts == ("cn1",)


async def test_published_hosts_live_beside(
    broker: Broker, placement: Placement, poller: Poller
) -> None:
    """Hosts of Placement and one published by hand serve one queue; neither takes the other's."""
    placement.add("cn1", **SIZE)
    await broker.set_host(TYPE, Host("byhand", {"VCPU": 1}))
    for name in ("d", "e"):
        await submit(broker, name, shape=shape({"VCPU": 4} if name == "d" else {"VCPU": 1}))
    await poller.run_once()
    assert sorted(await granted(broker)) == ["d", "e"]
    assert [one.name for one in await broker.hosts(TYPE)] == ["byhand", "cn1"]


async def test_placement_away_and_back(
    broker: Broker, placement: Placement, poller: Poller
) -> None:
    """While it is down the last figures stay and its cause is told; back, what changed is seen."""
    provider = placement.add("cn1", **SIZE)
    await poller.run_once()
    placement.stop()
    await poller.run_once()
    (state,) = await broker.sources(TYPE)
    assert (state.cause, state.hosts) == ("unreachable", 1)
    assert (await broker.host(TYPE, "cn1")).free["VCPU"] == 4
    placement.start()
    placement.boot(str(uuid4()), **{provider: {"VCPU": 1}})
    await poller.run_once()
    assert (await broker.sources(TYPE))[0].cause == ""
    assert (await broker.host(TYPE, "cn1")).free["VCPU"] == 3


# Take-over


async def test_a_killed_leader_is_followed_within_seconds(
    broker: Broker, placement: Placement, clouds: Path, redis_server: Server, tmp_path: Path
) -> None:
    """Of two notifiers one polls; that one killed, the other does, under a greater term."""
    config = tmp_path / "sources.toml"
    config.write_text(
        f'[[source]]\ntype = "{TYPE}"\nkind = "placement"\ncloud = "lab"\ninterval = 0.2\n'
    )
    placement.add("cn1", **SIZE)

    async def sees(name: str) -> bool:
        return name in [host.name for host in await broker.hosts(TYPE)]

    variables = {"OS_CLIENT_CONFIG_FILE": str(clouds)}
    with children(tmp_path) as crew:
        pair = [
            crew.start(
                "notifier", "--redis", redis_server.url, "--source", str(config), **variables
            )
            for _ in range(2)
        ]
        await until(lambda: sees("cn1"), "the first snapshot")
        term = await broker.turn(TYPE, "nobody", "give", 1.0, "source:placement")
        assert term == 0
        for number, child in enumerate(pair):
            child.kill()
            placement.add(f"later{number}", **SIZE)
            if number == 0:
                await until(lambda: sees("later0"), "whichever is left", 15)
        await until(lambda: free_turn(broker), "the last one's turn to end", 15)
    assert not await sees("later1")


async def free_turn(broker: Broker) -> bool:
    return await broker.turn(TYPE, "test", "take", 1.0, "source:placement") > 1


# Every interleaving

POLL = ("watch", "read", "apply")
NEVER = len(POLL) + 1
TOTAL, PROMISED = 4, 2
ORDERS = (
    ("boot", "delete", "running", "done"),
    ("boot", "running", "delete", "done"),
    ("boot", "running", "done", "delete"),
    ("running", "boot", "delete", "done"),
    ("running", "boot", "done", "delete"),
)
"""What a client may do in which order: it boots before it says done, and deletes what it booted."""
SETTLED = ORDERS[2]
"""The order in which a client that tells no server must go: it has booted when it says running."""

Gaps = tuple[tuple[str, ...], ...]


def gaps(order: tuple[str, ...]) -> set[Gaps]:
    """Put steps, in order, into the gaps around a poll's steps, or behind its end, in every way."""
    places = product(range(NEVER + 1), repeat=len(order))
    return {
        tuple(
            tuple(step for step, place in zip(order, chosen, strict=True) if place == gap)
            for gap in range(NEVER + 1)
        )
        for chosen in places
        if list(chosen) == sorted(chosen)
    }


@dataclass
class Story:
    """One client whose job was granted, and when it does what."""

    number: int
    steps: Gaps
    known: bool
    """It tells its server; else the settle time, none here, ends the hold."""
    provider: str
    resource: str
    server: str = field(default_factory=lambda: str(uuid4()))
    allocated: bool = False
    promised: bool = True
    said: bool = False

    @property
    def name(self) -> str:
        return f"d{self.number}"

    @property
    def free(self) -> int:
        """What may be told to others: neither what is promised nor what is allocated."""
        return TOTAL - (PROMISED if self.promised or self.allocated else 0)

    @property
    def quiet(self) -> int:
        """What is told once all is quiet: a server nobody spoke of yet counts beside its hold."""
        unknown = self.allocated and self.promised and not self.said
        return self.free - (PROMISED if unknown else 0)

    def allocation(self, step: str) -> dict[str, Any]:
        mine = {self.provider: {"resources": {self.resource: PROMISED}}}
        return {
            "allocations": mine if step == "boot" else {},
            "consumer_generation": None if step == "boot" else 1,
            "consumer_type": "INSTANCE",
            "project_id": "project",
            "user_id": "user",
        }


class World:
    """All stories at once, each with a resource of its own, in one Placement and one type."""

    def __init__(self, broker: Broker, placement: Placement, source: PlacementSource) -> None:
        self.broker = broker
        self.placement = placement
        self.source = source
        known = {steps for order in ORDERS for steps in gaps(order)}
        every = [(steps, True) for steps in sorted(known)]
        every += [(steps, False) for steps in sorted(gaps(SETTLED))]
        classes = placement.call("GET", "/resource_classes")["resource_classes"]
        names = [one["name"] for one in classes if not one["name"].startswith("CUSTOM_")]
        self.hosts: dict[str, str] = {}
        self.stories: list[Story] = []
        for number, (steps, tells) in enumerate(every):
            if not number % len(names):
                host = f"cn{number}"
                provider = placement.add(host, **dict.fromkeys(names, TOTAL))
                self.hosts[provider] = host
            resource = names[number % len(names)]
            self.stories.append(Story(number, steps, tells, provider, resource))

    async def grant_all(self) -> None:
        """Have every story's job granted, on its own host and resource."""
        await self.broker.set_policy(TYPE, {"holds": "until_seen", "settle": 0})
        await self.poll()
        view = await self.broker.view(TYPE)
        for story in self.stories:
            wanted = shape({amounts_name(story.resource): PROMISED})
            job = await submit(self.broker, story.name, shape=wanted)
            planned = proposal(job, wanted, self.hosts[story.provider])
            assert await self.broker.grant(TYPE, planned, view) is not None

    async def poll(self, around: Callable[[int], Awaitable[None]] | None = None) -> None:
        """Poll as the poller does, with clients' steps before, between and after."""
        watched, seen = Watched(0, frozenset()), SourceSnapshot(())
        for number, step in enumerate(POLL):
            if around:
                await around(number)
            if step == "watch":
                await asyncio.sleep(0.005)
                watched = await self.broker.watch(TYPE, "placement", 1, 1.0) or watched
            elif step == "read":
                seen = await self.source.snapshot(watched.servers)
            else:
                sight = Sight(seen.sequence, seen.hosts, seen.consumers)
                assert await self.broker.apply(TYPE, "placement", 1, watched.begun, sight)
            if around:
                await self.check()
        if around:
            await around(len(POLL))

    async def go(self, gap: int) -> None:
        """Take the stories' steps of one gap, all first ones, then all second ones."""
        for turn in range(len(SETTLED)):
            moving = [story for story in self.stories if len(story.steps[gap]) > turn]
            for step in SETTLED:
                await self.take(step, [one for one in moving if one.steps[gap][turn] == step])
            await self.check()

    async def take(self, step: str, stories: list[Story]) -> None:
        if step in ("boot", "delete") and stories:
            body = {story.server: story.allocation(step) for story in stories}
            self.placement.call("POST", "/allocations", body)
        for story in stories:
            if step == "running":
                told, story.said = (story.server,) if story.known else (), True
                await self.broker.transition(TYPE, story.name, Status.RUNNING, servers=told)
            elif step == "done":
                await self.broker.transition(TYPE, story.name, Status.DONE)
                story.promised = False
            else:
                story.allocated = step == "boot"

    async def check(self, *, quiet: bool = False) -> None:
        """Never is more told free than is; and no less once all is quiet."""
        view = await self.broker.view(TYPE)
        for story in self.stories:
            told = view.hosts[self.hosts[story.provider]].free[amounts_name(story.resource)]
            assert told == story.quiet if quiet else told <= story.free, (story, told)


def amounts_name(resource: str) -> str:
    return next(iter(amounts_of({resource: 0})))


async def test_nothing_is_told_free_too_much_or_for_long_too_little(
    broker: Broker, placement: Placement, source: PlacementSource, real_client: Redis
) -> None:
    """At every interleaving of boot, status, delete and snapshot each slot is counted once."""
    world = World(broker, placement, source)
    await world.grant_all()
    await world.check(quiet=True)
    await world.poll(world.go)
    await world.poll()
    await world.check(quiet=True)
    await world.go(NEVER)
    await world.poll()
    await world.check(quiet=True)
    assert all(story.free == TOTAL for story in world.stories)
    found = await audit(real_client, TYPE)
    assert [one for one in found if one.severity is Severity.FAULT] == []
