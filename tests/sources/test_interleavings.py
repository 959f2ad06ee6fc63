"""No slot is told to two clients: boot, status, deletion and snapshot in every order there is."""

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

from rq_broker.domain.jobs import Status
from rq_broker.sources import SourceSnapshot
from rq_broker.sources.placement import PlacementSource
from rq_broker.sources.providers import amounts_of
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker, SourceReport, WatchStarted
from tests.making import TYPE, proposal, shape, submit
from tests.sources.placement_server import Placement

POLL = ("watch", "read", "apply")
BEHIND, NEVER = 2 * len(POLL), 2 * len(POLL) + 1
"""The gap behind two polls, and the one behind a quiet poll more."""
ONE = (*range(len(POLL) + 1), NEVER)
"""The gaps around one poll's steps."""
TWO = range(NEVER + 1)
SAMPLE = 20
"""How many of the ways to spread one order over two polls are tried; over one, all are."""
TOTAL, PROMISED = 4, 2

Order = tuple[str, ...]
Gaps = tuple[Order, ...]

SILENT = ("boot", "running", "delete", "done")
DRAWN: tuple[Order, ...] = (
    SILENT,
    ("boot", "running", "done", "delete"),
    ("boot", "delete", "running", "done"),
    ("running", "boot", "delete", "done"),
    ("running", "boot", "done", "delete"),
)
"""What a client may do in which order: it boots before it says done, and deletes what it booted."""
MUTE: tuple[Order, ...] = (("boot", "delete", "done"), ("boot", "done", "delete"))
"""And one that ends its job without ever saying running."""


def heard(order: Order) -> Iterator[Order]:
    """Add the callback's 2xx, which makes the job running, wherever it may come first."""
    yield order
    for at in range(order.index("running") + 1):
        yield (*order[:at], "heard", *order[at:])


TELLING = (*(each for order in DRAWN for each in heard(order)), *MUTE)
"""The orders of clients that tell their server."""
UNTELLING = (*DRAWN[:3], *MUTE)
"""And of those that do not, who must have booted when they say running, or settle after."""


def gaps(order: Order, places: Iterable[int]) -> Iterator[Gaps]:
    """Put steps, in order, into these gaps in every way."""
    for chosen in combinations_with_replacement(places, len(order)):
        yield tuple(
            tuple(step for step, place in zip(order, chosen, strict=True) if place == gap)
            for gap in TWO
        )


def every(orders: Iterable[Order]) -> Iterator[Gaps]:
    """Around one poll every way of every order; around two a sample."""
    rng = Random(0)
    for order in orders:
        yield from gaps(order, ONE)
        yield from rng.sample(list(gaps(order, TWO)), SAMPLE)


