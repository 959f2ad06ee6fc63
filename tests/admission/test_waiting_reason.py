"""The reason that a read of a waiting job gives; and how many readers share one plan."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from redis.asyncio import Redis

from rq_broker.admission import snapshot as snapshots, waiting_reason
from rq_broker.admission.snapshot import SnapshotReader, WindowedSnapshot
from rq_broker.admission.waiting_reason import ReasonReader
from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.terms import Terms
from rq_broker.planner import plan_steps
from rq_broker.store.broker import Broker
from tests.explaining import add_history, explanation_of, holding, queued, reason_of
from tests.making import TYPE, bring, publish, submit
from tests.planner.oracle import known


@pytest.fixture
async def broker(broker: Broker) -> Broker:
    """A broker whose types a notifier serves."""
    await broker.report_notifier("n")
    return broker


async def _reason(broker: Broker, request_id: str) -> str:
    return await reason_of(broker, await broker.read(TYPE, request_id)) or ""


# What a reason says


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.QUEUED])
async def test_jobs_that_do_not_wait_have_no_reason(broker: Broker, status: Status) -> None:
    """Only a queued job waits for something."""
    assert await reason_of(broker, await bring(broker, status)) is None


async def test_a_reason_names_what_is_missing_and_where(broker: Broker) -> None:
    """It names the resource, the amount, the aggregate, and the host that comes closest."""
    await publish(broker, "h1", VCPU=8)
    await queued(broker, "first", 6)
    assert await _reason(broker, "first") == "it fits, and is about to be granted"
    await publish(broker, "h2", VCPU=4)
    await queued(broker, "big", 7, aggregate="a")
    text = await _reason(broker, "big")
    assert text == "needs VCPU 7 on one host of aggregate a; the most free is 4 on h2"


async def test_a_reason_says_that_no_host_could_ever_hold_the_job(broker: Broker) -> None:
    """A demand beyond each host's capacity, or for an aggregate without hosts, is named so."""
    await publish(broker, VCPU=8)
    await queued(broker, "huge", 9)
    assert "could ever hold this" in await _reason(broker, "huge")
    await queued(broker, "lost", 1, aggregate="nowhere")
    assert await _reason(broker, "lost") == "there is no known host of aggregate nowhere"


async def test_a_reason_says_that_grants_are_paused(broker: Broker) -> None:
    """While an operator pauses a type, this is the reason of each of its jobs."""
    await publish(broker)
    await queued(broker, "d", 1)
    await broker.set_policy(TYPE, {"paused": True})
    assert "paused" in await _reason(broker, "d")


async def test_a_reason_names_the_owners_limit(broker: Broker) -> None:
    """A job that would take its owner over a limit has that limit as its reason."""
    await publish(broker)
    await broker.set_policy(TYPE, {"limits": {"lab": {"VCPU": 2}}})
    await queued(broker, "d", 3, owner="lab")
    assert "its owner lab may hold 2" in await _reason(broker, "d")


async def test_jobs_of_one_shape_have_one_reason(broker: Broker) -> None:
    """They wait for the same thing, wherever they stand in the queue."""
    await publish(broker, VCPU=1)
    for request_id in "abc":
        await queued(broker, request_id, 2)
    assert len({await _reason(broker, request_id) for request_id in "abc"}) == 1


