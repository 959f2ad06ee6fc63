"""reports.py: events of a type are counted once, in hours and days, whoever counts and dies."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from itertools import groupby
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker.domain.jobs import Status
from rq_broker.domain.report_sums import Sums
from rq_broker.domain.reports import ALL, LINE, Tally, owner_group, size_group, step_at
from rq_broker.store import reports as reports_module
from rq_broker.store.audit import audit
from rq_broker.store.broker import Broker, Settlement
from rq_broker.store.keys import Keys
from rq_broker.store.reports import level_of, sums_of
from rq_broker.worker import reporter as reporter_module
from rq_broker.worker.reporter import COUNT_SECONDS, LEAST_SECONDS, Reporter
from tests.making import (
    TYPE,
    array_submission,
    claim_one,
    grant,
    publish,
    settle,
    shape,
    submit,
)

KEYS = Keys(TYPE)


async def count(broker: Broker) -> None:
    """Count all events there are."""
    reporter = Reporter(broker, TYPE)
    while await reporter.run_once() == LEAST_SECONDS:
        pass


async def fields_of(broker: Broker, kind: Any = "day") -> dict[str, str]:
    """Return the groups of the current step, as stored."""
    head = await broker.report_state(TYPE)
    (fields,) = await broker.report_steps(TYPE, [step_at(kind, head.now)])
    return fields


async def counted(broker: Broker, group: str = ALL) -> Sums:
    """Return the sums of a group today, without times: those differ from run to run."""
    text = (await fields_of(broker)).get(group)
    sums = sums_of(text) if text else Sums()
    sums.waited = 0.0
    sums.held = {}
    return sums


async def live(
    broker: Broker, name: str, end: Status = Status.DONE, size: int = -3, **fields: Any
) -> None:
    """Let a job wait, hold, and end."""
    job = await submit(broker, name, **fields)
    await grant(broker, job, fields.get("shape"), size=size)
    await broker.transition(TYPE, name, end)


async def test_what_happens_to_jobs_is_summed(broker: Broker, client: Redis) -> None:
    """Submits, grants, ends, waits and what grants had are told in all, by owner and by size."""
    await publish(broker, VCPU=8)
    big = shape({"VCPU": 8}, owner="big")
    await live(broker, "a")
    await live(broker, "b", Status.ERROR)
    await live(broker, "c", size=9, owner_id="big", shape=big)
    await submit(broker, "d")
    await broker.withdraw(TYPE, "d")
    await broker.submit_array(TYPE, array_submission(3))
    await count(broker)
    assert await counted(broker) == Sums(
        submitted=7, granted=3, done=2, failed=1, withdrawn=1, waits={1: 3}
    )
    assert await counted(broker, owner_group("big")) == Sums(
        submitted=1, granted=1, done=1, waits={1: 1}
    )
    assert await counted(broker, size_group(4)) == Sums(granted=1, done=1, waits={1: 1})
    assert await counted(broker, size_group(-3)) == Sums(granted=2, done=1, failed=1, waits={1: 2})
    assert await audit(client, TYPE) == []


async def test_what_a_grant_had_is_told_at_its_end(broker: Broker, client: Redis) -> None:
    """The event of the end has how long it held, and all amounts, whatever a source has seen."""
    await publish(broker, VCPU=8, Memory=64)
    wanted = shape({"VCPU": 2, "Memory": 8}, {"VCPU": 2, "Memory": 8})
    await grant(broker, await submit(broker, "a", shape=wanted), wanted)
    await client.hincrby(KEYS.of("job", "a"), "granted", -100_000)
    await broker.transition(TYPE, "a", Status.DONE)
    await count(broker)
    held = sums_of((await fields_of(broker))[owner_group("o")]).held
    assert held.keys() <= {"VCPU", "Memory"}
    head = await broker.report_state(TYPE)
    steps = [step_at("day", head.now), step_at("day", head.now - 86400)]
    texts = [step.get(ALL) for step in await broker.report_steps(TYPE, steps)]
    in_all = [sums_of(text).held for text in texts if text]
    assert 400 <= sum(part.get("VCPU", 0) for part in in_all) < 500
    assert 1600 <= sum(part.get("Memory", 0) for part in in_all) < 2000


async def test_an_offer_that_ends_counts_as_returned(broker: Broker) -> None:
    """A grant that is given back is no end of the job."""
    await publish(broker, VCPU=8)
    await grant(broker, await submit(broker, "a"))
    delivery = await claim_one(broker)
    await broker.transition(TYPE, "a", Status.QUEUED)
    await settle(broker, delivery, Settlement("delivered"))
    await count(broker)
    assert await counted(broker) == Sums(submitted=1, granted=1, returned=1, waits={1: 1})


async def test_the_more_events_come_the_sooner_they_are_counted(broker: Broker) -> None:
    """After few events the next run is in a second; where a read has not all, at once nearly."""
    assert await Reporter(broker, TYPE).run_once() is None
    await submit(broker, "one")
    wait = await Reporter(broker, TYPE).run_once()
    assert wait is not None
    assert 0.9 * COUNT_SECONDS < wait < COUNT_SECONDS
    await asyncio.gather(
        *(submit(broker, f"r{number}") for number in range(reports_module.BATCH + 1))
    )
    waits = [await Reporter(broker, TYPE).run_once() for _ in range(2)]
    assert waits == [LEAST_SECONDS, pytest.approx(COUNT_SECONDS, rel=0.01)]


async def test_a_slice_at_a_time_is_counted_while_others_go_on(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is due in the process comes between any two slices, read and counted alike."""
    monkeypatch.setattr(reports_module, "SLICE", 2)
    turns: list[str] = []

    def noted(module: Any, name: str) -> None:
        before = getattr(module, name)

        def noting(*arguments: Any) -> Any:
            turns.append(name)
            return before(*arguments)

        monkeypatch.setattr(module, name, noting)

    async def others() -> None:
        while True:
            turns.append("others")
            await asyncio.sleep(0)

    noted(reports_module, "_happening")
    noted(Tally, "add")
    for number in range(8):
        await submit(broker, f"job{number}")
    task = asyncio.create_task(others())
    await count(broker)
    task.cancel()
    runs = [len(list(run)) for name, run in groupby(turns) if name != "others"]
    assert sum(runs) == 16
    assert max(runs) == 2


