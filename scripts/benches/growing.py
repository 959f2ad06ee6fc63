"""What verbs cost with a million jobs waiting, against what they cost with a thousand."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, aclosing
from statistics import median
from typing import TypeVar

import uvloop

from benches import kit
from benches.kit import Figure, Size
from rq_broker.admission.explain import Explainer
from rq_broker.admission.forecaster import COMPUTING
from rq_broker.admission.granter import Granter
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.api.submit import submission
from rq_broker.domain.capacity import Host
from rq_broker.domain.deliveries import Delivery
from rq_broker.domain.jobs import Status
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.connection import connect
from rq_broker.store.embedded import Server
from rq_broker.store.keys import Keys

_FEW = 1000
_FIRST = 10_000_000
"""Number of the first job that waits beforehand."""
_JOBS, _GRANTS, _BATCH, _PAGES, _EXPLAINED = 320, 160, 16, 16, 16
"""How often a verb is carried out in one turn, and the callbacks claimed or settled in one call."""
_IN_FLIGHT = 16
_MOST = 1.15
_CHANGED, _AT_END, _ANYWHERE = "of one that is there", "of a new one at the end", "of a new one"
_BARE_OF = {"submit at the end": _AT_END, "submit anywhere": _ANYWHERE}
"""Verb → what of a bare line its growth is held against; the others change what is there."""
_LOAD = """
for number = ARGV[1], ARGV[2] do
  redis.call('ZADD', KEYS[1], number, 'req-' .. number)
  redis.call('HSET', KEYS[1] .. number, unpack(ARGV, 3))
end
"""
_LOADED = 10_000
"""Jobs of the bare line that one script makes."""

_DELIVERED = Settlement("delivered", "http_200", 1, health="healthy")

Item = TypeVar("Item")
Costs = dict[str, float]
"""Verb → µs of CPU of one, in the client and in Redis."""


def growth(size: Size) -> list[Figure]:
    """Each verb's growth, as a ratio to that of bare ZADD and HSET on the same Redis."""
    deep, rounds = size.of(1_000_000, 100_000), size.of(15, 7)
    with kit.store() as few, kit.store() as many:
        for server, waiting in ((few, _FEW), (many, deep)):
            kit.fill(server, waiting, first=_FIRST)
        turns = uvloop.run(_measure((_Line(many, deep), _Line(few, _FEW)), rounds))
    figures = []
    for verb in turns[0][0]:
        costs = ([many[verb] for many, _ in turns], [few[verb] for _, few in turns])
        value = kit.against(*costs, "µs")
        grown = _growths(turns, verb)
        if verb in (_CHANGED, _AT_END, _ANYWHERE):
            name = f"growth: ZADD + HSET {verb}, {deep:,} jobs, {_FEW:,}"
            figures.append(kit.rated(name, value, grown))
            continue
        bare = _BARE_OF.get(verb, _CHANGED)
        name = f"growth: {verb}, {deep:,} waiting, {_FEW:,}, against ZADD + HSET {bare}"
        value = f"{value}, {median(grown):.2f}"
        divisor = median(_growths(turns, bare))
        figures.append(kit.rated(name, value, [each / divisor for each in grown], most=_MOST))
    return figures


def _growths(turns: Sequence[tuple[Costs, Costs]], verb: str) -> list[float]:
    return [many[verb] / few[verb] for many, few in turns]


async def _measure(lines: tuple[_Line, _Line], rounds: int) -> list[tuple[Costs, Costs]]:
    """Measure all verbs on both lines in turns."""
    many, few = lines
    async with AsyncExitStack() as stack:
        for line in lines:
            await stack.enter_async_context(aclosing(line))
            await line.prepare()
            await line.turn()  # a warm-up
        return [(await many.turn(), await few.turn()) for _ in range(rounds)]


