"""Forecasts of waiting jobs: one of a type, shared by all who ask, bounded in time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from redis.asyncio import Redis

from rq_broker import planner
from rq_broker.admission import forecaster as module
from rq_broker.admission.forecaster import COMPUTING, Forecaster
from rq_broker.admission.snapshot import SnapshotReader
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job
from rq_broker.domain.line import Line
from rq_broker.planner.forecasting.forecasts import MOST_STRETCH
from rq_broker.store.broker import Broker
from rq_broker.store.keys import Keys
from tests.explaining import add_history, holding, queued
from tests.making import TYPE, publish


async def _line_of(broker: Broker, client: Redis, jobs: int) -> list[Job]:
    """One full host of 1 VCPU, enough history, and jobs that wait for it."""
    await publish(broker, VCPU=1)
    await holding(broker, "holder", 1)
    await add_history(client, *[100.0] * 20)
    return [await queued(broker, f"d{number}", 1) for number in range(jobs)]


def _lines_read(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """Return the list that lines are added to as they are read."""
    lines, read = list[Line](), broker.line

    async def recorded(type_: str) -> Line:
        line = await read(type_)
        lines.append(line)
        return line

    monkeypatch.setattr(broker, "line", recorded)
    return lines


def _five() -> Generator[None, None, int]:
    yield
    return 5


async def _until(is_met: Callable[[], bool]) -> None:
    while not is_met():
        await asyncio.sleep(0.001)


async def test_one_forecast_serves_all_who_ask(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients with many jobs cost one reading of the line; each job waits for its turn."""
    jobs = await _line_of(broker, client, 4)
    lines = _lines_read(broker, monkeypatch)
    forecaster = Forecaster(SnapshotReader(broker))
    answers = await asyncio.gather(*(forecaster.forecasts(TYPE, jobs) for _ in range(5)))
    again = await forecaster.forecasts(TYPE, jobs[2:])
    assert len(lines) == 1
    waits = [found.p50 for found in answers[0] if found and found.p50]
    assert waits == pytest.approx([100.0, 200.0, 300.0, 400.0], abs=5)
    assert [found and found.p50 for found in again] == pytest.approx(waits[2:], abs=5)


async def test_every_process_moves_p90_by_what_came_true_of_earlier_ones(
    broker: Broker, client: Redis
) -> None:
    """The record is the one in Redis, of all forecasts that were told: none keeps its own."""
    (job,) = await _line_of(broker, client, 1)
    await add_history(client, *map(float, range(10, 2000, 100)))
    spreads = list[float]()
    for missed in (0, 50):
        await client.hset(Keys(TYPE).base, mapping={"forecasts_missed": missed})
        (found,) = await Forecaster(SnapshotReader(broker)).forecasts(TYPE, [job])
        assert found is not None
        assert found.p50 is not None
        assert found.p90 is not None
        spreads.append(found.p90 - found.p50)
    assert spreads[0] > 0
    assert spreads[1] == pytest.approx(MOST_STRETCH * spreads[0], rel=0.05)


async def test_jobs_that_do_not_wait_have_no_forecast(broker: Broker, client: Redis) -> None:
    """In a list of all jobs those that wait have one."""
    (job,) = await _line_of(broker, client, 1)
    holder = await broker.read(TYPE, "holder")
    forecaster = Forecaster(SnapshotReader(broker))
    assert await forecaster.forecasts(TYPE, [holder]) == [None]
    of_holder, of_job = await forecaster.forecasts(TYPE, [holder, job])
    assert of_holder is None
    assert of_job is not None


