"""A policy's new offer, running time and retention apply to the jobs that are there already."""

from __future__ import annotations

import random

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys, member
from tests.making import TYPE, bring, claim_one, settle
from tests.store.lua.altering import altered

SPANS = {
    Status.GRANTED: "offer",
    Status.RUNNING: "running",
    Status.DONE: "retention",
    Status.ERROR: "retention",
}
HOURS = [None, 3600.0, 7200.0, 36_000.0]
"""Spans in which no job of a test ends."""


async def sweep_until_counted(broker: Broker) -> int:
    """Sweep until no deadline is left to count anew; return how many jobs were moved."""
    moved = 0
    while True:
        wait, swept = await broker.sweep(TYPE)
        moved += swept
        if wait != 0:
            return moved


@pytest.mark.parametrize(("status", "span"), list(SPANS.items()), ids=str)
async def test_a_shorter_span_ends_jobs_and_none_keeps_them(
    broker: Broker, client: Redis, status: Status, span: str
) -> None:
    """A span that is over by now ends the job with the next sweep; null takes its deadline away."""
    job = await bring(broker, status)
    deadlines, name = Keys(TYPE).of("deadlines"), member(job.id, "d")
    await broker.set_policy(TYPE, {span: 3600.0})
    await broker.sweep(TYPE)
    first = await client.zscore(deadlines, name)
    await broker.set_policy(TYPE, {span: 7200.0})
    await broker.sweep(TYPE)
    assert await client.zscore(deadlines, name) == (first or 0) + 3_600_000
    await broker.set_policy(TYPE, {span: None})
    await broker.sweep(TYPE)
    assert await client.zscore(deadlines, name) is None
    assert (await broker.read(TYPE, "d")).status is status
    await broker.set_policy(TYPE, {span: 0})
    assert (await broker.sweep(TYPE))[1] == 1
    assert await audit(client, TYPE) == []


async def test_an_offer_does_not_end_while_its_callback_is_in_flight(broker: Broker) -> None:
    """Shortened during an attempt, the offer ends with it: a success counts, a failure is last."""
    for name in ("d", "e"):
        await bring(broker, Status.GRANTED, name)
        delivery = await claim_one(broker, 60.0)
        await broker.set_policy(TYPE, {"offer": 0})
        assert (await broker.sweep(TYPE))[1] == 0
        outcome = Settlement("delivered") if name == "d" else Settlement("retry", "http_503", 1, 1)
        status = await settle(broker, delivery, outcome)
        assert status == ("running" if name == "d" else "error")
        await broker.set_policy(TYPE, {"offer": 300})


async def test_a_longer_offer_is_tried_for_longer(broker: Broker) -> None:
    """A retry beyond the old end of the offer, and before the new one, is made."""
    await broker.set_policy(TYPE, {"offer": 30})
    await bring(broker, Status.GRANTED)
    delivery = await claim_one(broker)
    await broker.set_policy(TYPE, {"offer": 300})
    await broker.sweep(TYPE)
    assert await settle(broker, delivery, Settlement("retry", "http_503", 1, 60)) == "granted"


async def test_a_policy_that_stays_counts_nothing(broker: Broker, client: Redis) -> None:
    """A PUT of the values that are there already, the defaults too, sets no sweep to work."""
    year, week = 366 * 86400.0, 7 * 86400.0
    await broker.set_policy(TYPE, {"offer": 300.0, "running": year, "retention": week})
    assert not [name for name in await client.hkeys(Keys(TYPE).base) if "recount" in name]


class Line:
    """Jobs in every status, and since when each has it, ms: a model of deadlines."""

    def __init__(self, broker: Broker, client: Redis) -> None:
        self.broker = broker
        self.client = client
        self.jobs: dict[str, tuple[int, Status]] = {}
        self.since: dict[str, tuple[int, int]] = {}
        """Between which two times the job came into its status, or renewed it."""
        self.spans: dict[str, float | None] = {
            "offer": 300.0,
            "running": 366 * 86400.0,
            "retention": 7e5,
        }

    async def now(self) -> int:
        seconds, microseconds = await self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def become(self, name: str, status: Status) -> None:
        before = await self.now()
        if name in self.jobs:
            await self.broker.transition(TYPE, name, status)
            self.jobs[name] = (self.jobs[name][0], status)
        else:
            self.jobs[name] = ((await bring(self.broker, status, name)).id, status)
        self.since[name] = (before, await self.now())

    async def change(self, **spans: float | None) -> None:
        self.spans |= spans
        await self.broker.set_policy(TYPE, dict(spans))

    async def check(self) -> None:
        """Compare every deadline; a time that is known once stays the same."""
        for name, (id_, status) in self.jobs.items():
            found = await self.client.zscore(Keys(TYPE).of("deadlines"), member(id_, name))
            span = self.spans[SPANS[status]]
            assert (found is None) == (span is None), name
            if found is not None and span is not None:
                since = int(found - span * 1000)
                assert self.since[name][0] <= since <= self.since[name][1], (name, status)
                self.since[name] = (since, since)


@pytest.mark.parametrize("seed", range(4))
async def test_every_deadline_is_exact_after_any_changes(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Policy changes, reorders, renewals and moves between sweeps of two jobs each lose none."""
    altered(monkeypatch, "sweep", "RECOUNT_LIMIT = 200", "RECOUNT_LIMIT = 2")
    choose = random.Random(seed)
    line = Line(broker, client)
    await line.change(**line.spans)
    for number in range(12):
        await line.become(f"r{number}", choose.choice(list(SPANS)))
    for _ in range(60):
        name = choose.choice(list(line.jobs))
        match choose.randrange(6):
            case 0:
                await line.change(**{choose.choice(list(line.spans)): choose.choice(HOURS)})
            case 1 | 2:
                await broker.reorder(TYPE, name, "priority", str(choose.randrange(6)))
            case 3 if line.jobs[name][1] is Status.RUNNING:
                await line.become(name, Status.RUNNING)
            case 4 if line.jobs[name][1] is Status.RUNNING:
                await line.become(name, choose.choice([Status.DONE, Status.ERROR]))
            case _:
                await broker.sweep(TYPE)
        if choose.random() < 0.1:
            await sweep_until_counted(broker)
            await line.check()
    await sweep_until_counted(broker)
    await line.check()
    assert await audit(client, TYPE) == []


async def test_jobs_of_an_earlier_version_are_counted_from_their_last_change(
    broker: Broker, client: Redis
) -> None:
    """Without the fields of this one, a running job's time begins when it was last updated."""
    job = await bring(broker, Status.RUNNING)
    await client.hdel(Keys(TYPE).of("job", "d"), "renewed", "running_since")
    await broker.set_policy(TYPE, {"running": 60.0})
    await broker.sweep(TYPE)
    deadline = await client.zscore(Keys(TYPE).of("deadlines"), member(job.id, "d"))
    assert deadline == job.updated // 1000 + 60_000
