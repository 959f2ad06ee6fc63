"""Every order of a few steps over the real scripts: two workers, crashes, lost time, a restore.

A world is a fakeredis and what lives beside it: what each worker has planned or claimed, and what
receivers hold. The search takes every step that is possible in a world, in a copy of it, and goes
on from each world that it has not met before.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import fakeredis
import pytest
from fakeredis.model import ExpiringMembersSet, Hash, XStream, ZSet

from rq_broker.delivery.message import message_id
from rq_broker.domain import errors
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.domain.planning import Grant
from rq_broker.store import type_clock
from rq_broker.store.audit import Severity, audit
from rq_broker.store.broker import Broker, Settlement, TypeState
from tests.making import TYPE, planned_grant, publish, submission

JOBS = ("a", "b")
WORKERS = (0, 1)
HOST, CAPACITY = "h1", 1
LEASE = 15.0
TICK = 60.0
"""Seconds that pass in one step: every lease ends, no offer does."""
START = 1_700_000_000.0

Step = tuple[str, int]
"""A word, and the index of the worker or job that takes it."""
Keys = dict[bytes, Any]


@dataclass
class Worker:
    """What one worker has in memory; a crash empties it."""

    plan: tuple[Grant, TypeState] | None = None
    delivery: Delivery | None = None
    outcome: str = ""
    """How the callback that it sent ended; '' while it is not sent."""

    @property
    def key(self) -> object:
        """What tells it from a worker that would act differently."""
        grant = self.plan and (self.plan[0].head, self.plan[1].policy_number)
        claim = self.delivery and (self.delivery.job.id, self.delivery.attempt)
        return grant, claim, self.delivery and self.delivery.job.fence, self.outcome


@dataclass
class World:
    """Everything there is at one moment."""

    keys: Keys = field(default_factory=dict)
    workers: tuple[Worker, ...] = field(default_factory=lambda: tuple(Worker() for _ in WORKERS))
    holders: dict[str, str] = field(default_factory=dict)
    """Webhook-id → job: whose receiver uses the capacity of that grant."""
    grants: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Webhook-id → job and fence that it named when it was first received."""
    acknowledged: frozenset[str] = frozenset()
    ended: frozenset[str] = frozenset()
    """Jobs that their clients called done."""
    saved: Keys | None = None
    """The state that a restore would bring back."""
    restored: bool = False
    ticks: int = 0
    path: tuple[Step, ...] = ()

    @property
    def now(self) -> float:
        """The time of this world, seconds since 1970; it moves with ticks alone."""
        return START + self.ticks * TICK

    def key(self) -> object:
        """What tells it from every world that would go on differently."""
        return (
            _comparable(self.keys),
            tuple(sorted(repr(worker.key) for worker in self.workers)),  # workers are alike
            frozenset(self.holders.items()),
            self.acknowledged,
            self.ended,
            self.saved and _comparable(self.saved),
            self.restored,
            self.ticks,
        )


def _comparable(keys: Keys) -> frozenset[tuple[bytes, str]]:
    """Return keys and values without the streams, which only tell what happened."""
    return frozenset((name, _text(item.value)) for name, item in keys.items())


def _text(value: Any) -> str:
    if isinstance(value, Hash):
        return repr(sorted(value.getall().items()))
    if isinstance(value, ZSet):
        return repr(sorted(value.items()))
    if isinstance(value, ExpiringMembersSet):
        return repr(sorted(value))
    return "" if isinstance(value, XStream) else repr(value)