@dataclass
class Story:
    """One client whose job was granted, and when it does what."""

    number: int
    steps: Gaps
    tells: bool
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
        """What may be told to others: neither what is promised nor what is allocated.

        Who tells no server is promised nothing but what is allocated, once settled.
        """
        promised = self.promised and (self.tells or not self.said)
        return TOTAL - (PROMISED if promised or self.allocated else 0)

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

    def __init__(
        self, broker: Broker, placement: Placement, source: PlacementSource, *, tells: bool
    ) -> None:
        self.broker = broker
        self.placement = placement
        self.source = source
        self.tells = tells
        classes = placement.call("GET", "/resource_classes")["resource_classes"]
        names = [one["name"] for one in classes if not one["name"].startswith("CUSTOM_")]
        self.hosts: dict[str, str] = {}
        self.stories: list[Story] = []
        for number, steps in enumerate(every(TELLING if tells else UNTELLING)):
            if not number % len(names):
                host = f"cn{number}"
                provider = placement.add(host, **dict.fromkeys(names, TOTAL))
                self.hosts[provider] = host
            resource = names[number % len(names)]
            self.stories.append(Story(number, steps, tells, provider, resource))

    async def grant_all(self) -> None:
        """Have every story's job granted, on its own host and resource."""
        settle = 3600 if self.tells else 0
        await self.broker.set_policy(TYPE, {"holds": "until_seen", "settle": settle})
        await self.poll()
        view = await self.broker.view(TYPE)

        async def granted(story: Story) -> int | None:
            wanted = shape({amounts_name(story.resource): PROMISED})
            job = await submit(self.broker, story.name, shape=wanted)
            planned = proposal(job, wanted, self.hosts[story.provider])
            return await self.broker.grant(TYPE, planned, view)

        assert all(await asyncio.gather(*map(granted, self.stories)))

    async def poll(self, before: Callable[[int], Awaitable[None]] | None = None) -> None:
        """Poll as the poller does, with clients' steps before each of its own."""
        watched, seen = WatchStarted(0, frozenset()), SourceSnapshot(())
        for number, step in enumerate(POLL):
            if before:
                await before(number)
            if step == "watch":
                await asyncio.sleep(0.005)
                watched = await self.broker.watch(TYPE, "placement", 1, 1.0) or watched
            elif step == "read":
                seen = await self.source.snapshot(watched.servers)
            else:
                sight = SourceReport(seen.sequence, seen.hosts, seen.consumers, True)
                assert await self.broker.apply(TYPE, "placement", 1, watched.begun, sight)

    async def go(self, gap: int) -> None:
        """Take the stories' steps of one gap, all first ones, then all second ones."""
        for turn in range(max(len(story.steps[gap]) for story in self.stories)):
            moving: dict[str, list[Story]] = {}
            for story in self.stories:
                if len(story.steps[gap]) > turn:
                    moving.setdefault(story.steps[gap][turn], []).append(story)
            for step, stories in moving.items():
                await self.take(step, stories)
            await self.check()

    async def take(self, step: str, stories: list[Story]) -> None:
        if step in ("boot", "delete"):
            body = {story.server: story.allocation(step) for story in stories}
            self.placement.call("POST", "/allocations", body)
        else:
            await asyncio.gather(*(self.say(step, story) for story in stories))
        for story in stories:
            story.allocated = step == "boot" or (story.allocated and step != "delete")
            story.said = story.said or step == "running"
            story.promised = story.promised and step != "done"

    async def say(self, step: str, story: Story) -> None:
        told = (story.server,) if self.tells and step == "running" else ()
        status = Status.DONE if step == "done" else Status.RUNNING
        await self.broker.transition(TYPE, story.name, status, servers=told)

    async def check(self, *, quiet: bool = False) -> None:
        """Never is more told free than is; and no less once all is quiet."""
        view = await self.broker.view(TYPE)
        free = {name: host.free for name, host in view.hosts.items()}
        for story in self.stories:
            told = free[self.hosts[story.provider]][amounts_name(story.resource)]
            assert told == story.quiet if quiet else told <= story.free, (story, told)


def amounts_name(resource: str) -> str:
    return next(iter(amounts_of({resource: 0})))


@pytest.fixture
def proxy(placement: Placement) -> Placement:
    """Nothing between: this source asks thousands of times."""
    return placement


@pytest.mark.parametrize("tells", [True, False], ids=["tells its server", "tells none"])
async def test_nothing_is_told_free_too_much_or_for_long_too_little(
    real_client: Redis, placement: Placement, source: PlacementSource, tells: bool
) -> None:
    """At every interleaving of boot, 2xx, status, delete and snapshot each slot is counted once."""
    world = World(Broker(real_client), placement, source, tells=tells)
    await world.grant_all()
    await world.check(quiet=True)
    await world.poll(world.go)
    await world.poll(lambda number: world.go(len(POLL) + number))
    for gap in (BEHIND, NEVER):
        await world.go(gap)
        await world.poll()
        await world.check(quiet=True)
    assert all(story.free == TOTAL for story in world.stories)
    found = await audit(real_client, TYPE)
    assert [one for one in found if one.severity is Severity.FAULT] == []