async def test_a_job_newer_than_the_forecast_is_in_the_next(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a short line the forecast is made anew, and the newcomer waits for its own turn."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 30.0)
    await _line_of(broker, client, 2)
    lines = _lines_read(broker, monkeypatch)
    forecaster = Forecaster(SnapshotReader(broker))
    await forecaster.forecasts(TYPE, [await broker.read(TYPE, "d1")])
    (found,) = await forecaster.forecasts(TYPE, [await queued(broker, "new", 1)])
    assert [line.total for line in lines] == [2, 3]
    assert found is not None
    assert found.p50 == pytest.approx(300.0, abs=5)


async def test_whoever_asks_for_an_older_forecast_starts_the_next(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the older one, without waiting; a forecast past its age is waited for."""
    jobs = await _line_of(broker, client, 1)
    lines = _lines_read(broker, monkeypatch)
    monkeypatch.setattr(module, "PAUSE_FACTOR", 0.0)
    forecaster = Forecaster(SnapshotReader(broker))
    await forecaster.forecasts(TYPE, jobs)
    monkeypatch.setattr(module, "LEAST_AGE", 0.0)
    await forecaster.forecasts(TYPE, jobs)
    assert len(lines) == 1
    await _until(lambda: len(lines) == 2 and not forecaster._running)
    monkeypatch.setattr(module, "MAX_AGE", 0.0)
    assert await forecaster.forecasts(TYPE, jobs) == [COMPUTING]
    assert len(lines) == 3


async def test_an_answer_does_not_wait_long_for_its_forecast(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a process pauses between forecasts, a first question says that it is computed."""
    jobs = await _line_of(broker, client, 1)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    forecaster = Forecaster(SnapshotReader(broker))
    monkeypatch.setattr(module, "PAUSE_FACTOR", 1e6)
    assert await forecaster.run(TYPE, _five()) == 5
    assert await forecaster.forecasts(TYPE, jobs) == [COMPUTING]
    (pending,) = forecaster._pending.values()
    pending.cancel()


async def test_the_pause_counts_cpu_time(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited for a busy machine is not paused for: the next forecast is soon there."""
    jobs = await _line_of(broker, client, 1)
    monkeypatch.setattr(module, "WAIT_SECONDS", 20.0)
    monkeypatch.setattr(module, "PAUSE_FACTOR", 200.0)
    monkeypatch.setattr(module, "MAX_PAUSE", 1e6)

    def idle() -> Generator[None, None, None]:
        yield
        time.sleep(0.3)

    forecaster = Forecaster(SnapshotReader(broker))
    await forecaster.run(TYPE, idle())
    (found,) = await forecaster.forecasts(TYPE, jobs)
    assert found is not None
    assert found.p50 == pytest.approx(100.0, abs=5)


async def test_a_forecast_under_way_is_waited_for(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks first while one is made gets that one, once it is there, not the one after."""
    jobs = await _line_of(broker, client, 1)
    lines, may_end = _lines_read(broker, monkeypatch), threading.Event()

    def slow(*args: Any, **kwargs: Any) -> Any:
        yield
        may_end.wait()
        return (yield from planner.forecast_steps(*args, **kwargs))

    monkeypatch.setattr(module, "forecast_steps", slow)
    forecaster = Forecaster(SnapshotReader(broker))
    first = asyncio.create_task(forecaster.forecasts(TYPE, jobs))
    await _until(lambda: len(lines) == 1)
    second = asyncio.create_task(forecaster.forecasts(TYPE, jobs))
    await asyncio.sleep(0)
    may_end.set()
    assert [found and found.p50 for found in await second] == pytest.approx([100.0], abs=5)
    await first
    assert len(lines) == 1


async def test_only_the_first_to_ask_wait_for_a_long_forecast(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was waited for in vain, others are told at once that it is computed."""
    jobs = await _line_of(broker, client, 1)
    may_end = threading.Event()

    def endless(*args: Any, **kwargs: Any) -> Any:
        yield
        may_end.wait()
        return (yield from planner.forecast_steps(*args, **kwargs))

    monkeypatch.setattr(module, "forecast_steps", endless)
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.05)
    forecaster = Forecaster(SnapshotReader(broker))
    assert await forecaster.forecasts(TYPE, jobs) == [COMPUTING]
    waited = list[float]()
    wait = asyncio.wait

    async def recorded(tasks: Any, **limits: Any) -> Any:
        waited.append(limits["timeout"])
        return await wait(tasks, **limits)

    monkeypatch.setattr(asyncio, "wait", recorded)
    assert await forecaster.forecasts(TYPE, jobs) == [COMPUTING]
    assert waited == [0.0]
    may_end.set()
    await _until(lambda: not forecaster._running)


async def test_a_failure_reaches_those_who_wait_for_the_forecast(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Redis does not answer the question fails; the next one after that is answered."""
    jobs = await _line_of(broker, client, 1)
    read = broker.line

    async def unavailable(type_: str) -> Line:
        raise errors.Unavailable(f"Redis does not answer for {type_}")

    monkeypatch.setattr(broker, "line", unavailable)
    forecaster = Forecaster(SnapshotReader(broker))
    with pytest.raises(errors.Unavailable):
        await forecaster.forecasts(TYPE, jobs)
    monkeypatch.setattr(broker, "line", read)
    (found,) = await forecaster.forecasts(TYPE, jobs)
    assert found is not None
    assert found.p50 is not None


async def test_the_forecasts_of_the_latest_types_are_kept(
    broker: Broker, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond some memory the oldest forecast is dropped, and made anew when asked for."""
    jobs = await _line_of(broker, client, 1)
    monkeypatch.setattr(module, "REMEMBERED_BYTES", 2000)
    monkeypatch.setattr(module, "PAUSE_FACTOR", 0.0)
    lines = _lines_read(broker, monkeypatch)
    forecaster = Forecaster(SnapshotReader(broker))
    for type_ in (TYPE, "other", TYPE):
        await forecaster.forecasts(type_, jobs)
    assert len(forecaster._kept) == 1
    assert len(lines) == 3