class _Line:
    """A queue of a length that turns keep, beside a bare sorted set of as many hashes."""

    def __init__(self, server: Server, waiting: int) -> None:
        self._waiting = waiting
        self._numbers = itertools.count()
        self._fields: list[str] = []
        """Of a job's hash, as HSET takes them."""
        self._names = [_name(number) for number in range(_FIRST, _FIRST + waiting)]
        self._client = kit.plain(server)
        self._broker = broker = Broker(connect(server.url, timeout=60.0))
        self._explainer = Explainer(SnapshotReader(broker))
        self._granter = Granter(broker, kit.TYPE)

    async def aclose(self) -> None:
        self._client.close()
        await self._broker.aclose()

    async def prepare(self) -> None:
        """Make the bare line, and a host with room for the grants of one turn."""
        job = self._client.hgetall(Keys(kit.TYPE).of("job", self._names[0]))
        self._fields = [str(part) for pair in job.items() for part in pair]
        for first in range(1, self._waiting + 1, _LOADED):
            last = min(first + _LOADED - 1, self._waiting)
            self._client.eval(_LOAD, 1, "bare", first, last, *self._fields)
        await self._broker.set_policy(kit.TYPE, {"concurrency": 10_000})
        amounts = {"VCPU": _GRANTS, "Memory": 1024 * _GRANTS, "Disk": 10 * _GRANTS}
        host = Host("host1", amounts, aggregates=frozenset({"host1"}))
        await self._broker.set_host(kit.TYPE, host)

    async def turn(self) -> Costs:
        """Measure each verb once; as many jobs wait afterwards as before."""
        queued = await self._broker.line_ends(kit.TYPE)
        assert queued
        names = random.sample(self._names, _JOBS)
        before = dict(zip(names, random.sample(self._names, _JOBS), strict=True))
        added = [next(self._numbers) for _ in range(2 * _JOBS)]
        anywhere = {number: random.randint(queued.first, queued.last) for number in added[_JOBS:]}
        places = [random.randrange(self._waiting) for _ in range(_PAGES)]
        broker = self._broker
        await self._bare()  # the first after the other line takes several times as long
        costs = {
            **await self._bare(),
            "submit at the end": await self._cost(added[:_JOBS], self._submit),
            "submit anywhere": await self._cost(
                anywhere, lambda number: self._submit(number, anywhere[number])
            ),
            "reorder": await self._cost(
                names, lambda name: broker.reorder(kit.TYPE, name, "before", before[name])
            ),
            "read": await self._cost(names, lambda name: broker.read(kit.TYPE, name)),
            "page": await self._cost(
                places, lambda at: broker.page(kit.TYPE, status="queued", position=at)
            ),
        }
        granted, grants = await self._grant()
        costs |= grants
        waiting = {*self._names, *map(_name, added)} - granted
        await self._restore(granted, waiting)
        return costs

    async def _cost(
        self, items: Collection[Item], work: Callable[[Item], Awaitable[object]]
    ) -> float:
        """Carry a verb out on each item; returns the µs of one."""
        remaining = iter(items)
        used = time.process_time() + kit.redis_cpu(self._client)

        async def worker() -> None:
            for item in remaining:
                await work(item)

        await asyncio.gather(*(worker() for _ in range(_IN_FLIGHT)))
        return (time.process_time() + kit.redis_cpu(self._client) - used) * 1e6 / len(items)

    async def _bare(self) -> Costs:
        """Put jobs into the bare line, new ones and such that are there, and take the new ones."""
        last = self._waiting
        changed = random.sample(range(1, last + 1), _JOBS)
        at_end, anywhere = (range(last + 1 + n, last + 1 + n + _JOBS) for n in (0, _JOBS))

        async def put_anywhere(number: int) -> None:
            await self._put_bare(number, random.randint(1, last))

        costs = {
            _CHANGED: await self._cost(changed, put_anywhere),
            _AT_END: await self._cost(at_end, lambda number: self._put_bare(number, number)),
            _ANYWHERE: await self._cost(anywhere, put_anywhere),
        }
        self._client.zrem("bare", *(f"req-{number}" for number in (*at_end, *anywhere)))
        self._client.delete(*(f"bare{number}" for number in (*at_end, *anywhere)))
        return costs

    async def _put_bare(self, number: int, place: int) -> None:
        """Put a job at a place of the bare line, or move the one that has this number."""
        command = self._broker.runner.command
        await command("ZADD", "bare", place, f"req-{number}")
        await command("HSET", f"bare{number}", *self._fields)

    async def _submit(self, number: int, priority: int | None = None) -> None:
        await self._broker.submit(kit.TYPE, submission(kit.body(number, priority=priority)))

    async def _grant(self) -> tuple[set[str], Costs]:
        """Fill the host, call for its jobs, and explain some that wait; returns who got it."""
        batches: list[list[Delivery]] = []

        async def claim(_: int) -> None:
            batches.append((await self._broker.claim(kit.TYPE, 60.0, _BATCH))[1])

        async def settle(deliveries: list[Delivery]) -> None:
            await self._broker.settle(kit.TYPE, [(each, _DELIVERED) for each in deliveries])

        grant = await self._cost([0], lambda _: self._granter.run_once())
        claim_calls = range(2 * _GRANTS // _BATCH)  # some are in vain
        claimed = await self._cost(claim_calls, claim) * len(claim_calls)
        batches = [batch for batch in batches if batch]
        settled = await self._cost(batches, settle) * len(batches)
        granted = {delivery.job.request_id for batch in batches for delivery in batch}
        page = await self._broker.page(kit.TYPE, status="queued")
        names = [job.request_id for job in random.sample(page.jobs, _EXPLAINED)]
        while (await self._explainer.explain(kit.TYPE, names[0])).forecast == COMPUTING:
            await asyncio.sleep(0.05)  # no other is made for some time after it
        explain = await self._cost(names, lambda name: self._explainer.explain(kit.TYPE, name))
        count = len(granted)
        return granted, {
            "grant": grant / count,
            "claim": claimed / count,
            "settle": settled / count,
            "explain": explain,
        }

    async def _restore(self, granted: set[str], waiting: set[str]) -> None:
        """End what was granted, and withdraw what waits beyond the line's length."""
        for name in granted:
            await self._broker.transition(kit.TYPE, name, Status.DONE)
        for name in random.sample(sorted(waiting), len(waiting) - self._waiting):
            await self._broker.withdraw(kit.TYPE, name)
            waiting.remove(name)
        self._names = list(waiting)


def _name(number: int) -> str:
    return f"req-{number:08d}"