class Explorer:
    """Takes steps in worlds, and checks what must hold in each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = fakeredis.FakeServer()
        client = fakeredis.FakeAsyncRedis(
            server=self.server, decode_responses=True, encoding_errors="surrogateescape"
        )
        self.client = client
        self.broker = Broker(client)
        self.now = START
        monkeypatch.setattr(time, "time", lambda: self.now)
        monkeypatch.setattr(time, "time_ns", lambda: int(self.now * 1e9))
        monkeypatch.setattr(type_clock, "_own_clock", lambda: self.now)

    def load(self, world: World) -> World:
        """Make a copy of a world the present one; the broker remembers nothing of another one."""
        copied = copy.deepcopy(world)
        self.broker = Broker(self.client)
        database = self.server.dbs[0]
        database._dict.clear()
        database._dict.update(copied.keys)
        self.now = copied.now
        return copied

    def store(self, world: World) -> None:
        """Keep what Redis holds now in the world."""
        world.keys = dict(self.server.dbs[0]._dict)

    async def first(self) -> World:
        """Return a world with one host and no job."""
        world = self.load(World())
        await publish(self.broker, HOST, VCPU=CAPACITY)
        self.store(world)
        return world

    async def take(self, world: World, step: Step) -> World | None:
        """Return the world after a step; None where the step changes nothing by its nature."""
        after = self.load(world)
        word, index = step
        action: Callable[[World, int], Awaitable[bool]] = getattr(self, f"_{word}")
        try:
            taken = await action(after, index)
        except errors.Conflict:
            taken = False
        if not taken:
            return None
        self.store(after)
        after.path = (*world.path, step)
        return after

    async def _submit(self, world: World, job: int) -> bool:
        if job != len(world.acknowledged):
            return False
        await self.broker.submit(TYPE, submission(JOBS[job]))
        world.acknowledged |= {JOBS[job]}
        return True

    async def _plan(self, world: World, worker: int) -> bool:
        state = await self.broker.type_state(TYPE)
        page = await self.broker.page(TYPE, status=Status.QUEUED)
        if not page.jobs:
            return False
        world.workers[worker].plan = (planned_grant(page.jobs[0]), state)
        return True

    async def _commit(self, world: World, worker: int) -> bool:
        grant, state = world.workers[worker].plan or (None, None)
        if grant is None or state is None:
            return False
        world.workers[worker].plan = None
        await self.broker.grant(TYPE, grant, state)
        return True

    async def _claim(self, world: World, worker: int) -> bool:
        _, deliveries = await self.broker.claim(TYPE, LEASE, 1)
        if not deliveries:
            return False
        world.workers[worker].delivery, world.workers[worker].outcome = deliveries[0], ""
        return True

    async def _accept(self, world: World, worker: int) -> bool:
        """The receiver gets the callback and answers 2xx; whether the answer arrives is open."""
        delivery = world.workers[worker].delivery
        if delivery is None or world.workers[worker].outcome:
            return False
        name, job = message_id(delivery.job), delivery.job.request_id
        if name not in world.grants:
            world.holders[name] = job
        world.grants.setdefault(name, (job, delivery.job.fence or 0))
        assert world.grants[name] == (job, delivery.job.fence or 0), "a webhook-id came again"
        world.workers[worker].outcome = "delivered"
        return True

    async def _refuse(self, world: World, worker: int) -> bool:
        """The attempt fails before the receiver has it."""
        if world.workers[worker].delivery is None or world.workers[worker].outcome:
            return False
        world.workers[worker].outcome = "retry"
        return True

    async def _settle(self, world: World, worker: int) -> bool:
        this = world.workers[worker]
        if this.delivery is None or not this.outcome:
            return False
        settlement = Settlement(this.outcome, delay=1.0)
        await self.broker.settle(TYPE, [(this.delivery, settlement)])
        world.workers[worker].delivery, world.workers[worker].outcome = None, ""
        return True

    async def _crash(self, world: World, worker: int) -> bool:
        if world.workers[worker].key == Worker().key:
            return False
        world.workers = tuple(
            Worker() if number == worker else other for number, other in enumerate(world.workers)
        )
        return True

    async def _finish(self, world: World, job: int) -> bool:
        """The receiver stops to use the capacity, and then calls its job done."""
        names = [name for name, holder in world.holders.items() if holder == JOBS[job]]
        if not names:
            return False
        for name in names:
            del world.holders[name]
        try:
            await self.broker.transition(
                TYPE, JOBS[job], Status.DONE, fence=world.grants[names[-1]][1]
            )
        except errors.JobNotFound:
            assert world.restored
        world.ended |= {JOBS[job]}
        return True

    async def _sweep(self, world: World, _: int) -> bool:
        before = _comparable(world.keys)
        await self.broker.sweep(TYPE)
        return _comparable(dict(self.server.dbs[0]._dict)) != before

    async def _tick(self, world: World, _: int) -> bool:
        world.ticks += 1
        return True

    async def _save(self, world: World, _: int) -> bool:
        if world.saved is not None:
            return False
        world.saved = copy.deepcopy(world.keys)
        return True

    async def _restore(self, world: World, _: int) -> bool:
        """Redis comes back with what was saved; whatever came after is lost."""
        if world.saved is None or world.restored:
            return False
        self.server.dbs[0]._dict.clear()
        self.server.dbs[0]._dict.update(copy.deepcopy(world.saved))
        world.restored = True
        world.ticks += 1  # a restore takes time
        self.now = world.now
        return True

    async def check(self, world: World) -> None:
        """Assert what must hold in every world."""
        self.load(world)
        (host,) = await self.broker.hosts(TYPE)
        assert sum(host.held.values()) <= CAPACITY, (world.path, host)
        if not world.restored:
            assert len(world.holders) <= CAPACITY, (world.path, "oversold")
            page = await self.broker.page(TYPE)
            assert {job.request_id for job in page.jobs} == world.acknowledged, world.path

    async def audit(self, world: World) -> None:
        """Assert that the audit finds no fault."""
        self.load(world)
        findings = await audit(self.client, TYPE)
        faults = [finding for finding in findings if finding.severity is Severity.FAULT]
        assert not faults, (world.path, faults)

    async def settle_down(self, world: World) -> None:
        """Assert that one worker, left alone, brings every job to its end."""
        for worker in WORKERS:
            world = await self.take(world, ("crash", worker)) or world
        for _ in range(2 * len(JOBS) + 1):
            world = await self.take(world, ("tick", 0)) or world
            for word in ("sweep", "plan", "commit", "claim", "accept", "settle"):
                world = await self.take(world, (word, 0)) or world
            for number in range(len(JOBS)):
                world = await self.take(world, ("finish", number)) or world
        self.load(world)
        for job in world.acknowledged:
            try:
                status = (await self.broker.read(TYPE, job)).status
            except errors.JobNotFound:
                assert world.restored, world.path
            else:
                assert status in (Status.RUNNING, Status.DONE), (world.path, job, status)


def steps(*, faults: bool) -> Iterator[Step]:
    """Yield every step; with `faults`, saves and restores too."""
    for job in range(len(JOBS)):
        yield from (("submit", job), ("finish", job))
    for worker in WORKERS:
        for word in ("plan", "commit", "claim", "accept", "refuse", "settle", "crash"):
            yield word, worker
    yield from (("sweep", 0), ("tick", 0))
    if faults:
        yield from (("save", 0), ("restore", 0))


async def explore(
    explorer: Explorer, depth: int, *, faults: bool, ticks: int, sample: int
) -> tuple[int, int]:
    """Search all worlds within `depth` steps.

    Args:
        explorer: takes the steps.
        depth: how many steps there are at most.
        faults: whether Redis's state may go back once.
        ticks: how often time passes at most.
        sample: every so many worlds, the audit is run, and one worker alone has to end all jobs.

    Returns:
        How many worlds were met, and how many steps were taken.
    """
    worlds = [await explorer.first()]
    met = {worlds[0].key()}
    taken = 0
    for _ in range(depth):
        following = []
        for world in worlds:
            for step in steps(faults=faults):
                after = await explorer.take(world, step)
                taken += after is not None
                if after is None or after.ticks > ticks or after.key() in met:
                    continue
                met.add(after.key())
                await explorer.check(after)
                if len(met) % sample == 0:
                    await explorer.audit(after)
                    await explorer.settle_down(after)
                following.append(after)
        worlds = following
    return len(met), taken


async def wander(explorer: Explorer, walks: int, length: int, rng: Random) -> None:
    """Take random steps, deeper than a search of all worlds can go; each walk is checked whole."""
    for _ in range(walks):
        world = await explorer.first()
        for step in rng.choices(list(steps(faults=True)), k=length):
            after = await explorer.take(world, step)
            if after is not None:
                await explorer.check(after)
                world = after
        await explorer.audit(world)
        await explorer.settle_down(world)