async def test_a_job_beyond_the_window_has_its_own_reason(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job whose shape lies beyond the window is not said to wait behind others of its shape."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 3)
    await publish(broker, VCPU=1)
    for number in range(9):
        await queued(broker, f"d{number}", number + 2)
    assert "same shape" not in await _reason(broker, "d8")


async def test_a_reason_names_the_share_and_the_forecast_agrees(
    broker: Broker, client: Redis
) -> None:
    """A job of an owner that used more is told which later job goes first, and starts after it."""
    await publish(broker, VCPU=4)
    await add_history(client, *[100.0] * 10)
    await broker.set_policy(TYPE, {"share": {"by": "owner", "half_life": 1e6}})
    await holding(broker, "r", 4, owner="heavy")
    await queued(broker, "first", 4, owner="heavy")
    await queued(broker, "later", 4, owner="light")
    text = await _reason(broker, "first")
    assert "; later came later but goes first, as its owner light used less for its" in text
    assert "later came" not in await _reason(broker, "later")
    etas = [(await explanation_of(broker, name))["eta"]["p50"] for name in ("first", "later")]
    assert etas[0] > etas[1] > 0


# Readers that share a plan


class PausedReader(SnapshotReader):
    """A reader that counts the snapshots it reads, and returns none before it may."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.count = 0
        self.has_read, self.may_return = asyncio.Event(), asyncio.Event()

    async def read(self, type_: str, **options: Any) -> WindowedSnapshot:
        self.count += 1
        window = await super().read(type_, **options)
        self.has_read.set()
        await self.may_return.wait()
        return window


@pytest.fixture
def paused(broker: Broker) -> PausedReader:
    return PausedReader(broker)


@pytest.fixture
async def job(broker: Broker) -> Job:
    """Have a job wait for 2 VCPU where there is 1."""
    await publish(broker, VCPU=1)
    return await queued(broker, "d", 2)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a process plan again at once."""
    monkeypatch.setattr(waiting_reason, "PAUSE_FACTOR", 0.0)


@pytest.mark.usefixtures("no_pause")
async def test_readers_that_ask_at_once_share_a_plan(
    broker: Broker, paused: PausedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty readers, and twelve later ones, cost two plans; each gets the reason of its own job."""
    monkeypatch.setattr(snapshots, "FRONT_SHAPES", 2)
    monkeypatch.setattr(snapshots, "WINDOW_SHAPES", 2)
    await publish(broker, VCPU=1)
    jobs = [await queued(broker, f"d{number}", number + 2) for number in range(12)]
    reader = ReasonReader(paused)
    reads = [asyncio.create_task(reader.reason(TYPE, job)) for job in jobs * 5]
    await paused.has_read.wait()
    for job in jobs:
        reads.append(asyncio.create_task(reader.reason(TYPE, job)))
        await asyncio.sleep(0.001)
    paused.may_return.set()
    reasons = await asyncio.gather(*reads)
    assert all(f"VCPU {n % 12 + 2} " in known(each).text for n, each in enumerate(reasons))
    assert paused.count == 2


@pytest.mark.usefixtures("no_pause")
async def test_a_reason_is_as_recent_as_its_question(
    broker: Broker, paused: PausedReader, job: Job
) -> None:
    """A reader that asks after a snapshot was read gets the reason from the next one."""
    reader = ReasonReader(paused)
    first = asyncio.create_task(reader.reason(TYPE, job))
    await paused.has_read.wait()
    await publish(broker, VCPU=9)
    second = asyncio.create_task(reader.reason(TYPE, job))
    paused.may_return.set()
    assert "VCPU 2" in known(await first).text
    assert await second == waiting_reason.GRANTED_SOON


@pytest.mark.parametrize(("max_pause", "answers"), [(0.05, True), (60.0, False)])
async def test_plans_pause_and_readers_do_not_wait_for_ever(
    broker: Broker, job: Job, monkeypatch: pytest.MonkeyPatch, max_pause: float, answers: bool
) -> None:
    """After a plan none begins for a while; a reader that would wait too long is told so."""
    monkeypatch.setattr(waiting_reason, "PAUSE_FACTOR", 1e6)
    monkeypatch.setattr(waiting_reason, "MAX_PAUSE", max_pause)
    reader = ReasonReader(SnapshotReader(broker))
    assert await reader.reason(TYPE, job)
    if answers:
        assert await reader.reason(TYPE, job)
    else:
        monkeypatch.setattr(waiting_reason, "PLAN_TIMEOUT", 0.2)
        monkeypatch.setattr(waiting_reason, "MAX_AGE", -1.0)
        assert await reader.reason(TYPE, job) == waiting_reason.COMPUTING
        later = await submit(broker, "later", terms=Terms(not_before=2**42))
        reasons = await reader.reasons(TYPE, [job, later])
        assert [known(each).code for each in reasons] == ["computing", "not_before"]


@pytest.mark.usefixtures("no_pause")
async def test_what_a_slow_plan_says_is_told_to_the_next_reader(
    paused: PausedReader, broker: Broker, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that takes longer than its readers wait goes on without them. A later reader whose own
    plan takes as long has what it said, of shapes that were asked about; nothing too old."""
    monkeypatch.setattr(waiting_reason, "PLAN_TIMEOUT", 0.2)
    monkeypatch.setattr(waiting_reason, "MAX_PAUSE", 60.0)  # all plans count as slow
    reader = ReasonReader(paused)
    assert await reader.reason(TYPE, job) == waiting_reason.COMPUTING
    paused.may_return.set()
    while await reader.reason(TYPE, job) == waiting_reason.COMPUTING:
        pass
    paused.may_return.clear()
    assert "VCPU 2" in known(await reader.reason(TYPE, job)).text
    other = await queued(broker, "other", 3)
    assert await reader.reason(TYPE, other) == waiting_reason.COMPUTING
    monkeypatch.setattr(waiting_reason, "MAX_AGE", -1.0)
    assert await reader.reason(TYPE, job) == waiting_reason.COMPUTING
    paused.may_return.set()


@pytest.mark.usefixtures("no_pause")
async def test_a_cancelled_reader_does_not_cancel_the_others(
    paused: PausedReader, job: Job
) -> None:
    """One of those that share a plan may be cancelled; the others get their reason."""
    reader = ReasonReader(paused)
    cancelled, other = (asyncio.create_task(reader.reason(TYPE, job)) for _ in range(2))
    await paused.has_read.wait()
    cancelled.cancel()
    paused.may_return.set()
    assert "VCPU 2" in known(await other).text


async def test_a_plan_that_fails_fails_only_those_who_shared_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once Redis is back, the next reader gets its reason at once: a failure causes no pause."""
    monkeypatch.setattr(waiting_reason, "PAUSE_FACTOR", 1e6)
    monkeypatch.setattr(waiting_reason, "MAX_PAUSE", 60.0)
    job = await queued(broker, "d", 2)
    reader, type_state = ReasonReader(SnapshotReader(broker)), broker.type_state

    async def unavailable(*_: Any, **__: Any) -> Any:
        raise errors.Unavailable("away")

    monkeypatch.setattr(broker, "type_state", unavailable)
    results = await asyncio.gather(
        *(reader.reason(TYPE, job) for _ in range(2)), return_exceptions=True
    )
    assert [type(result) for result in results] == [errors.Unavailable] * 2
    monkeypatch.setattr(broker, "type_state", type_state)
    assert known(await reader.reason(TYPE, job)).text == "there is no host"


@pytest.mark.usefixtures("no_pause")
async def test_a_list_has_the_reasons_of_its_jobs(
    broker: Broker, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reasons of many jobs come from one plan, and are those that each job is told alone."""
    planning = Mock(wraps=plan_steps)
    monkeypatch.setattr(waiting_reason, "plan_steps", planning)
    ended = await bring(broker, Status.DONE, "over")
    await queued(broker, "same", 2)
    await submit(broker, "later", terms=Terms(not_before=2**42))
    jobs = [ended, job, *[await broker.read(TYPE, name) for name in ("same", "later")]]
    reader = ReasonReader(SnapshotReader(broker))
    reasons = await reader.reasons(TYPE, jobs)
    assert planning.call_count == 1
    assert [bool(reason) for reason in reasons] == [False, True, True, True]
    assert reasons == [await reader.reason(TYPE, each) for each in jobs]
    assert await reader.reasons(TYPE, [ended]) == [None]
    assert planning.call_count == 3