async def test_several_that_count_at_once_count_each_event_once(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notifiers that race add up to what one alone counts, with jobs going on meanwhile."""
    monkeypatch.setattr(reports_module, "BATCH", 7)
    monkeypatch.setattr(Reporter, "_new_events", _few_events)
    await publish(broker, VCPU=1000)
    is_over = False

    async def count_on() -> None:
        reporter = Reporter(broker, TYPE)
        while not is_over:
            await reporter.run_once()

    racing = [asyncio.create_task(count_on()) for _ in range(4)]
    for number in range(40):
        await live(broker, f"r{number}")
    is_over = True
    await asyncio.gather(*racing)
    await count(broker)
    assert await counted(broker) == Sums(submitted=40, granted=40, done=40, waits={1: 40})


async def _few_events(self: Reporter, head: Any) -> Any:
    return await self._broker.report_events(TYPE, head.state.cursor, 7)


async def test_one_that_dies_anywhere_loses_and_doubles_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that is cut off at any call to Redis leaves all of a run, or nothing."""
    await publish(broker, VCPU=1000)
    run, rng = broker.runner.command, random.Random(1)

    async def cut_off(*command: Any) -> Any:
        if rng.random() < 0.2:
            raise asyncio.CancelledError
        return await run(*command)

    evaluate = broker.runner.evaluate

    async def cut_off_after(script: Any, *args: Any) -> Any:
        reply = await evaluate(script, *args)
        if script.name == "roll_up" and rng.random() < 0.3:
            raise asyncio.CancelledError
        return reply

    for number in range(20):
        await live(broker, f"d{number}")
        with monkeypatch.context() as patched:
            patched.setattr(broker.runner, "command", cut_off)
            patched.setattr(broker.runner, "evaluate", cut_off_after)
            for _ in range(2):
                with suppress(asyncio.CancelledError):
                    await Reporter(broker, TYPE).run_once()
    await count(broker)
    assert await counted(broker) == Sums(submitted=20, granted=20, done=20, waits={1: 20})


async def test_events_that_are_gone_are_told_as_a_gap(broker: Broker, client: Redis) -> None:
    """Where the stream was trimmed before it was counted, the report says for how long."""
    await publish(broker, VCPU=8)
    await live(broker, "a")
    await count(broker)
    await live(broker, "b")
    await client.xtrim(KEYS.of("events"), maxlen=1, approximate=False)
    await count(broker)
    assert await counted(broker) == Sums(submitted=1, granted=1, done=2, waits={1: 1})
    assert level_of(await fields_of(broker)).uncounted > 0


async def test_counting_goes_on_after_a_loss(broker: Broker, client: Redis) -> None:
    """After FLUSHALL, a stream that is gone, or a damaged state, later events are counted once."""
    await publish(broker, VCPU=8)
    await live(broker, "a")
    await count(broker)
    await client.delete(KEYS.of("events"))
    await live(broker, "b")
    await count(broker)
    assert await counted(broker) == Sums(submitted=2, granted=2, done=2, waits={1: 2})
    await client.set(KEYS.of("report"), "{")
    await count(broker)
    assert await counted(broker) == Sums(submitted=2, granted=2, done=2, waits={1: 2})
    await live(broker, "c")
    await count(broker)
    assert (await counted(broker)).submitted == 3
    await client.flushall()
    await publish(broker, VCPU=8)
    await live(broker, "a")
    await count(broker)
    assert await counted(broker) == Sums(submitted=1, granted=1, done=1, waits={1: 1})


async def test_an_older_state_is_counted_from_where_it_stands(
    broker: Broker, real_client: Redis
) -> None:
    """What was counted is restored with the events: none is missing, and none counts twice."""
    broker = Broker(real_client)
    await publish(broker, VCPU=8)
    await live(broker, "a")
    await count(broker)
    await live(broker, "b")
    keys = await real_client.keys()
    saved = {key: await real_client.execute_command("DUMP", key, NEVER_DECODE=[]) for key in keys}
    await count(broker)
    await live(broker, "c")
    await real_client.flushall()
    for key, value in saved.items():
        await real_client.restore(key, 0, value)
    await count(broker)
    assert await counted(broker) == Sums(submitted=2, granted=2, done=2, waits={1: 2})


async def test_what_stands_is_looked_at_once_a_minute(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Capacity, and what holds and waits, is multiplied by the time it stood, up to a minute."""
    await publish(broker, VCPU=8)
    await grant(broker, await submit(broker, "a"))
    await submit(broker, "b", shape=shape({"VCPU": 100}))
    await count(broker)
    sample = (await broker.report_state(TYPE)).state.sample
    assert sample is not None
    assert (sample.capacity, sample.held, sample.waiting) == (
        {"VCPU": 8},
        {"VCPU": 1},
        {"VCPU": 100},
    )
    assert LINE not in await fields_of(broker)
    monkeypatch.setattr(reporter_module, "SAMPLE_SECONDS", 0.0)
    await asyncio.sleep(0.01)
    await Reporter(broker, TYPE).run_once()
    level = level_of(await fields_of(broker, "hour"))
    assert level.seconds > 0
    assert level.capacity["VCPU"] == pytest.approx(8 * level.seconds)
    assert level.waiting["VCPU"] == pytest.approx(100 * level.seconds)


async def test_an_idle_type_costs_one_command_and_writes_nothing(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing waits, holds or happens, no step is written, however long that lasts."""
    await publish(broker, VCPU=8)
    await live(broker, "a")
    await count(broker)
    monkeypatch.setattr(reporter_module, "SAMPLE_SECONDS", 0.0)
    await count(broker)
    before = await client.get(KEYS.of("report"))
    calls: list[str] = []
    evaluate = broker.runner.evaluate

    async def noted(script: Any, *args: Any) -> Any:
        calls.append(script.name)
        return await evaluate(script, *args)

    monkeypatch.setattr(broker.runner, "evaluate", noted)
    assert await Reporter(broker, TYPE).run_once() is None
    assert calls == ["report_state"]
    assert await client.get(KEYS.of("report")) == before


async def test_old_steps_are_deleted_and_with_the_type_all(broker: Broker, client: Redis) -> None:
    """A step goes when its time is over; nothing of a report outlives its type."""
    await publish(broker, VCPU=8)
    await live(broker, "a")
    for step in ("hour:3600", "day:0"):
        await client.hset(KEYS.of("report", step), "all", "{}")
        await client.zadd(KEYS.of("reports"), {step: 1})
    await count(broker)
    assert not await client.exists(KEYS.of("report", "hour:3600"), KEYS.of("report", "day:0"))
    assert await client.zcard(KEYS.of("reports")) == len(await client.keys("*:report:*")) >= 2
    await broker.withdraw(TYPE, "a")
    await broker.drop_host(TYPE, "h1")
    await broker.drop_type(TYPE)
    assert await client.keys("*report*") == []
